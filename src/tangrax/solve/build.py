"""The training program of a problem: its terms, what guides and watches them, put together for the loop."""

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
from .resampling import MOVED, Resampler
from .rollback import STEP_SCALE
from .terms import TOTAL, Terms
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
    """Constants are computed; empty groups and oversized arrays are refused."""
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
    watched_roots = _expanded([t.node for t in plain.values()])
    every = Program(
        (
            *loss_roots,
            *conflict_free_roots,
            *(root for roots in measured for root in roots),
            *watched_roots,
            *(program.field for _, program in spectra.values()),
        )
    )
    placed = executor.place(every.tags)
    refuse_oversized(every.roots, placed.counts, executor.dtype.itemsize, RESULT_LIMIT, sharded=True)
    given = tuple(every.fixed)

    def program(*roots: Node, but: Container[PointSet] = ()) -> Program:
        """`but`: what is given was found on all points of these tags, and is computed anew."""
        used = {node for node in shared(roots) if not any(tag in but for tag in Program((node,)).tags)}
        return Program(roots, tuple(node for node in given if node in used))

    def step(*roots: Node) -> Program:
        return program(*roots, but=batches.sizes)

    def now() -> Points:
        placed = executor.place(every.tags)
        return Points(placed.rows, batches.place(executor), _fixed_values(every, placed, executor))

    problem = Problem(
        step(*loss_roots),
        tuple(terms.losses),
        tuple(ScheduledRule(rule, program(*roots)) for rule, roots in zip(rules.rules, measured, strict=True)),
        None if rules.conflict is None else ConflictFree(step(*conflict_free_roots), *rules.conflict),
        (
            *_together(plain, watched_roots, program),
            *(_of_spectrum(name, tracker, spectrum) for name, (tracker, spectrum) in spectra.items()),
        ),
        (*terms.losses, *plain, *(f"{name}/{RANK}" for name in spectra), TOTAL),
        placed.layouts,
        batches.layouts(executor.transport.size),
        optimizer,
        tuple(terms.trainables),
        given,
        executor.limit,
    )
    _refuse_same_names(problem, [STEP_SCALE, *(f"{MOVED}{name}" for name in resampler.names)])
    return Loop(
        problem,
        executor.transport,
        now(),
        explain,
        resampler,
        now,
        lambda: build_loop(terms, rules, optimizer, evaluator, resampler, batches, explain, timing),
        timing,
    )


def _refuse_same_names(problem: Problem, more: Iterable[str]) -> None:
    """All that is recorded has a name of its own."""
    watched = [name for each in (*problem.rules, *problem.trackers) for name in each.names]
    names = [*problem.names, *watched, TOTAL, *problem.optimizer.measures, *more]
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
    """Trackers of the same interval are evaluated together."""
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


def _fixed_values(program: Program, placed: Placed, executor: Executor) -> list[Any]:
    """Values that training does not change, such as how many points a group has: none may be empty."""
    given = program.fixed
    sizes = {g: n for g, n in group_sizes(program.roots).items() if not trainables_of([g])}
    wanted = [*given, *sizes.values()]
    found = executor.compute(wanted, placed, {}) if wanted else {}
    refuse_empty_groups(sizes, found, placed)
    return [found[node] for node in given]
