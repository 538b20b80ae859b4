"""The kernel of all points, tile by tile: which tiles each shard computes, and what goes round the ring of shards.

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
from jaxtyping import Array, Bool, Float

from ..parallel import Collectives
from .factors import Factors, product


class Held(eqx.Module):
    """What a shard has of its points, laid out for products: factors, and the points where rows are formed anew."""

    factors: Factors
    points: Any


@dataclass(frozen=True)
class Side:
    """How the points of one side are cut into tiles; a point of C components is C rows of K.

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

    def half(self) -> "Side":
        points = -(-self.points // 2)
        return Side(points, min(self.tile, points), self.components, self.rows)

    @property
    def tiles(self) -> int:
        return -(-self.points // self.tile)

    def start(self, index: Any) -> Any:
        """The last tile overlaps the one before it: all have one size, and none reaches beyond the points."""
        return jnp.minimum(index * self.tile, self.points - self.tile)

    def fresh(self, index: Any, first: Any) -> Bool[Array, " n"]:
        """Which rows of a tile lie in no tile before it, nor before the `first` point."""
        place = self.start(index) + jnp.arange(self.tile)
        return jnp.repeat(place >= jnp.maximum(index * self.tile, first), self.components)

    def cut(self, held: Held, index: Any) -> Factors:
        """A tile's factors."""
        return self._rows_formed(self.slice(held, self.start(index), self.tile))

    def slice(self, held: Held, start: Any, points: int) -> Held:
        """What is held of `points` points from `start` on."""
        first, count = start * self.components, points * self.components

        def of(array: Array, axis: int) -> Array:
            return jax.lax.dynamic_slice_in_dim(array, first, count, axis)

        f = held.factors
        left, right = (tuple(of(array, 1) for array in side) for side in (f.left, f.right))
        here = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, points), held.points)
        rows = None if f.rows is None else of(f.rows, 0)
        return Held(Factors(left, right, rows, f.ones), here)

    def _rows_formed(self, held: Held) -> Factors:
        if self.rows is None:
            return held.factors
        return Factors(held.factors.left, held.factors.right, self.rows(held.points), held.factors.ones)


@dataclass(frozen=True)
class Place:
    """Where a tile lies: its first row among those of this shard, its first column among those of `shard`.

    `rows` and `columns` tell which of its rows and columns no other tile has. `twice` is 1 for a tile on the diagonal,
    2 for one that stands for its mirror image as well; `own` for a block of a shard with itself.
    """

    row: Any
    column: Any
    shard: Any
    rows: Bool[Array, " n"]
    columns: Bool[Array, " m"]
    twice: Any
    own: bool


Visit = Callable[[Any, Float[Array, "n m"], Place], Any]


@dataclass(frozen=True)
class Sweep:
    """All tiles that a shard computes; `visit(state, tile, place)` takes in each."""

    collectives: Collectives
    visit: Visit
    dtype: Any

    def alike(self, side: Side, mine: Held, state: Any) -> Any:
        """K of one set of points with itself: half of each pair of mirrored tiles."""
        size, rank = self.collectives.size, self.collectives.rank
        state = self._triangle(side, mine, state)

        def hop(k: Any, carry: Any) -> Any:
            state, held = carry
            held = self.collectives.shift(held)
            where = _Where((rank - k) % size, twice=2)
            return self._block((side, mine), (side, held), where, state), held

        if size > 2:
            state, _ = jax.lax.fori_loop(1, (size - 1) // 2 + 1, hop, (state, mine))
        return self._opposite(side, mine, state) if size % 2 == 0 else state

    def between(self, first: Side, mine: Held, second: Side, theirs: Held, state: Any) -> Any:
        """K between two sets of points: all tiles."""
        size, rank = self.collectives.size, self.collectives.rank
        state = self._block((first, mine), (second, theirs), _Where(rank), state)

        def hop(k: Any, carry: Any) -> Any:
            state, held = carry
            held = self.collectives.shift(held)
            return self._block((first, mine), (second, held), _Where((rank - k) % size), state), held

        return jax.lax.fori_loop(1, size, hop, (state, theirs))[0] if size > 1 else state

    def _triangle(self, side: Side, mine: Held, state: Any) -> Any:
        where = _Where(self.collectives.rank, own=True)

        def row(i: Any, state: Any) -> Any:
            p = side.cut(mine, i)

            def column(j: Any, state: Any) -> Any:
                return self._tile(
                    (side, i, p), (side, j, side.cut(mine, j)), replace(where, twice=jnp.where(i == j, 1, 2)), state
                )

            return jax.lax.fori_loop(0, i + 1, column, state)

        return jax.lax.fori_loop(0, side.tiles, row, state)

    def _block(self, first: tuple[Side, Held], second: tuple[Side, Held], where: "_Where", state: Any) -> Any:
        (a, mine), (b, theirs) = first, second

        def row(i: Any, state: Any) -> Any:
            p = a.cut(mine, i)

            def column(j: Any, state: Any) -> Any:
                return self._tile((a, i, p), (b, j, b.cut(theirs, j)), where, state)

            return jax.lax.fori_loop(0, b.tiles, column, state)

        return jax.lax.fori_loop(0, a.tiles, row, state)

    def _tile(self, p: tuple[Side, Any, Factors], q: tuple[Side, Any, Factors], where: "_Where", state: Any) -> Any:
        (a, i, mine), (b, j, theirs) = p, q
        place = Place(
            (a.start(i) + where.row) * a.components,
            (b.start(j) + where.column) * b.components,
            where.shard,
            a.fresh(i, where.rows_from - where.row),
            b.fresh(j, where.columns_from - where.column),
            where.twice,
            where.own,
        )
        return self.visit(state, product(mine, theirs, self.dtype), place)

    def _opposite(self, side: Side, mine: Held, state: Any) -> Any:
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

        def part(start: Any) -> Held:
            return side.slice(mine, start, half.points)

        def chosen(if_lower: Any, otherwise: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(lower, a, b), if_lower, otherwise)

        came = self.collectives.shift(part(chosen(second, 0)), away)
        where = _Where(shard, second, chosen(0, second), end, chosen(0, end), 2)
        state = self._block((half, part(second)), (half, came), where, state)
        later = self.collectives.shift(part(0), away, range(away))
        where = _Where(shard, chosen(0, second), 0, chosen(0, end), 0, 2)
        return self._block((half, part(where.row)), (half, chosen(came, later)), where, state)


@dataclass(frozen=True)
class _Where:
    """A block of tiles: of which shard, where it begins, and the rows and columns that others have already."""

    shard: Any
    row: Any = 0
    column: Any = 0
    rows_from: Any = 0
    columns_from: Any = 0
    twice: Any = 1
    own: bool = False
