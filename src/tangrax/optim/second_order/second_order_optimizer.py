"""Base classes of second-order optimizers: the settings of a user, the optimizer of a problem; pieces of a step."""

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ...expr import Node, Selection, Trainable
from ...jacobian.gram import CHUNK, over_points
from ...lower import ShardContext, put_selected
from ...parallel import Collectives
from ..optimizer_protocol import Parameters, UpdateContext
from ..residuals import Residual, ShardResidual, residual_in_shard, residuals_of
from .residual_gradients import BucketGradients, RowGradients

MEMORY = 2**26  # bytes of the rows of J that are formed at once
STALLED = 10  # steps in a row without a lower loss after which a run says so


class Settings(abc.ABC):
    """What a user writes, before there is a problem."""

    name: ClassVar[str]
    governs_all: ClassVar[bool] = True
    needs_double: ClassVar[bool]

    @abc.abstractmethod
    def build(self, residuals: tuple[Residual, ...], wrt: tuple[Selection, ...]) -> "SecondOrder":
        """The optimizer of a problem."""

    def build_for(self, terms: Mapping[str, Node], trained: Sequence[Trainable]) -> "SecondOrder":
        """The optimizer of these terms; raises ValueError for one that is no sum of squares."""
        return self.build(residuals_of(terms, self.name), tuple(Selection(trainable) for trainable in trained))


@dataclass(frozen=True)
class SecondOrder(abc.ABC):
    """Steps of all trainables of a problem from its residuals r, so weighted that the loss is ‖r‖²."""

    residuals: tuple[Residual, ...]
    wrt: tuple[Selection, ...]

    @property
    @abc.abstractmethod
    def measures(self) -> tuple[str, ...]:
        """Names, in the history, of the numbers recorded of each step."""

    @abc.abstractmethod
    def init(self, parameters: Parameters) -> PyTree:
        """The state before the first step."""

    @abc.abstractmethod
    def step(
        self, parameters: Parameters, state: PyTree, shard: ShardContext
    ) -> tuple[Parameters, Any, tuple[Any, ...]]:
        """New parameters after one full step, new state, and the values of `measures`."""

    @abc.abstractmethod
    def trouble(self, state: PyTree) -> str | None:
        """Why the last steps did not lower the loss, once there are `STALLED` of them."""

    def update(
        self, parameters: Parameters, state: PyTree, context: UpdateContext
    ) -> tuple[Parameters, Any, tuple[Any, ...]]:
        """The part `context.step_scale` of a step; its loss and gradient are not used: a step makes its own."""
        new, state, info = self.step(parameters, state, context.shard)
        scaled = {
            selection.trainable: _part(parameters[selection.trainable], new[selection.trainable], context.step_scale)
            for selection in self.wrt
        }
        return {**new, **scaled}, state, info

    @property
    def rows(self) -> int:
        """N, residuals of all terms at the points they were written for."""
        return sum(residual.size for residual in self.residuals)

    @property
    def columns(self) -> int:
        """P, trained parameters."""
        return sum(selection.size for selection in self.wrt)

    def parts(self, parameters: Parameters, shard: ShardContext) -> list[ShardResidual]:
        """The residuals at a shard's points."""
        return [
            residual_in_shard(
                r, self.wrt, shard.collectives, shard.layouts[r.points], shard.points[r.points], parameters
            )
            for r in self.residuals
        ]

    def flat(self, parameters: Parameters) -> tuple[Float[Array, " p"], Callable[[Any], Parameters]]:
        """All trained parameters as a vector, and the function that puts another vector in their place."""
        flat, leaves_of = ravel_pytree([selection.take(parameters[selection.trainable]) for selection in self.wrt])
        return flat, lambda new: {**parameters, **put_selected(parameters, self.wrt, leaves_of(new))}


def _part(old: Any, new: Any, step_scale: Any) -> Any:
    """A part of the way from old parameters to new ones; at scale 1 these themselves, to the last bit."""
    return jax.tree.map(lambda a, b: jnp.where(step_scale == 1, b, a + step_scale * (b - a)), old, new)


def points_at_once(part: ShardResidual, least: int = CHUNK) -> int:
    """How many points' rows are formed at once: as many as fit into 64 MiB, no more than pay."""
    columns = sum(leaf.size for leaf in part.rows.leaves)
    row = part.rows.components * columns * part.rows.leaves[0].dtype.itemsize
    return max(1, min(max(CHUNK, least), MEMORY // row))


def losses_at(
    parts: Sequence[ShardResidual],
    vectors: Float[Array, "k p"],
    collectives: Collectives,
    residual_gradients: RowGradients | BucketGradients | None = None,
) -> tuple[Float[Array, " k"], Any]:
    """‖r‖² at k parameter vectors; with `residual_gradients`, also Jᵀr at each. One pass over the points."""
    state = (
        jnp.zeros(len(vectors), vectors.dtype),
        () if residual_gradients is None else residual_gradients.empty(len(vectors)),
    )
    for number, part in enumerate(parts):
        leaves = jax.vmap(ravel_pytree(list(part.rows.leaves))[1])(vectors)

        def add(state: Any, chunk: Any, number: int = number, part: ShardResidual = part, leaves: Any = leaves) -> Any:
            values = jax.vmap(lambda leaves: part.values(leaves, chunk.points))(leaves)
            weighted = part.scale * jnp.where(chunk.counted[None], values, 0)
            losses, gradients = state
            if residual_gradients is not None:
                gradients = residual_gradients.add(gradients, number, chunk, weighted)
            return losses + jnp.sum(weighted**2, axis=1), gradients

        state = over_points(part.rows, collectives.rank, add, state)
    losses, gradients = collectives.sum(state)
    return losses, () if residual_gradients is None else residual_gradients.finish(gradients)


def from_first_shard(collectives: Collectives, tree: PyTree) -> PyTree:
    """The first shard's arrays, on all shards: two LAPACKs differ in rounding."""
    if collectives.size == 1:
        return tree
    return collectives.sum(jax.tree.map(lambda x: jnp.where(collectives.rank == 0, x, jnp.zeros_like(x)), tree))
