"""Results that stay on their shards."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .base import Transport
from .collectives import Collectives
from .layout import Layout


class ShardedRows:
    """N rows, split over the devices: what `solver.eval(..., sharded=True)` returns.

    Products keep the rows where they are: `J @ v`, `J.T @ w`, and `J @ J.T`, whose rows are sharded like J's.
    """

    def __init__(self, rows: jax.Array, layout: Layout, transport: Transport):
        self._rows, self._layout, self._transport = rows, layout, transport

    @property
    def shape(self) -> tuple[int, ...]:
        return (self._layout.count, *self._rows.shape[1:])

    @property
    def dtype(self) -> Any:
        return self._rows.dtype

    @property
    def padded(self) -> jax.Array:
        """The rows as JAX holds them: blocks of equal size, one a device, the last rows repeated."""
        return self._rows

    @property
    def local(self) -> np.ndarray:
        """The rows that the devices of this process hold, without padding."""
        start, rows = self._transport.local(self._rows)
        return rows[: max(0, self._layout.count - start)]

    def gather(self) -> np.ndarray:
        """All N rows as one local array."""
        return self._transport.fetch(self._rows)[: self._layout.count]

    def __len__(self) -> int:
        return self._layout.count

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.gather(), dtype=dtype, copy=copy)

    @property
    def T(self) -> "TransposedRows":
        return TransposedRows(self)

    def __matmul__(self, other: Any) -> "ShardedRows":
        """Rows times a matrix or vector that every device has, or times `J.T`: (N, …), sharded like the rows."""
        if isinstance(other, TransposedRows):
            return self._gram(other.rows)
        factor = jnp.asarray(other, self.dtype)
        if len(self.shape) != 2 or factor.shape[:1] != self.shape[1:]:
            raise ValueError(f"rows of shape {self.shape} @ array of shape {factor.shape}: inner sizes differ")

        def program(collectives: Collectives, rows: Any, factor: Any) -> tuple[Any, Any]:
            return (), rows @ factor

        _, product = self._transport.spmd(program)(self._rows, self._transport.replicate(factor))
        return ShardedRows(product, self._layout, self._transport)

    def _gram(self, other: "ShardedRows") -> "ShardedRows":
        if len(self.shape) != 2 or self.shape[1:] != other.shape[1:]:
            raise ValueError(f"rows of shape {self.shape} @ rows of shape {other.shape} transposed: sizes differ")
        count, block = other._layout.count, other._layout.rows

        def program(collectives: Collectives, rows: Any, nothing: Any) -> tuple[Any, Any]:
            mine, theirs = rows
            size, rank = collectives.size, collectives.rank

            # The other factor's blocks travel once round the ring; no shard ever holds two of them.
            def hop(k: Any, carry: Any) -> Any:
                columns, held = carry
                start = ((rank - k) % size) * block
                columns = jax.lax.dynamic_update_slice(columns, mine @ held.T, (jnp.zeros_like(start), start))
                return columns, collectives.shift(held)

            empty = jnp.zeros((len(mine), size * block), mine.dtype)
            columns, _ = jax.lax.fori_loop(0, size, hop, (empty, theirs))
            return (), columns[:, :count]

        _, product = self._transport.spmd(program)((self._rows, other._rows), ())
        return ShardedRows(product, self._layout, self._transport)

    def __repr__(self) -> str:
        return f"ShardedRows{self.shape} of {self.dtype} on {self._transport.size} device(s)"


class TransposedRows:
    """`rows.T`, for products."""

    def __init__(self, rows: ShardedRows):
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape[::-1]

    def __matmul__(self, other: Any) -> np.ndarray:
        """Σ over points of row times entry: one all-reduce; `other` has one entry (or row) a point."""
        rows, transport, layout = self.rows, self.rows._transport, self.rows._layout
        shape = other.shape if isinstance(other, ShardedRows) else np.shape(other)
        if shape[:1] != (layout.count,):
            raise ValueError(f"J.T @ array of shape {shape}: its first axis must be the {layout.count} points")
        if isinstance(other, ShardedRows):
            padded = other.padded
        else:
            padded = transport.place(layout.pad(np.asarray(other, rows.dtype)))

        def program(collectives: Collectives, sharded: Any, nothing: Any) -> tuple[Any, Any]:
            mine, weights = sharded
            valid = layout.valid(collectives.rank)
            kept = jnp.where(valid.reshape(-1, *(1,) * (weights.ndim - 1)), weights, 0)
            return collectives.sum(jnp.tensordot(mine, kept, axes=(0, 0))), ()

        product, _ = transport.spmd(program)((rows.padded, padded), ())
        return np.asarray(product)
