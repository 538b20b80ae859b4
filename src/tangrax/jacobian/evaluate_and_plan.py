"""Evaluates expressions and requests for kernels and spectra, and plans their memory and operations."""

from collections.abc import Callable
from typing import Any

from ..expr import DensityRequest, DualGramRequest, EigenvaluesRequest, GramRequest, Request, Tracker, as_node
from ..lower import Program, expand
from .expression_evaluator import Evaluator
from .plan import Plan
from .request_context import RequestContext
from .rewrite_rules import RULES
from .size_limits import plan_of_values
from .spectrum_plan import spectrum_plan
from .ways import RequestWay, dual_gram_plan, gram_plan

RESULT_LIMIT = 2**30  # bytes of a result returned as one array
PLANNERS: dict[type[Request], Callable[[RequestContext], Plan[RequestWay]]] = {
    GramRequest: gram_plan,
    DualGramRequest: dual_gram_plan,
    EigenvaluesRequest: spectrum_plan,
    DensityRequest: spectrum_plan,
}


def evaluate(evaluator: Evaluator, nodes: Any, points: Any, sharded: bool, limit: int) -> Any:
    """The value of an expression or request, or a list of them for a list."""
    several = isinstance(nodes, (list, tuple))
    items = [item.node if isinstance(item, Tracker) else item for item in (nodes if several else [nodes])]
    wanted = [as_node(item) for item in items if not isinstance(item, Request)]
    fields = iter(evaluator.values(wanted, points, sharded, limit) if wanted else ())
    answers = {
        item: _answered(RequestContext.of(item, evaluator, points, sharded, limit))
        for item in items
        if isinstance(item, Request)
    }
    values = [answers[item] if isinstance(item, Request) else next(fields) for item in items]
    return values if several else values[0]


def plan_of(evaluator: Evaluator, node: Any, points: Any, sharded: bool, limit: int) -> Plan:
    """Predicts the cost of `evaluate` for one expression or request; nothing large is allocated."""
    node = node.node if isinstance(node, Tracker) else node
    if isinstance(node, Request):
        return _planned(RequestContext.of(node, evaluator, points, sharded, limit))
    roots = expand([as_node(node)], RULES)
    placed = evaluator.executor.place(Program(tuple(roots)).tags, points)
    return plan_of_values(as_node(node), roots[0], placed, evaluator.dtype.itemsize, limit, sharded)


def _answered(context: RequestContext) -> Any:
    """A `Spectrum` or `Density`, K, or JᵀJ.

    Raises before anything is computed if the answer would take more than `limit` bytes of each device.
    """
    return _planned(context).settled().run(context)


def _planned(context: RequestContext) -> Plan[RequestWay]:
    """The ways to answer a request, planned once for each set of shapes."""
    plans = context.evaluator.plans
    if context.plan_key not in plans:
        plans[context.plan_key] = PLANNERS[type(context.request)](context)
    return plans[context.plan_key]
