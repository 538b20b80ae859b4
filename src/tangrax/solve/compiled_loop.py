"""The compiled part of training: many epochs in one program for one shard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from ..expr import PointSet
from ..optim.first_order import strong
from ..parallel import Collectives
from .shard_problem import ShardProblem
from .training_problem import CompiledTracker, Problem, State

LONGEST = 1000  # epochs in a stretch: what is recorded in one has this many rows

Count = TypeVar("Count", int, Array)  # on the host, or in a program
Buffers = list[Any]  # room for values that are recorded together


def stretch_program(
    problem: Problem,
    collectives: Collectives,
    points: Mapping[PointSet, Any],
    batches: Mapping[PointSet, Any],
    state: State,
    last: State,
    constants: Sequence[Any],
    first: ArrayLike,
    count: ArrayLike,
) -> tuple[Any, ...]:
    """Train up to `count` epochs in one shard, from `state`; `last` is the state one epoch earlier.

    Ends early at the first loss or gradient that is not finite: `state` is then that of this epoch. Returns both
    states, how many epochs were done, whether loss and gradient were finite, and the gradient alone, then buffers: of
    each epoch, and of rules and trackers each time they were due.
    """
    by_node = dict(zip(problem.constants, constants, strict=True))
    stretch = ShardStretch(ShardProblem(problem, collectives, points, batches, by_node), first, first + count)
    epochs, of_rules, of_trackers = stretch.run(state, last)
    # Where the loss is not finite, the newest state was made from it.
    state, last = jax.tree.map(
        lambda a, b: jnp.where(epochs.finite, a, b), (epochs.state, epochs.last), (epochs.last, epochs.earlier)
    )
    state, last = strong((state, last), epochs.record.dtype)
    done = epochs.epoch - first
    return state, last, done, epochs.finite, epochs.gradient_finite, epochs.record, [*of_rules, *of_trackers]


def fired_before(epoch: Count, interval: int) -> Count:
    """How many times a tracker has been due before an epoch."""
    return (epoch + interval - 1) // interval


class Epochs(NamedTuple):
    """What each epoch passes to the next.

    Three states, and one choice between them after the loop: one in every epoch costs 5-10 %.
    """

    epoch: Any  # the one to come
    state: State
    last: State  # one epoch earlier
    earlier: State  # two epochs earlier
    finite: Bool[Array, ""]  # the newest loss and gradient
    gradient_finite: Bool[Array, ""]
    record: Float[Array, "longest width"]  # of each epoch: terms, loss, info of the optimizer


@dataclass(frozen=True, eq=False)
class ShardStretch:
    """Epochs from `first` up to `end`, in segments: rules and trackers due, then epochs until one of them is due.

    Epochs up to the next due one run in an inner loop without tracker code.
    """

    shard: ShardProblem
    first: Any
    end: Any

    def run(self, state: State, last: State) -> tuple[Epochs, list[Buffers], list[Buffers]]:
        """The last epoch's results, and what rules and trackers recorded."""
        problem, true = self.shard.problem, jnp.asarray(True)
        width = len(problem.names) + 1 + len(problem.optimizer.measures)
        record = jnp.zeros((LONGEST, width), jax.tree.leaves(state.parameters)[0].dtype)
        of_rules = [
            _buffers(lambda s, i=i: self.shard.update_rule(i, s, self.first)[1], rule.interval, state)
            for i, rule in enumerate(problem.rules)
        ]
        of_trackers = [_buffers(lambda s, t=t: self.shard.tracked(t, s), t.interval, state) for t in problem.trackers]
        epochs = Epochs(jnp.asarray(self.first), state, last, last, true, true, record)
        carry = (epochs, of_rules, of_trackers)
        return jax.lax.while_loop(lambda c: (c[0].epoch < self.end) & c[0].finite, self._segment, carry)

    def _segment(
        self, carry: tuple[Epochs, list[Buffers], list[Buffers]]
    ) -> tuple[Epochs, list[Buffers], list[Buffers]]:
        epochs, of_rules, of_trackers = carry
        problem, state, due = self.shard.problem, epochs.state, self.end
        # Trackers see what the next update is made from: rules come first.
        for index in range(len(problem.rules)):
            state, buffers = self._rule_if_due(index, state, of_rules[index], epochs.epoch)
            of_rules = [*of_rules[:index], buffers, *of_rules[index + 1 :]]
        of_trackers = [
            self._tracker_if_due(tracker, state, buffers, epochs.epoch)
            for tracker, buffers in zip(problem.trackers, of_trackers, strict=True)
        ]
        for each in (*problem.rules, *problem.trackers):
            due = jnp.minimum(due, (epochs.epoch // each.interval + 1) * each.interval)
        epochs = epochs._replace(state=state)
        return jax.lax.while_loop(lambda e: (e.epoch < due) & e.finite, self._epoch, epochs), of_rules, of_trackers

    def _epoch(self, epochs: Epochs) -> Epochs:
        new = self.shard.update(epochs.state, epochs.epoch)
        record = jax.lax.dynamic_update_index_in_dim(epochs.record, new.record, epochs.epoch - self.first, 0)
        after = epochs.epoch + new.finite
        return Epochs(after, new.state, epochs.state, epochs.last, new.finite, new.gradient_finite, record)

    def _rule_if_due(self, index: int, state: State, buffers: Buffers, epoch: Any) -> tuple[State, Buffers]:
        """The state with a rule's next one, and its buffers, where it is due."""
        interval = self.shard.problem.rules[index].interval

        def update(_: Any, buffers: Buffers) -> tuple[Any, Buffers]:
            new, values = self.shard.update_rule(index, state, epoch)
            return new, self._written(buffers, values, epoch, interval)

        old = (state.rules[index], state.rows[index])
        (rule, rows), buffers = jax.lax.cond(epoch % interval == 0, update, lambda *same: same, old, buffers)
        new = replace(state, rules=_put(state.rules, index, rule), rows=_put(state.rows, index, rows))
        return new, buffers

    def _tracker_if_due(self, tracker: CompiledTracker, state: State, buffers: Buffers, epoch: Any) -> Buffers:
        def write(buffers: Buffers) -> Buffers:
            return self._written(buffers, self.shard.tracked(tracker, state), epoch, tracker.interval)

        return jax.lax.cond(epoch % tracker.interval == 0, write, lambda same: same, buffers)

    def _written(self, buffers: Buffers, values: Sequence[Any], epoch: Any, interval: int) -> Buffers:
        """The buffers with the values of an epoch."""
        index = epoch // interval - fired_before(self.first, interval)
        return [
            jax.lax.dynamic_update_index_in_dim(buffer, jnp.asarray(value, buffer.dtype), index, 0)
            for buffer, value in zip(buffers, values, strict=True)
        ]


def _put(values: tuple[Any, ...], index: int, new: Any) -> tuple[Any, ...]:
    return (*values[:index], new, *values[index + 1 :])


def _buffers(values: Callable[[State], list[Any]], interval: int, state: State) -> Buffers:
    """Room for values recorded every `interval` epochs in the longest stretch."""
    shapes = jax.eval_shape(values, state)
    return [jnp.zeros((LONGEST // interval + 1, *jnp.shape(s)), s.dtype) for s in shapes]
