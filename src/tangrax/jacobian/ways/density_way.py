"""The spectral density from products of J with random vectors."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..lanczos import PROBES, quadrature
from ..lanczos_cost import lanczos_cost
from ..request_context import RequestContext
from ..spectral_density import Density
from .spectrum_way import SpectrumWay

STEPS = 48  # products a random vector: nodes then lie closer than the widths of interest


@dataclass(frozen=True, kw_only=True)
class DensityWay(SpectrumWay):
    """Stochastic Lanczos quadrature."""

    steps: int

    @classmethod
    def plan(cls, context: RequestContext) -> "DensityWay":
        (side,) = context.abstract_rows
        steps = min(STEPS, context.jacobian.size, context.jacobian.columns)
        return cls("stochastic Lanczos quadrature", *lanczos_cost(side, steps, PROBES), steps=steps)

    def spectrum(self, context: RequestContext) -> Density:
        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            return quadrature(collectives, sides[0], self.steps), ()

        (nodes, weights), _ = context.run(self.name, self.steps, body)
        nodes, weights = np.asarray(nodes, np.float64), np.asarray(weights, np.float64)
        return Density(nodes, weights, context.jacobian.size, context.jacobian.columns, context.eps)
