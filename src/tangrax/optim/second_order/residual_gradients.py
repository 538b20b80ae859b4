"""Residual gradients Jᵀw in the space of a step, for residuals w at other parameters and the J that is decomposed.

They correct steps for what bends out of the linear model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...jacobian.gram import Chunk
from ..residuals import ShardResidual
from .sketch import CosineSketch, FullSpace, count_sketch


@dataclass(frozen=True)
class RowGradients:
    """From a shard's rows of J in the space: stored, or formed anew for each chunk of points."""

    parts: Sequence[ShardResidual]
    space: CosineSketch | FullSpace
    rank: Any
    rows: Sequence[Any] | None  # stored ones, (n, m) of each part

    def empty(self, count: int) -> Float[Array, "k m"]:
        return jnp.zeros((count, self.space.size), self.parts[0].rows.leaves[0].dtype)

    def add(
        self, total: Float[Array, "k m"], number: int, chunk: Chunk, weighted: Float[Array, "k n"]
    ) -> Float[Array, "k m"]:
        """The sum with the weighted residuals of a chunk of a part; those that do not count are zeros."""
        part, count = self.parts[number], weighted.shape[1]
        if self.rows is None:
            return total + weighted @ (part.scale * self.space.of(part.rows.of(chunk.points)))
        return total + weighted @ jax.lax.dynamic_slice_in_dim(self.rows[number], part.first(chunk, self.rank), count)

    def finish(self, total: Float[Array, "k m"]) -> Float[Array, "k m"]:
        """Jᵀw from the sum over all shards."""
        return total


@dataclass(frozen=True)
class BucketGradients:
    """From sums of rows in random buckets; residuals are added up in the same ones."""

    matrix: Float[Array, "size m"]
    key: Any
    components: Sequence[int]  # of each part

    def empty(self, count: int) -> Float[Array, "size k"]:
        return jnp.zeros((len(self.matrix), count), self.matrix.dtype)

    def add(
        self, total: Float[Array, "size k"], number: int, chunk: Chunk, weighted: Float[Array, "k n"]
    ) -> Float[Array, "size k"]:
        key = jax.random.fold_in(self.key, number)
        return total + count_sketch(key, chunk.index, self.components[number], weighted.T, len(self.matrix))

    def finish(self, total: Float[Array, "size k"]) -> Float[Array, "k m"]:
        return total.T @ self.matrix
