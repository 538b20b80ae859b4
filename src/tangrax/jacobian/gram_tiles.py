"""Tiles of the kernel of all points: those that each shard computes, and the factors sent round the ring of shards.

K is symmetric, so each of its entries off the diagonal is computed once: below the diagonal of a shard's own block,
and of the blocks of two shards by one of the two. On a ring of D shards that takes (D - 1)/2 hops; where D is even,
the two shards opposite each other share the last block, each computing half of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ..parallel import Collectives
from .weight_factors import Factors, product


class ShardFactors(eqx.Module):
    """Factors of a shard's points, laid out for products; with the points where rows are formed anew."""

    factors: Factors
    points: Any


@dataclass(frozen=True)
class Tiling:
    """Cuts a shard's points on one side of K into tiles; a point of C components is C rows of K.

    `rows`, if given, are the rows of J of a tile's points: they are then not held.
    """

    points: int  # a shard's
    tile: int
    components: int
    rows: Callable[[Any], Float[Array, "n p"]] | None = None

    @property
    def size(self) -> int:
        """Rows of K of a shard's points."""
        return self.points * self.components

    def half(self) -> "Tiling":
        """The tiling of the first half of the points."""
        points = -(-self.points // 2)
        return Tiling(points, min(self.tile, points), self.components, self.rows)

    @property
    def tiles(self) -> int:
        return -(-self.points // self.tile)

    def start(self, index: int | Array) -> int | Array:
        """First point of a tile; the last tile overlaps the one before it, so that all have one size."""
        return jnp.minimum(index * self.tile, self.points - self.tile)

    def fresh(self, index: int | Array, first: int | Array) -> Bool[Array, " n"]:
        """True for rows of a tile that lie in no tile before it, nor before the `first` point."""
        points = self.start(index) + jnp.arange(self.tile)
        return jnp.repeat(points >= jnp.maximum(index * self.tile, first), self.components)

    def factors(self, shard: ShardFactors, index: int | Array) -> Factors:
        """Factors of a tile."""
        return self._with_rows(self.slice(shard, self.start(index), self.tile))

    def slice(self, shard: ShardFactors, start: int | Array, points: int) -> ShardFactors:
        """Factors of `points` points from `start` on."""
        first, count = start * self.components, points * self.components

        def sliced(array: Array, axis: int) -> Array:
            return jax.lax.dynamic_slice_in_dim(array, first, count, axis)

        f = shard.factors
        left, right = (tuple(sliced(array, 1) for array in side) for side in (f.left, f.right))
        sliced_points = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, points), shard.points)
        rows = None if f.rows is None else sliced(f.rows, 0)
        return ShardFactors(Factors(left, right, rows, f.ones), sliced_points)

    def _with_rows(self, shard: ShardFactors) -> Factors:
        if self.rows is None:
            return shard.factors
        return Factors(shard.factors.left, shard.factors.right, self.rows(shard.points), shard.factors.ones)


@dataclass(frozen=True)
class TilePosition:
    """Position of a tile: its first row among those of this shard, its first column among those of `shard`.

    `rows` and `columns` are true for rows and columns that no other tile has. `twice` is 1 for a tile on the diagonal,
    2 for one that stands for its mirror image as well; `own` for a block of a shard with itself.
    """

    row: Any
    column: Any
    shard: Any
    rows: Bool[Array, " n"]
    columns: Bool[Array, " m"]
    twice: Any
    own: bool


Visit = Callable[[Any, Float[Array, "n m"], TilePosition], Any]


