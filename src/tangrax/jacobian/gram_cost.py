"""Predicted memory, operations and traffic of the programs in gram.py."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .gram import CHUNK, Choice, Rows, accumulation, tile_of
from .plan import Cost
from .weight_tracing import trace_weights


def gram_cost(sides: Sequence[Rows], choice: Choice, *, stores: bool = True) -> Cost:
    """Cost of K (or, without storing it, of its moments) by a choice of factors and rows."""
    first, last = sides[0], sides[-1]
    shards, alike = first.layout.shards, len(sides) == 1
    accumulated = _itemsize(accumulation(jnp.result_type(*first.leaves)))
    rows, columns = _rows(first), _rows(last)
    factor_bytes = [_bytes(_factors(side, choice)) for side in sides]
    travels = factor_bytes[-1]
    if not choice.held:
        columns_formed = [
            choice.split.columns(side.leaves) * _itemsize(jnp.result_type(*side.leaves)) for side in sides
        ]
    else:
        columns_formed = [0, 0]
    tile = max(_tile(side, choice, accumulated) for side in sides) + sum(
        tile_of(side, choice) * side.components * row_bytes
        for side, row_bytes in zip([first, last], [columns_formed[0], columns_formed[-1]], strict=True)
    )
    # Of one device, half of the factors stand twice where chunks are joined; on an even ring, halves of those of three
    # shards beside a shard's own.
    if shards == 1:
        beside = max(0, sum(factor_bytes) // 2 - tile)
    else:
        beside = 3 * travels // 2 if shards % 2 == 0 and alike else travels if not alike else 0
    peak = sum(factor_bytes) + beside + tile
    if stores:
        whole = rows * shards * columns * accumulated
        cut = rows * last.layout.count * last.components * accumulated
        # Blocks that shards send each other of a symmetric K, two shards halves of one; or a copy where columns of
        # padding are cut off.
        blocks = min(shards - 1, 2) * rows * rows * accumulated if alike else 0
        peak += whole + max(blocks, cut if cut != whole else 0)
    pairs = rows * columns * (1 if not alike else 0.5) * shards
    operations = 2 * pairs * _multiplications(sides, choice)
    hops = (shards - 1 if not alike else (shards - 1) / 2) if shards > 1 else 0
    tiles = rows * rows * accumulated * (shards - 1) / 2 if alike and stores else 0
    return Cost(int(peak), operations, int(hops * travels + tiles))


def dual_cost(rows: Rows) -> Cost:
    """Cost of JᵀJ, rows formed a chunk at a time."""
    columns = sum(int(np.size(leaf)) for leaf in rows.leaves)
    dtype = jnp.result_type(*rows.leaves)
    square = columns**2 * _itemsize(accumulation(dtype))
    chunk = min(CHUNK, rows.layout.rows) * rows.components * columns * _itemsize(dtype)
    several = rows.layout.shards > 1
    operations = 2.0 * _rows(rows) * columns**2
    return Cost(2 * square + (square if several else 0) + 3 * chunk, operations, square if several else 0)


def _rows(side: Rows) -> int:
    """Rows of K of a shard's points."""
    return side.layout.rows * side.components


def _factors(side: Rows, choice: Choice) -> Any:
    factors = jax.eval_shape(lambda points: side.factors(points, choice.split, choice.chunk), side.points)
    return (factors.left, factors.right, factors.rows if choice.held else side.points)


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _tile(side: Rows, choice: Choice, itemsize: int) -> int:
    """Bytes of the products of all uses with all uses, on both sides of a weight."""
    traced = trace_weights(side.function, side.leaves, side.one)
    most = max((traced.count(leaf) for leaf in choice.split.weights), default=1)
    return 3 * (most * tile_of(side, choice) * side.components) ** 2 * itemsize


def _multiplications(sides: Sequence[Rows], choice: Choice) -> float:
    """Multiplications for one entry of K."""
    first, last = (trace_weights(side.function, side.leaves, side.one) for side in (sides[0], sides[-1]))
    by_factors = sum(
        first.count(leaf) * last.count(leaf) * (sum(first.uses_of(leaf)[0].shape) + 1) for leaf in choice.split.weights
    )
    return by_factors + choice.split.columns(sides[0].leaves)


def _itemsize(dtype: Any) -> int:
    return np.dtype(dtype).itemsize
