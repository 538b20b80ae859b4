"""Jᵀ w in the space of a step, of residuals w at other parameters: what corrects steps by the J that is decomposed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...jacobian.gram import Chunk
from ..residuals import Part
from .sketch import Cosines, Whole, bucket_sums


@dataclass(frozen=True)
class OfRows:
    """By a shard's rows of J in the space: held, or formed anew for each chunk of points."""

    parts: Sequence[Part]
    space: Cosines | Whole
    rank: Any
    held: Sequence[Any] | None  # (n, m) of each part

    def empty(self, count: int) -> Float[Array, "k m"]:
        return jnp.zeros((count, self.space.size), self.parts[0].rows.leaves[0].dtype)

    def add(
        self, found: Float[Array, "k m"], number: int, chunk: Chunk, weighted: Float[Array, "k n"]
    ) -> Float[Array, "k m"]:
        """With the weighted residuals of a chunk of a part; those that do not count are zeros."""
        part, count = self.parts[number], weighted.shape[1]
        if self.held is None:
            return found + weighted @ (part.scale * self.space.of(part.rows.of(chunk.points)))
        return found + weighted @ jax.lax.dynamic_slice_in_dim(self.held[number], part.first(chunk, self.rank), count)

    def of(self, found: Float[Array, "k m"]) -> Float[Array, "k m"]:
        """From what all shards have added up."""
        return found


@dataclass(frozen=True)
class OfBuckets:
    """By sums of rows, residuals being added up in the same buckets."""

    matrix: Float[Array, "size m"]
    key: Any
    components: Sequence[int]  # of each part

    def empty(self, count: int) -> Float[Array, "size k"]:
        return jnp.zeros((len(self.matrix), count), self.matrix.dtype)

    def add(
        self, found: Float[Array, "size k"], number: int, chunk: Chunk, weighted: Float[Array, "k n"]
    ) -> Float[Array, "size k"]:
        key = jax.random.fold_in(self.key, number)
        return found + bucket_sums(key, chunk.index, self.components[number], weighted.T, len(self.matrix))

    def of(self, found: Float[Array, "size k"]) -> Float[Array, "k m"]:
        return found.T @ self.matrix