@dataclass(frozen=True)
class TileFold:
    """Folds `visit(state, tile, position)` over all tiles that a shard computes, products added up in `dtype`."""

    collectives: Collectives
    visit: Visit
    dtype: Any

    def symmetric(self, side: Tiling, local: ShardFactors, state: PyTree) -> PyTree:
        """K of one set of points with itself: half of each pair of mirrored tiles."""
        size, rank = self.collectives.size, self.collectives.rank
        state = self._triangle(side, local, state)

        def hop(k: Any, carry: Any) -> Any:
            state, remote = carry
            remote = self.collectives.shift(remote)
            block = _Block((rank - k) % size, twice=2)
            return self._block((side, local), (side, remote), block, state), remote

        if size > 2:
            state, _ = jax.lax.fori_loop(1, (size - 1) // 2 + 1, hop, (state, local))
        return self._opposite(side, local, state) if size % 2 == 0 else state

    def rectangular(
        self, first: Tiling, local: ShardFactors, second: Tiling, remote: ShardFactors, state: PyTree
    ) -> PyTree:
        """K between two sets of points: all tiles."""
        size, rank = self.collectives.size, self.collectives.rank
        state = self._block((first, local), (second, remote), _Block(rank), state)

        def hop(k: Any, carry: Any) -> Any:
            state, remote = carry
            remote = self.collectives.shift(remote)
            return self._block((first, local), (second, remote), _Block((rank - k) % size), state), remote

        return jax.lax.fori_loop(1, size, hop, (state, remote))[0] if size > 1 else state

    def _triangle(self, side: Tiling, local: ShardFactors, state: Any) -> Any:
        block = _Block(self.collectives.rank, own=True)

        def row(i: Any, state: Any) -> Any:
            p = side.factors(local, i)

            def column(j: Any, state: Any) -> Any:
                return self._tile(
                    (side, i, p),
                    (side, j, side.factors(local, j)),
                    replace(block, twice=jnp.where(i == j, 1, 2)),
                    state,
                )

            return jax.lax.fori_loop(0, i + 1, column, state)

        return jax.lax.fori_loop(0, side.tiles, row, state)

    def _block(
        self, first: tuple[Tiling, ShardFactors], second: tuple[Tiling, ShardFactors], block: "_Block", state: Any
    ) -> Any:
        (a, local), (b, remote) = first, second

        def row(i: Any, state: Any) -> Any:
            p = a.factors(local, i)

            def column(j: Any, state: Any) -> Any:
                return self._tile((a, i, p), (b, j, b.factors(remote, j)), block, state)

            return jax.lax.fori_loop(0, b.tiles, column, state)

        return jax.lax.fori_loop(0, a.tiles, row, state)

    def _tile(self, p: tuple[Tiling, Any, Factors], q: tuple[Tiling, Any, Factors], block: "_Block", state: Any) -> Any:
        (a, i, local), (b, j, remote) = p, q
        position = TilePosition(
            (a.start(i) + block.row) * a.components,
            (b.start(j) + block.column) * b.components,
            block.shard,
            a.fresh(i, block.rows_from - block.row),
            b.fresh(j, block.columns_from - block.column),
            block.twice,
            block.own,
        )
        return self.visit(state, product(local, remote, self.dtype), position)

    def _opposite(self, side: Tiling, local: ShardFactors, state: Any) -> Any:
        """The block of this shard and the one opposite, which is on both.

        The lower rank computes it for the first half of the higher one's points, the higher rank for its second half;
        both in two steps, one for each half of the lower one's. For that, half of the higher one's factors go down and
        both halves of the lower one's go up: three halves for four.
        """
        size, rank = self.collectives.size, self.collectives.rank
        away, lower, half = size // 2, rank < size // 2, side.half()
        # Where the halves overlap, their one common point counts in the first.
        end, second = half.points, side.points - half.points
        shard = (rank + away) % size

        def part(start: Any) -> ShardFactors:
            return side.slice(local, start, half.points)

        def chosen(if_lower: Any, otherwise: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(lower, a, b), if_lower, otherwise)

        received = self.collectives.shift(part(chosen(second, 0)), away)
        block = _Block(shard, second, chosen(0, second), end, chosen(0, end), 2)
        state = self._block((half, part(second)), (half, received), block, state)
        received_later = self.collectives.shift(part(0), away, range(away))
        block = _Block(shard, chosen(0, second), 0, chosen(0, end), 0, 2)
        return self._block((half, part(block.row)), (half, chosen(received, received_later)), block, state)


@dataclass(frozen=True)
class _Block:
    """A block of tiles: its shard, first row and column, and the first row and column that no block before it has."""

    shard: Any
    row: Any = 0
    column: Any = 0
    rows_from: Any = 0
    columns_from: Any = 0
    twice: Any = 1
    own: bool = False
