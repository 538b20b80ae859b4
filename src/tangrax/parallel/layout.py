"""Layout: how N points are dealt to D shards."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool

PIECE = 2**18  # rows that are made and rounded at once


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

    def pad(self, rows: Any, dtype: DTypeLike | None = None) -> "Padded":
        """All shards' rows, one after the other; of an array, or of what makes the rows of a slice when asked."""
        return Padded(rows, self, np.dtype(rows.dtype if dtype is None else dtype))

    def batches(self, rows: Any, dtype: DTypeLike) -> "Batched":
        """The same of more rows than `count`: one batch of `count` beside the other."""
        return Batched(rows, self, np.dtype(dtype))

    def valid(self, rank) -> Bool[Array, " rows"]:
        """Which rows of a shard are points, not padding."""
        return rank * self.rows + jnp.arange(self.rows) < self.count

    def own(self, everything: Array, rank) -> Array:
        """A shard's rows (padded) of an array that has all N."""
        index = jnp.minimum(rank * self.rows + jnp.arange(self.rows), self.count - 1)
        return everything[index]


@dataclass(frozen=True)
class Padded:
    """Rows of all shards in a dtype, those of `rows` from `start` on. Slices are made when asked for."""

    rows: Any
    layout: Layout
    dtype: np.dtype
    start: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.layout.rows * self.layout.shards, *self.rows.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, _ = part.indices(len(self))
        rows = np.empty((stop - start, *self.shape[1:]), self.dtype)
        end = min(stop, self.layout.count)
        for first in range(start, end, PIECE):
            last = min(first + PIECE, end)
            rows[first - start : last - start] = self.rows[self.start + first : self.start + last]
        if end < stop:
            newest = self.start + self.layout.count
            rows[max(0, end - start) :] = self.rows[newest - 1 : newest]
        return rows


@dataclass(frozen=True)
class Batched:
    """Rows in batches beside each other, each dealt as `layout` says: (all shards' rows, batches, …).

    Batch k holds `layout.count` rows from k times as many on; the last batch the last ones, some of which the one
    before it may have too. A slice, such as a shard's part of every batch, is made when asked for.
    """

    rows: Any
    layout: Layout
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        batches = -(-len(self.rows) // self.layout.count)
        return (self.layout.rows * self.layout.shards, batches, *self.rows.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        count = self.layout.count
        starts = [min(batch * count, len(self.rows) - count) for batch in range(self.shape[1])]
        return np.stack([Padded(self.rows, self.layout, self.dtype, start)[part] for start in starts], axis=1)
