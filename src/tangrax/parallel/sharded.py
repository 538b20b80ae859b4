"""Sharded rows: results that stay on their shards."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..expr import as_jax, checked_array
from .base import Transport
from .collectives import Collectives
from .layout import Layout


class ShardedRows:
    """N rows, split over the devices: what `solver.eval(..., sharded=True)` returns.

    Products keep the rows where they are: `J @ v`, `J.T @ w`, and `J @ J.T`, whose rows are sharded like J's.
    """

    def __init__(self, blocks: Sequence[jax.Array], layout: Layout, transport: Transport):
        """`blocks` lie side by side: all have every row, each some of the columns."""
        self.blocks, self.layout, self.transport = list(blocks), layout, transport

    @property
    def shape(self) -> tuple[int, ...]:
        first, *rest = [block.shape[1:] for block in self.blocks]
        return (self.layout.count, *(first if not rest else (*first[:-1], self.ends[-1])))

    @property
    def ends(self) -> list[int]:
        """Where each block's columns end."""
        return list(itertools.accumulate(block.shape[-1] for block in self.blocks))

    @property
    def dtype(self) -> Any:
        return self.blocks[0].dtype

    @property
    def padded(self) -> jax.Array:
        """The rows as one JAX array: parts of equal size, one a device, the last rows repeated.

        Those of a Jacobian are held as an array for each weight and joined here, for as much memory again.
        """
        if len(self.blocks) > 1:

            def program(collectives: Collectives, blocks: Any, nothing: Any) -> tuple[Any, Any]:
                return (), jnp.concatenate(blocks, axis=-1)

            _, joined = self.transport.spmd(program, "joining columns")(self.blocks, ())
            self.blocks = [joined]
        return self.blocks[0]

    @property
    def local(self) -> np.ndarray:
        """The rows that the devices of this process hold, without padding."""
        blocks = [self.transport.local(block) for block in self.blocks]
        return _joined([rows for _, rows in blocks])[: max(0, self.layout.count - blocks[0][0])]

    def gather(self) -> np.ndarray:
        """All N rows as one local array."""
        return _joined([self.transport.fetch(block) for block in self.blocks])[: self.layout.count]

    def collect(self) -> np.ndarray | None:
        """All N rows on the process that writes, None on all others."""
        blocks = [self.transport.collect(block) for block in self.blocks]
        return None if blocks[0] is None else _joined(blocks)[: self.layout.count]  # pyright: ignore[reportArgumentType]

    def __len__(self) -> int:
        return self.layout.count

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.gather(), dtype=dtype, copy=copy)

    @property
    def T(self) -> "TransposedRows":
        return TransposedRows(self)

    def __matmul__(self, other: Any) -> "ShardedRows":
        """Rows times a matrix or vector that every device has, or times `J.T`: (N, …), sharded like the rows."""
        if isinstance(other, TransposedRows):
            return self._gram(other.rows)
        factor = as_jax(checked_array("rows @ array", other, self.dtype))
        if len(self.shape) != 2 or factor.shape[:1] != self.shape[1:]:
            raise ValueError(f"rows of shape {self.shape} @ array of shape {factor.shape}: inner sizes differ")

        def program(collectives: Collectives, blocks: Any, factors: Any) -> tuple[Any, Any]:
            return (), sum(block @ part for block, part in zip(blocks, factors, strict=True))

        parts = jnp.split(factor, self.ends[:-1])
        _, product = self.transport.spmd(program, "rows @ vector")(self.blocks, self.transport.replicate(parts))
        return ShardedRows([product], self.layout, self.transport)

    def _gram(self, other: "ShardedRows") -> "ShardedRows":
        if len(self.shape) != 2 or self.shape[1:] != other.shape[1:]:
            raise ValueError(f"rows of shape {self.shape} @ rows of shape {other.shape} transposed: sizes differ")
        count, block = other.layout.count, other.layout.rows

        def program(collectives: Collectives, rows: Any, nothing: Any) -> tuple[Any, Any]:
            own, theirs = rows
            size, rank = collectives.size, collectives.rank

            # The other factor's blocks travel once round the ring; no shard ever holds two of them.
            def hop(k: Any, carry: Any) -> Any:
                columns, travelling = carry
                start = ((rank - k) % size) * block
                product = sum(a @ b.T for a, b in zip(own, travelling, strict=True))
                columns = jax.lax.dynamic_update_slice(columns, product, (jnp.zeros_like(start), start))
                return columns, collectives.shift(travelling)

            empty = jnp.zeros((len(own[0]), size * block), own[0].dtype)
            columns, _ = jax.lax.fori_loop(0, size, hop, (empty, theirs))
            return (), columns[:, :count]

        alike = self.ends == other.ends
        pair = (self.blocks, other.blocks) if alike else ([self.padded], [other.padded])
        _, product = self.transport.spmd(program, "rows @ rows.T")(pair, ())
        return ShardedRows([product], self.layout, self.transport)

    def __repr__(self) -> str:
        return f"ShardedRows{self.shape} of {self.dtype} on {self.transport.size} device(s)"


def _joined(blocks: Sequence[np.ndarray]) -> np.ndarray:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=-1)


class TransposedRows:
    """`rows.T`, for products."""

    def __init__(self, rows: ShardedRows):
        self.rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        return self.rows.shape[::-1]

    def __matmul__(self, other: Any) -> np.ndarray:
        """Σ over points of row times entry: one all-reduce; `other` has one entry (or row) a point."""
        rows, transport, layout = self.rows, self.rows.transport, self.rows.layout
        shape = other.shape if isinstance(other, ShardedRows) else np.shape(other)
        if shape[:1] != (layout.count,):
            raise ValueError(f"J.T @ array of shape {shape}: its first axis must be the {layout.count} points")
        if isinstance(other, ShardedRows):
            padded = other.padded
        else:
            padded = transport.place(layout.pad(checked_array("J.T @ array", other, rows.dtype)))

        def program(collectives: Collectives, sharded: Any, nothing: Any) -> tuple[Any, Any]:
            blocks, weights = sharded
            valid = layout.valid(collectives.rank)
            masked = jnp.where(valid.reshape(-1, *(1,) * (weights.ndim - 1)), weights, 0)
            products = [jnp.tensordot(block, masked, axes=(0, 0)) for block in blocks]
            return collectives.sum(
                products[0] if len(blocks) == 1 else jnp.concatenate(products, blocks[0].ndim - 2)
            ), ()

        product, _ = transport.spmd(program, "rows.T @ vector")((rows.blocks, padded), ())
        return np.asarray(product)
