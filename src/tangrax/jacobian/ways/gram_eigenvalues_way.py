"""The spectrum from eigenvalues of K or JᵀJ: cheapest of the ways to all eigenvalues, and resolves least."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from ...parallel import undefined
from ..eigenvectors import by_component, left_singular_vectors
from ..gram import Choice, accumulation, stored
from ..gram_cost import dual_cost, gram_cost
from ..request_context import RequestContext
from ..spectrum import Spectrum, eigenvalue_error
from .dual_gram_way import dual_gram
from .spectrum_way import SpectrumWay, truncated


@dataclass(frozen=True, kw_only=True)
class GramEigenvaluesWay(SpectrumWay):
    """LAPACK on K, or on JᵀJ where that is smaller, on the first host: the one place where K is in one piece."""

    dual: bool  # JᵀJ in place of K
    choice: Choice

    @classmethod
    def plan(cls, context: RequestContext) -> "GramEigenvaluesWay":
        (side,), rows, columns = context.abstract_rows, context.jacobian.size, context.jacobian.columns
        is_dual = columns < rows
        name = "eigenvalues of JᵀJ" if is_dual else "eigenvalues of K"
        formed = dual_cost(side) if is_dual else gram_cost([side], context.choice)
        n = min(rows, columns)
        # LAPACK on the first host: the matrix in double precision, and a copy that it overwrites.
        memory, flops = formed.memory + 16 * n**2, formed.flops + 4 / 3 * n**3
        return cls(name, memory, flops, formed.moved, dual=is_dual, choice=context.choice)

    def spectrum(self, context: RequestContext) -> Spectrum:
        k, vectors = context.request.option("k"), context.request.option("vectors") or 0
        jacobian, evaluator = context.jacobian, context.evaluator
        matrix = self._dual_on_first_host(context) if self.dual else self._gram_on_first_host(context)

        def decompose() -> str:
            if matrix is None:
                return ""
            whole = matrix.astype(np.float64)
            if not np.isfinite(whole).all():  # for which LAPACK has no answer
                return undefined(len(whole), vectors)
            if not vectors:
                return json.dumps([np.linalg.eigvalsh(whole)[::-1].tolist(), []])
            values, eigenvectors = scipy.linalg.eigh(whole)
            return json.dumps([values[::-1].tolist(), eigenvectors[:, ::-1][:, :vectors].tolist()])

        sent = evaluator.transport.peers.exchange("decomposing", decompose)[0]
        values, eigenvectors = map(np.asarray, json.loads(sent))
        values = np.maximum(values, 0)
        singular = np.sqrt(values)[: min(jacobian.size, jacobian.columns)]
        left = None
        if vectors and self.dual:
            left = left_singular_vectors(context, eigenvectors, singular)
        elif vectors:
            left = by_component(eigenvectors, jacobian)
        whole = Spectrum(
            singular,
            jacobian.size,
            jacobian.columns,
            context.eps,
            error=eigenvalue_error(accumulation(evaluator.dtype)) * float(values[0]),
            exact_trace=float(np.sum(values)),
            exact_square=float(np.sum(values**2)),
            vectors=left,
            way=self.name,
        )
        return truncated(whole, k)

    def _dual_on_first_host(self, context: RequestContext) -> np.ndarray | None:
        matrix = dual_gram(context)
        return np.asarray(matrix) if context.evaluator.transport.writes else None

    def _gram_on_first_host(self, context: RequestContext) -> np.ndarray | None:
        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            rows = stored(collectives, sides, self.choice)
            # A point's components one after the other: rows of K as its columns are.
            return (), rows.reshape(-1, rows.shape[-1])

        _, rows = context.run("tangent kernel, its rows", self.choice, body)
        matrix = context.evaluator.transport.collect(rows)
        return None if matrix is None else matrix[: context.jacobian.size]
