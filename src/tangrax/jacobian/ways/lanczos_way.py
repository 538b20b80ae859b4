"""The largest eigenvalues from products with J alone."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..eigenvectors import left_singular_vectors
from ..gram import Choice, squares
from ..gram_cost import dual_cost, gram_cost
from ..lanczos import Ritz, largest, steps_for
from ..lanczos_cost import lanczos_cost
from ..request_context import RequestContext
from ..spectrum import RESOLVED, Spectrum, eigenvalue_error
from .spectrum_way import SpectrumWay


@dataclass(frozen=True, kw_only=True)
class LanczosWay(SpectrumWay):
    """Lanczos' method, with more products until k eigenvalues are resolved; tr K and ‖K‖²_F are exact."""

    choice: Choice

    @classmethod
    def plan(cls, context: RequestContext) -> "LanczosWay":
        (side,), rows, columns = context.abstract_rows, context.jacobian.size, context.jacobian.columns
        k = context.request.option("k")
        steps = steps_for(k, rows, columns)
        products = lanczos_cost(side, steps)
        sums = dual_cost(side) if columns < rows else gram_cost([side], context.choice, stores=False)
        return cls(
            "Lanczos' method",
            max(products.memory, sums.memory),
            products.flops + sums.flops,
            products.moved + sums.moved,
            f"{steps} products at first, more until {k} eigenvalues stand; effective rank exact",
            choice=context.choice,
        )

    def spectrum(self, context: RequestContext) -> Spectrum:
        jacobian, rows, columns = context.jacobian, context.jacobian.size, context.jacobian.columns
        k, vectors = min(context.request.option("k"), rows, columns), context.request.option("vectors") or 0

        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            return squares(collectives, sides[0], self.choice, columns < rows), ()

        moments, _ = context.run("trace and norm of K", self.choice, body)
        ritz, steps = self._ritz(context, k)
        values, residuals = np.asarray(ritz.values, np.float64), np.asarray(ritz.residuals, np.float64)
        singular = np.sqrt(values)
        left = None
        if vectors:
            left = left_singular_vectors(context, np.asarray(ritz.vectors)[:, :vectors], singular)
        return Spectrum(
            singular,
            jacobian.size,
            jacobian.columns,
            0.0,  # what rounding does is in the errors: λ itself is off by it, not its root
            error=residuals + eigenvalue_error(context.evaluator.dtype) * values[0],
            exact_trace=float(moments.trace),
            exact_square=float(moments.square),
            vectors=left,
            way=f"{self.name}, {steps} products",
        )

    def _ritz(self, context: RequestContext, k: int) -> tuple[Ritz, int]:
        """Ritz values and the number of products: enough that all k are resolved, or lost in rounding."""
        rows, columns = context.jacobian.size, context.jacobian.columns
        attempt = 0
        while True:
            steps = steps_for(k, rows, columns, attempt)

            def body(collectives: Any, sides: Any, steps: int = steps) -> tuple[Any, Any]:
                return largest(collectives, sides[0], k, steps), ()

            ritz, _ = context.run(self.name, (k, steps), body)
            values, residuals = np.asarray(ritz.values), np.asarray(ritz.residuals)
            rounding = eigenvalue_error(context.evaluator.dtype) * values[0]
            enough = residuals <= np.maximum(0.1 * RESOLVED * values, rounding)
            # What is not finite gets no better by more steps.
            if steps == min(rows, columns) or np.all(enough) or not np.isfinite(values).all():
                return ritz, steps
            attempt += 1
