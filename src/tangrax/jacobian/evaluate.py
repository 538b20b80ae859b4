"""What is asked of all rows of a Jacobian: how it is answered, and what that takes."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..expr import DualGramRequest, GramRequest, Node, Request, Tracker, as_node
from ..lower import Program, expand, refuse_unknown
from ..parallel import ShardedRows
from .evaluator import Evaluator
from .gram import accumulation, dual, stored
from .limits import plan_of_values
from .plan import FEWER, Plan, Way, as_size, capacity
from .rewrite_rules import RULES
from .sharded_jacobian import ShardedJacobian, choice_of, looked_at, run
from .spectra import spectrum, spectrum_plan
from .way_costs import dual_way, kernel_way

RESULT_LIMIT = 2**30  # bytes of a result returned as one array


def evaluate(evaluator: Evaluator, nodes: Any, points: Any, sharded: bool, limit: int) -> Any:
    """The value of an expression or request, or a list of them for a list."""
    several = isinstance(nodes, (list, tuple))
    items = [item.node if isinstance(item, Tracker) else item for item in (nodes if several else [nodes])]
    wanted = [as_node(item) for item in items if not isinstance(item, Request)]
    found = iter(evaluator.values(wanted, points, sharded, limit) if wanted else ())
    answers = {r: answer(r, evaluator, points, sharded, limit) for r in items if isinstance(r, Request)}
    values = [answers[item] if isinstance(item, Request) else next(found) for item in items]
    return values if several else values[0]


def plan_of(evaluator: Evaluator, node: Any, points: Any, sharded: bool, limit: int) -> Plan:
    """What `evaluate` would take for one expression or request; nothing large is allocated."""
    node = node.node if isinstance(node, Tracker) else node
    if isinstance(node, Request):
        return planned(node, evaluator, points, sharded, limit)
    roots = expand([as_node(node)], RULES)
    placed = evaluator.executor.place(Program(tuple(roots)).tags, points)
    return plan_of_values(as_node(node), roots[0], placed, evaluator.dtype.itemsize, limit, sharded)


def answer(request: Request, evaluator: Evaluator, points: Any, sharded: bool, limit: int) -> Any:
    """What a request is for: a `Spectrum` or `Density`, K, or JᵀJ.

    Raises before anything is computed if what each device would hold for it exceeds `limit` bytes.
    """
    subjects = _subjects(request, evaluator, points)
    way = _planned(request, subjects, evaluator, sharded, limit).settled()
    match request:
        case GramRequest():
            return _gram(request, subjects, way, evaluator, points, sharded)
        case DualGramRequest():
            return np.asarray(run("JᵀJ", subjects, evaluator, (), lambda c, sides: (dual(c, sides[0]), ()))[0])
        case _:
            return spectrum(request, subjects[0], way, evaluator, points)


def planned(request: Request, evaluator: Evaluator, points: Any, sharded: bool, limit: int) -> Plan:
    """The ways to answer a request, and what each takes."""
    return _planned(request, _subjects(request, evaluator, points), evaluator, sharded, limit)


def _planned(
    request: Request, subjects: list[ShardedJacobian], evaluator: Evaluator, sharded: bool, limit: int
) -> Plan:
    key = (request, tuple(subject.layout for subject in subjects), sharded, limit)
    if key not in evaluator.plans:
        match request:
            case GramRequest():
                found = _gram_plan(request, subjects, evaluator, sharded, limit)
            case DualGramRequest():
                found = _dual_plan(request, subjects[0], evaluator, limit)
            case _:
                found = spectrum_plan(request, subjects[0], evaluator, limit)
        evaluator.plans[key] = found
    return evaluator.plans[key]


def _subjects(request: Request, evaluator: Evaluator, points: Any) -> list[ShardedJacobian]:
    nodes: list[Node] = [request.node] if request.other is None else [request.node, request.other]
    refuse_unknown(list(dict.fromkeys(tag for node in nodes if (tag := node.points))), points)
    return [ShardedJacobian.of(node, evaluator, points) for node in nodes]


def _gram(
    request: Request, subjects: list[ShardedJacobian], way: Way, evaluator: Evaluator, points: Any, sharded: bool
) -> np.ndarray | ShardedRows:
    """K as one array, (N·C, M·C'); with `sharded`, its rows on their devices."""
    first = subjects[0]
    if way.name == BY_ROWS:
        left, *right = evaluator.values([s.rows for s in subjects], points, True, 2**62)
        kernel = left @ (right[0] if right else left).T
    else:
        choice = way.choice

        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            rows = stored(collectives, sides, choice)
            return (), rows[:, 0] if rows.shape[1] == 1 else rows

        _, found = run("tangent kernel", subjects, evaluator, choice, body)
        kernel = ShardedRows([found], first.layout, evaluator.transport)
    if sharded:
        return kernel
    gathered = kernel.gather()
    found = gathered.reshape(first.size, -1)
    for axis, subject in enumerate(subjects * (3 - len(subjects))):
        if subject.group is not None and not subject.pointwise:
            kept = np.repeat(evaluator.at(subject.group, points), subject.components)
            found = np.compress(kept, found, axis=axis)
    return found


def _gram_plan(
    request: Request, subjects: list[ShardedJacobian], evaluator: Evaluator, sharded: bool, limit: int
) -> Plan:
    transport, first, last = evaluator.transport, subjects[0], subjects[-1]
    shape = (first.size, last.size)
    accumulated = np.dtype(accumulation(evaluator.dtype)).itemsize
    whole = math.prod(shape) * accumulated
    if not all(subject.pointwise for subject in subjects):
        if sharded and any(subject.group is not None for subject in subjects):
            raise ValueError(
                f"{request}: the field holds values of all points, so its group's points lie unevenly on the devices; "
                f"evaluate it without sharded=True"
            )
        held = sum(s.layout.rows * s.components * s.columns for s in subjects) * evaluator.dtype.itemsize
        ways = [Way(BY_ROWS, 2 * held + whole // transport.size, 2.0 * math.prod(shape) * first.columns, held)]
    else:
        sides = looked_at(subjects, evaluator)
        choice = choice_of(sides, evaluator)
        name = "factors" if choice.split.weights else "rows of J"
        ways = [
            kernel_way(name, sides, choice, note="rows of J are held where they are cheaper than factors"),
            kernel_way(f"{name}, not held", sides, replace(choice, held=False), note="rows are formed for each tile"),
        ]
    refused = ""
    if not sharded and whole > limit:
        refused = (
            f"{request} is an array of {shape}, {as_size(whole)}; results up to {as_size(limit)} are returned as "
            f"one array. Take eval(..., sharded=True), which leaves its rows on their devices, or fewer points"
        )
    mend = f"{FEWER}, or take spectrum(k=20), K @ w"
    return Plan(f"{request} of {shape}", tuple(ways), capacity(transport), transport.size, mend, refused)


def _dual_plan(request: Request, subject: ShardedJacobian, evaluator: Evaluator, limit: int) -> Plan:
    if not subject.pointwise:
        raise ValueError(
            f"{request}: the field holds values of all points. Take J = solver.eval({request.node}, sharded=True) and "
            f"J.T @ J"
        )
    (side,) = looked_at([subject], evaluator)
    what = f"{request} of ({subject.columns}, {subject.columns})"
    return Plan(what, (dual_way("chunks of rows", side),), limit, evaluator.transport.size, FEWER)


BY_ROWS = "rows of J, all of them formed"
