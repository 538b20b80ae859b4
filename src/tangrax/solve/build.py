"""Builds the loop of a problem: programs of its terms, adaptive rules and trackers, with the values they share."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from ..expr import Node, PointSet, Tracker
from ..jacobian import (
    RANK,
    RESULT_LIMIT,
    RULES,
    Evaluator,
    SpectrumProgram,
    refuse_empty_groups,
    refuse_oversized,
    watched,
)
from ..lower import Executor, Placed, Program, expand, gradient_of, group_sizes, shared, trainables_of
from ..optim import AdaptiveRules, Optimizer
from .batches import Batches
from .loop import Loop, Points, Timing
from .loss_terms import TOTAL, Terms
from .resampling import MOVED, Resampler
from .rollback import STEP_SCALE
from .training_problem import CompiledTracker, ConflictFree, Problem, ScheduledRule


def build_loop(
    terms: Terms,
    rules: AdaptiveRules,
    optimizer: Optimizer,
    evaluator: Evaluator,
    resampler: Resampler,
    batches: Batches,
    explain: Callable[..., str],
    timing: Timing,
) -> Loop:
    """The loop that trains some terms, its constants computed.

    Raises ValueError for empty groups, and for two values of one name in the history; oversized arrays are refused.
    """
    executor = evaluator.executor
    losses, weighted = _expanded(terms.losses.values()), _expanded(rules.terms.values())
    total = sum(weighted[1:], start=weighted[0])
    rest = (total, *losses)
    loss_roots = (gradient_of(total, optimizer.wrt), *rest)
    conflict_free_roots = (
        () if rules.conflict is None else (*(gradient_of(term, optimizer.wrt) for term in weighted), *rest)
    )
    batches.check((*loss_roots, *conflict_free_roots))
    measured = [_expanded(rule.measured) for rule in rules.rules]
    plain = {name: t for name, t in terms.trackers.items() if not t.is_request}
    spectra = {name: (t, watched(t.node, evaluator)) for name, t in terms.trackers.items() if t.is_request}
    tracked = _expanded([t.node for t in plain.values()])
    whole = Program(
        (
            *loss_roots,
            *conflict_free_roots,
            *(root for roots in measured for root in roots),
            *tracked,
            *(program.field for _, program in spectra.values()),
        )
    )
    placed = executor.place(whole.tags)
    refuse_oversized(whole.roots, placed.counts, executor.dtype.itemsize, RESULT_LIMIT, sharded=True)
    constants = tuple(whole.fixed)

    def program(*roots: Node, batched: Container[PointSet] = ()) -> Program:
        """A program with its constants; those of points in batches are computed anew in each step."""
        used = {node for node in shared(roots) if not any(tag in batched for tag in Program((node,)).tags)}
        return Program(roots, tuple(node for node in constants if node in used))

    def step(*roots: Node) -> Program:
        return program(*roots, batched=batches.sizes)

    def current_points() -> Points:
        placed = executor.place(whole.tags)
        return Points(placed.rows, batches.place(executor), _constant_values(whole, placed, executor))

    problem = Problem(
        step(*loss_roots),
        tuple(terms.losses),
        tuple(ScheduledRule(rule, program(*roots)) for rule, roots in zip(rules.rules, measured, strict=True)),
        None if rules.conflict is None else ConflictFree(step(*conflict_free_roots), *rules.conflict),
        (
            *_together(plain, tracked, program),
            *(_of_spectrum(name, tracker, spectrum) for name, (tracker, spectrum) in spectra.items()),
        ),
        (*terms.losses, *plain, *(f"{name}/{RANK}" for name in spectra), TOTAL),
        placed.layouts,
        batches.layouts(executor.transport.size),
        optimizer,
        tuple(terms.trainables),
        constants,
        executor.limit,
    )
    _refuse_same_names(problem, [STEP_SCALE, *(f"{MOVED}{name}" for name in resampler.names)])
    return Loop(
        problem,
        executor.transport,
        current_points(),
        explain,
        resampler,
        current_points,
        lambda: build_loop(terms, rules, optimizer, evaluator, resampler, batches, explain, timing),
        timing,
    )


def _refuse_same_names(problem: Problem, more: Iterable[str]) -> None:
    """Raise ValueError if two recorded values have one name."""
    by_interval = [name for each in (*problem.rules, *problem.trackers) for name in each.names]
    names = [*problem.names, *by_interval, TOTAL, *problem.optimizer.measures, *more]
    doubled = next((name for name, count in Counter(names).items() if count > 1), None)
    if doubled is not None:
        raise ValueError(
            f"the history would have two of the name '{doubled}': a term or tracker has it, and so has what an "
            f"optimizer, a balancing or a spectrum records. Give the term or tracker another one. Nothing was trained"
        )


def _expanded(nodes: Iterable[Node]) -> list[Node]:
    return expand(list(nodes), RULES)


def _together(
    trackers: Mapping[str, Tracker], roots: Sequence[Node], program: Callable[..., Program]
) -> list[CompiledTracker]:
    """Trackers, those of one interval in one program."""
    intervals: dict[int, list[tuple[str, Tracker, Node]]] = {}
    for (name, tracker), root in zip(trackers.items(), roots, strict=True):
        intervals.setdefault(tracker.interval, []).append((name, tracker, root))
    return [
        CompiledTracker(
            interval,
            program(*[root for *_, root in group]),
            tuple(name for name, *_ in group),
            tuple(tracker.warn_below for _, tracker, _ in group),
        )
        for interval, group in intervals.items()
    ]


def _of_spectrum(name: str, tracker: Tracker, spectrum: SpectrumProgram) -> CompiledTracker:
    """The tracker of a spectrum; its threshold is for the effective rank."""
    names = tuple(f"{name}/{part}" for part in spectrum.parts)
    thresholds = tuple(tracker.warn_below if part == RANK else None for part in spectrum.parts)
    return CompiledTracker(tracker.interval, spectrum, names, thresholds)


def _constant_values(program: Program, placed: Placed, executor: Executor) -> list[Any]:
    """Values that training does not change, such as sizes of groups; raises ValueError for an empty group."""
    constants = program.fixed
    sizes = {g: n for g, n in group_sizes(program.roots).items() if not trainables_of([g])}
    wanted = [*constants, *sizes.values()]
    values = executor.compute(wanted, placed, {}) if wanted else {}
    refuse_empty_groups(sizes, values, placed)
    return [values[node] for node in constants]
