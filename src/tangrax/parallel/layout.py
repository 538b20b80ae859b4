"""How N points are dealt to D shards."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool


@dataclass(frozen=True)
class Layout:
    """`count` points in contiguous blocks of ceil(N/D) rows, one block a shard.

    Rows past the end repeat the last point: whatever is computed there is as finite as at a real point, and
    `valid` keeps it out of every sum.
    """

    count: int
    shards: int

    @property
    def rows(self) -> int:
        """Rows a shard holds."""
        return -(-self.count // self.shards)

    @property
    def padding(self) -> int:
        """Rows past the end, of all shards."""
        return self.rows * self.shards - self.count

    def pad(self, rows: np.ndarray) -> np.ndarray:
        """All shards' rows, one after the other."""
        return np.concatenate([rows, np.repeat(rows[-1:], self.padding, axis=0)])

    def valid(self, rank) -> Bool[Array, " rows"]:
        """Which rows of a shard are points, not padding."""
        return rank * self.rows + jnp.arange(self.rows) < self.count

    def own(self, everything: Array, rank) -> Array:
        """A shard's rows (padded) of an array that has all N."""
        index = jnp.minimum(rank * self.rows + jnp.arange(self.rows), self.count - 1)
        return everything[index]
