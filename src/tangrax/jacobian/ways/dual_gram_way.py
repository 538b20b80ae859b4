"""The way to JᵀJ."""

from dataclasses import dataclass

import jax
import numpy as np

from ..gram import dual
from ..gram_cost import dual_cost
from ..plan import FEWER, Plan
from ..request_context import RequestContext
from .request_way import RequestWay


@dataclass(frozen=True, kw_only=True)
class DualGramWay(RequestWay):
    """Rows are formed a chunk at a time."""

    @classmethod
    def plan(cls, context: RequestContext) -> "DualGramWay":
        (side,) = context.abstract_rows
        return cls("chunks of rows", *dual_cost(side))

    def run(self, context: RequestContext) -> np.ndarray:
        return np.asarray(dual_gram(context))


def dual_gram(context: RequestContext) -> jax.Array:
    """JᵀJ, (P, P), on every device; all processes call it."""
    return context.run("JᵀJ", (), lambda collectives, sides: (dual(collectives, sides[0]), ()))[0]


def dual_gram_plan(context: RequestContext) -> Plan[RequestWay]:
    """The way to JᵀJ of a pointwise field."""
    request, columns = context.request, context.jacobian.columns
    if not context.pointwise:
        raise ValueError(
            f"{request}: the field holds values of all points. Take J = solver.eval({request.node}, sharded=True) and "
            f"J.T @ J"
        )
    what = f"{request} of ({columns}, {columns})"
    return Plan(what, (DualGramWay.plan(context),), context.limit, context.evaluator.transport.size, FEWER)
