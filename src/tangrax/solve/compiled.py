"""The compiled part of training: many epochs in one program for one shard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from ..expr import Node, PointSet, Trainable
from ..jacobian import SpectrumProgram
from ..lower import Program, ShardContext
from ..optim import AdaptiveRule, Conflict, SecondOrder
from ..parallel import Collectives, Layout
from .first_order import FirstOrder, Parameters, strong

LONGEST = 1000  # epochs in a stretch: what is recorded in one has this many rows


@dataclass(frozen=True)
class CompiledTracker:
    """Terms evaluated together, or a spectrum, every `interval` epochs."""

    interval: int
    program: Program | SpectrumProgram
    names: tuple[str, ...]


@dataclass(frozen=True)
class ScheduledRule:
    """A guide, and the program of what it measures."""

    guide: AdaptiveRule
    program: Program

    @property
    def interval(self) -> int:
        return self.guide.every

    @property
    def names(self) -> tuple[str, ...]:
        return self.guide.parts


@dataclass(frozen=True)
class ConflictFree:
    """Updates without conflict: roots are the gradients of all terms, as guides change them, then those of `loss`."""

    program: Program
    how: Conflict
    switch: int  # the guide whose state says whether they are on


@dataclass(frozen=True, eq=False)
class Problem:
    """What a stretch computes: the loss with its terms, what guides them, and what is watched."""

    loss: Program  # roots: the gradient of the loss, the loss, then the terms
    names: tuple[str, ...]  # of the terms
    guided: tuple[ScheduledRule, ...]
    apart: ConflictFree | None
    watched: tuple[CompiledTracker, ...]
    layouts: Mapping[PointSet, Layout]
    batched: Mapping[PointSet, Layout]  # of the part of a tag that a step sees, where that is not all of it
    optimizer: FirstOrder | SecondOrder
    trainables: tuple[Trainable, ...]
    given: tuple[Node, ...]
    limit: int | None


@dataclass(frozen=True)
class State:
    """What training changes: parameters (in the order of `Problem.trainables`), states of optimizers and guides.

    `rows` is what guides have of single points, sharded like these; all else is the same on all shards. `step_scale` is
    the part of an optimizer's step that is taken: 1 until training had to go back.
    """

    parameters: tuple[Any, ...]
    optimizers: Any
    guides: tuple[Any, ...] = ()
    step_scale: Any = 1.0
    rows: tuple[Any, ...] = ()


jax.tree_util.register_dataclass(State, ["parameters", "optimizers", "guides", "step_scale", "rows"], [])


def stretch_program(
    problem: Problem,
    collectives: Collectives,
    points: Mapping[PointSet, Any],
    batches: Mapping[PointSet, Any],
    state: State,
    last: State,
    given: Sequence[Any],
    first: Any,
    count: Any,
) -> tuple[Any, ...]:
    """Up to `count` epochs for one shard, from `state`; `last` is the state one epoch earlier.

    Ends early at the first loss or gradient that is not finite: `state` is then the one it was found at.

    Trackers due now are evaluated, then epochs run without a thought of them until the next is due.
    """
    end = first + count
    known = dict(zip(problem.given, given, strict=True))

    def run(program: Program | SpectrumProgram, parameters: Parameters, here: ShardContext) -> list[Any]:
        mine = [known[node] for node in program.constants]
        return program.run(here.of(program.tags), parameters, mine, problem.limit)

    def named(state: State) -> Parameters:
        found = dict(zip(problem.trainables, state.parameters, strict=True))
        for guided, values in zip(problem.guided, state.guides, strict=True):
            found.update(guided.guide.knobs(values))
        return found

    def here_of(state: State) -> ShardContext:
        return ShardContext(collectives, problem.layouts, _with_columns(problem.guided, points, state.rows))

    def step_of(state: State, now: Any) -> ShardContext:
        """What an update is made from: of a tag in batches, the one whose turn it is."""
        here = here_of(state)
        parts = {tag: rows[:, now % rows.shape[1]] for tag, rows in batches.items()}
        return ShardContext(collectives, {**problem.layouts, **problem.batched}, {**here.points, **parts})

    def loss_and_gradient(parameters: Parameters, here: ShardContext) -> tuple[Any, Any]:
        gradient, total, *_ = run(problem.loss, parameters, here)
        return total, gradient

    def evaluated(state: State, here: ShardContext, now: Any) -> list[Any]:
        """The direction to descend against, the loss, the terms."""
        apart = problem.apart
        if apart is None:
            return run(problem.loss, named(state), here)

        def without_conflict() -> list[Any]:
            found = run(apart.program, named(state), here)
            gradients, rest = found[: len(problem.names)], found[len(problem.names) :]
            return [apart.how.direction(gradients, now), *rest]

        if apart.how.below is None:
            return without_conflict()
        return jax.lax.cond(state.guides[apart.switch], without_conflict, lambda: run(problem.loss, named(state), here))

    def epoch(carry: Any) -> Any:
        now, state, last, _, _, _, record = carry
        parameters, here = named(state), step_of(state, now)
        gradient, total, *terms = evaluated(state, here, now)
        slope_finite = jnp.isfinite(gradient).all()
        finite = jnp.isfinite(total) & slope_finite
        if isinstance(problem.optimizer, SecondOrder):
            changed, optimizers, measured = problem.optimizer.update(parameters, state.optimizers, here)
            changed = {t: _part(parameters[t], changed[t], state.step_scale) for t in problem.trainables}
        else:
            of_loss = (total, gradient, lambda parameters: loss_and_gradient(parameters, here))
            changed, optimizers = problem.optimizer.update(parameters, state.optimizers, state.step_scale, *of_loss)
            measured = ()
        record = jax.lax.dynamic_update_index_in_dim(record, jnp.stack([*terms, total, *measured]), now - first, 0)
        new = State(
            tuple(changed[t] for t in problem.trainables), optimizers, state.guides, state.step_scale, state.rows
        )
        # Three states pass through, and one choice between them after the loop: one in every epoch costs 5-10 %.
        return now + finite, new, state, last, finite, slope_finite, record

    def steered(index: int, state: State, now: Any) -> tuple[Any, list[Any]]:
        """A guide's next state, with what it has of single points, and what it records."""
        guide, program = problem.guided[index].guide, problem.guided[index].program
        found = run(program, named(state), here_of(state))
        values, rows = guide.update(state.guides[index], state.rows[index], found, now)
        return (values, rows), guide.recorded(values, found)

    def recorded(buffer: list[Any], values: Sequence[Any], now: Any, interval: int) -> list[Any]:
        index = now // interval - fired_before(first, interval)
        return [
            jax.lax.dynamic_update_index_in_dim(b, jnp.asarray(v, b.dtype), index, 0)
            for b, v in zip(buffer, values, strict=True)
        ]

    def segment(carry: Any) -> Any:
        (now, state, *rest), steering, buffers = carry
        due = end
        # Trackers see what the next update is made from: guides come first.
        guided, filled = [], []
        for number, (guide, buffer) in enumerate(zip(problem.guided, steering, strict=True)):

            def steer(_: Any, buffer: Any, number: int = number, state: State = state) -> Any:
                new, values = steered(number, state, now)
                return new, recorded(buffer, values, now, problem.guided[number].interval)

            old = (state.guides[number], state.rows[number])
            new, kept = jax.lax.cond(now % guide.interval == 0, steer, lambda *same: same, old, buffer)
            state = replace(state, guides=_put(state.guides, number, new[0]), rows=_put(state.rows, number, new[1]))
            guided.append(kept)
        for watched, buffer in zip(problem.watched, buffers, strict=True):

            def write(buffer: Any, watched: CompiledTracker = watched, state: State = state) -> Any:
                return recorded(buffer, run(watched.program, named(state), here_of(state)), now, watched.interval)

            filled.append(jax.lax.cond(now % watched.interval == 0, write, lambda b: b, buffer))
        for each in (*problem.guided, *problem.watched):
            due = jnp.minimum(due, (now // each.interval + 1) * each.interval)
        inner = jax.lax.while_loop(lambda c: (c[0] < due) & c[4], epoch, (now, state, *rest))
        return inner, guided, filled

    true = jnp.asarray(True)
    width = len(problem.names) + 1 + len(problem.optimizer.measures)
    dtype = jax.tree.leaves(state.parameters)[0].dtype
    record = jnp.zeros((LONGEST, width), dtype)
    steering = [
        _buffers(lambda s, i=i: steered(i, s, first)[1], g.interval, state) for i, g in enumerate(problem.guided)
    ]
    buffers = [
        _buffers(lambda s, w=w: run(w.program, named(s), here_of(s)), w.interval, state) for w in problem.watched
    ]
    carry = ((jnp.asarray(first), state, last, last, true, true, record), steering, buffers)
    carry = jax.lax.while_loop(lambda c: (c[0][0] < end) & c[0][4], segment, carry)
    (now, state, last, earlier, finite, slope_finite, record), steering, buffers = carry
    # Where the loss is not finite, the newest state was made from it.
    state, last = jax.tree.map(lambda a, b: jnp.where(finite, a, b), (state, last), (last, earlier))
    state, last = strong((state, last), dtype)
    return state, last, now - first, finite, slope_finite, record, [*steering, *buffers]


def _with_columns(
    guided: Sequence[ScheduledRule], points: Mapping[PointSet, Any], rows: Sequence[Any]
) -> Mapping[PointSet, Any]:
    """Points with what guides have of each beside their coordinates."""
    found = dict(points)
    for each, mine in zip(guided, rows, strict=True):
        for tag, column in zip(each.guide.columns, each.guide.weights(mine), strict=True):
            found[tag] = jnp.concatenate([found[tag], column[:, None]], axis=1)
    return found


def _part(old: Any, new: Any, step_scale: Any) -> Any:
    """A part of the way from old parameters to new ones; at scale 1 these themselves, to the last bit."""
    return jax.tree.map(lambda a, b: jnp.where(step_scale == 1, b, a + step_scale * (b - a)), old, new)


def _put(values: tuple[Any, ...], index: int, new: Any) -> tuple[Any, ...]:
    return (*values[:index], new, *values[index + 1 :])


def _buffers(values: Callable[[State], list[Any]], interval: int, state: State) -> list[Any]:
    """Room for what is recorded every `interval` epochs in the longest stretch."""
    shapes = jax.eval_shape(values, state)
    return [jnp.zeros((LONGEST // interval + 1, *jnp.shape(s)), s.dtype) for s in shapes]


def fired_before(epoch: Any, interval: int) -> Any:
    """How many times a tracker has been due before an epoch."""
    return (epoch + interval - 1) // interval
