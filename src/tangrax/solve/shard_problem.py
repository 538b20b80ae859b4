"""A problem on one shard: one update, one look of an adaptive rule, the values of a tracker."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from ..expr import Node, PointSet
from ..jacobian import SpectrumProgram
from ..lower import Program, ShardContext
from ..optim import Parameters, UpdateContext
from ..parallel import Collectives
from .training_problem import CompiledTracker, ConflictFree, Problem, State


class Update(NamedTuple):
    """A state after an update, and what was computed for it."""

    state: State
    record: Float[Array, " width"]  # terms, loss, info of the optimizer
    finite: Bool[Array, ""]  # loss and gradient
    gradient_finite: Bool[Array, ""]


@dataclass(frozen=True, eq=False)
class ShardProblem:
    """A problem with a shard's points, and what no epoch of a stretch changes."""

    problem: Problem
    collectives: Collectives
    points: Mapping[PointSet, Array]
    batches: Mapping[PointSet, Array]
    constants: Mapping[Node, Any]

    def update(self, state: State, epoch: ArrayLike) -> Update:
        """One step of the optimizer."""
        parameters, shard = self._parameters(state), self._batch(state, epoch)
        gradient, loss, *terms = self._gradient_and_terms(state, shard, epoch)
        gradient_finite = jnp.isfinite(gradient).all()
        finite = jnp.isfinite(loss) & gradient_finite
        context = UpdateContext(shard, loss, gradient, lambda at: self._loss_and_gradient(at, shard), state.step_scale)
        new, optimizers, info = self.problem.optimizer.update(parameters, state.optimizers, context)
        record = jnp.stack([*terms, loss, *info])
        trained = tuple(new[trainable] for trainable in self.problem.trainables)
        return Update(replace(state, parameters=trained, optimizers=optimizers), record, finite, gradient_finite)

    def update_rule(self, index: int, state: State, epoch: ArrayLike) -> tuple[tuple[Any, Any], list[Any]]:
        """The next state and numbers of points of a rule, and the values that it records."""
        rule, program = self.problem.rules[index].rule, self.problem.rules[index].program
        measured = self._run(program, self._parameters(state), self._shard(state))
        new, rows = rule.update(state.rules[index], state.rows[index], measured, epoch)
        return (new, rows), rule.recorded(new, measured)

    def tracked(self, tracker: CompiledTracker, state: State) -> list[Any]:
        """The values of a tracker, on all points."""
        return self._run(tracker.program, self._parameters(state), self._shard(state))

    def _run(self, program: Program | SpectrumProgram, parameters: Parameters, shard: ShardContext) -> list[Any]:
        constants = [self.constants[node] for node in program.constants]
        return program.run(shard.of(program.tags), parameters, constants, self.problem.limit)

    def _parameters(self, state: State) -> Parameters:
        """Parameters, and the weights that rules set."""
        parameters = dict(zip(self.problem.trainables, state.parameters, strict=True))
        for scheduled, values in zip(self.problem.rules, state.rules, strict=True):
            parameters.update(scheduled.rule.term_weights(values))
        return parameters

    def _shard(self, state: State) -> ShardContext:
        """All points, the rules' weights of each beside its coordinates."""
        points = dict(self.points)
        for scheduled, rows in zip(self.problem.rules, state.rows, strict=True):
            for tag, column in zip(scheduled.rule.columns, scheduled.rule.point_weights(rows), strict=True):
                points[tag] = jnp.concatenate([points[tag], column[:, None]], axis=1)
        return ShardContext(self.collectives, self.problem.layouts, points)

    def _batch(self, state: State, epoch: Any) -> ShardContext:
        """The points of an update: of a tag in batches, the batch whose turn it is."""
        shard = self._shard(state)
        batches = {tag: rows[:, epoch % rows.shape[1]] for tag, rows in self.batches.items()}
        layouts = {**self.problem.layouts, **self.problem.batch_layouts}
        return ShardContext(self.collectives, layouts, {**shard.points, **batches})

    def _loss_and_gradient(self, parameters: Parameters, shard: ShardContext) -> tuple[Any, Any]:
        gradient, loss, *_ = self._run(self.problem.loss, parameters, shard)
        return loss, gradient

    def _gradient_and_terms(self, state: State, shard: ShardContext, epoch: Any) -> list[Any]:
        """The direction to descend against, the loss, the terms."""
        conflict_free = self.problem.conflict_free
        if conflict_free is None:
            return self._run(self.problem.loss, self._parameters(state), shard)
        if conflict_free.method.below is None:
            return self._without_conflict(conflict_free, state, shard, epoch)
        return jax.lax.cond(
            state.rules[conflict_free.rule],
            lambda: self._without_conflict(conflict_free, state, shard, epoch),
            lambda: self._run(self.problem.loss, self._parameters(state), shard),
        )

    def _without_conflict(
        self, conflict_free: ConflictFree, state: State, shard: ShardContext, epoch: Any
    ) -> list[Any]:
        values = self._run(conflict_free.program, self._parameters(state), shard)
        gradients, rest = values[: len(self.problem.names)], values[len(self.problem.names) :]
        return [conflict_free.method.direction(gradients, epoch), *rest]
