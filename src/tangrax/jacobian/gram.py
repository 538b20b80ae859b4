"""K = J_a J_bᵀ between the points of shards, by factors: no shard forms its rows of J for a weight that has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..parallel import Collectives, Layout
from .cost import Rates, split
from .factors import Split, factors_at, laid_out
from .tiles import Held, Place, Side, Sweep
from .weight_tracing import Function, look

CHUNK = 256  # points whose rows are formed at once: enough to keep a core busy, temporaries of a few MB
FACTORS = 2048  # points whose factors are computed at once, uses counted
PRODUCT = 512  # rows of a matrix product in a tile, uses counted: its results, of 1 MB each, stay in the cache
STRIP = 32  # rows of a tile that are transposed at once
TILES = (32, 340)  # rows of K that a tile may have: more of them are computed in vain on the diagonal


@dataclass(frozen=True)
class Rows:
    """One J in one shard: a function of its leaves and a point, at the shard's points."""

    function: Function
    leaves: Sequence[Any]
    points: Any  # arrays with one entry a point along their first axis
    layout: Layout
    kept: Any = None  # which points count, if not all

    @property
    def components(self) -> int:
        """C, the rows of J of a point."""
        value = jax.eval_shape(self.function, list(self.leaves), self.one)
        return int(value.size)

    @property
    def size(self) -> int:
        """N C, the rows of J of all shards' points."""
        return self.layout.count * self.components

    @property
    def one(self) -> Any:
        """What a point looks like."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), self.points)

    def of(self, points: Any) -> Float[Array, "n p"]:
        """All of J's columns at some points, C rows a point."""
        return self.without(Split())(points)

    def without(self, chosen: Split) -> Callable[[Any], Float[Array, "n p"]]:
        """The columns that do not go by factors, as a function of some points."""

        def rows(points: Any) -> Float[Array, "n p"]:
            found = self.factors(points, chosen, CHUNK).rows
            assert found is not None
            return found.reshape(-1, found.shape[-1])

        return rows

    def factors(self, points: Any, chosen: Split, at_once: int) -> Any:
        """Factors of some points, in chunks of one size: the last overlaps the one before it."""
        count = len(jax.tree.leaves(points)[0])
        at = jax.vmap(lambda point: factors_at(self.function, self.leaves, point, chosen))
        if count <= at_once:
            return at(points)
        cut = Side(count, evenly(count, at_once), 1)

        def step(i: Any, found: Any) -> Any:
            start = cut.start(i)
            here = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, cut.tile), points)
            put = lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, start, 0)  # noqa: E731
            return jax.tree.map(put, found, at(here))

        shapes = jax.eval_shape(at, points)
        return jax.lax.fori_loop(0, cut.tiles, step, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))

    def counted(self, rank: Any) -> Any:
        """Which of the shard's points count: no padding, none that is not kept."""
        valid = self.layout.valid(rank)
        return valid if self.kept is None else valid & self.kept


@dataclass(frozen=True)
class Choice:
    """How a kernel is computed: what goes by factors, and whether rows are held or formed anew for each tile."""

    split: Split
    tile: int  # rows of K
    chunk: int = CHUNK  # points whose factors are computed at once
    held: bool = True


def choose(sides: Sequence[Rows], known: Rates | None, held: bool = True) -> Choice:
    """The cheaper way for each leaf."""
    found = [look(side.function, side.leaves, side.one) for side in sides]
    chosen = split(found, sides[0].leaves, known)
    most = max((f.count(leaf) for f in found for leaf in chosen.weights), default=1)
    return Choice(chosen, int(np.clip(PRODUCT // most, *TILES)), max(CHUNK, FACTORS // most), held)


def accumulation(dtype: Any) -> Any:
    """What products are added up in: double precision where JAX has it."""
    return jnp.promote_types(dtype, jnp.result_type(float))


def stored(collectives: Collectives, sides: Sequence[Rows], choice: Choice) -> Float[Array, "rows c columns"]:
    """One shard's rows of K: (rows, C_a, M · C_b), the columns in the order of the points of the second side.

    One side alone is the kernel with itself. Columns of padding are cut off; rows and columns of points that do not
    count are zeros.
    """
    first, last = sides[0], sides[-1]
    cut = [_cut(side, choice) for side in sides]
    held = [_held(side, choice, collectives.rank) for side in sides]
    a, b = cut[0], cut[-1]
    dtype = accumulation(jnp.result_type(*first.leaves))

    def visit(found: Array, tile: Array, place: Place) -> Array:
        column = place.shard * b.size + place.column
        found = jax.lax.dynamic_update_slice(found, tile, _at(place.row, column))
        if place.own:
            found = _transposed_into(found, tile, place.column, place.shard * b.size + place.row)
        return found

    sweep, empty = Sweep(collectives, visit, dtype), jnp.zeros((a.size, collectives.size * b.size), dtype)
    if len(sides) == 1:
        found = _mirrored(collectives, sweep.alike(a, held[0], empty), a)
    else:
        found = sweep.between(a, held[0], b, held[1], empty)
    found = found[:, : last.layout.count * b.components]
    return found.reshape(first.layout.rows, a.components, found.shape[1])


@dataclass(frozen=True)
class Moments:
    """Of K, streamed: its trace Σ λ, and its squared Frobenius norm Σ λ²."""

    trace: Any
    square: Any

    @property
    def effective_rank(self) -> Any:
        """tr(K)² / ‖K‖²_F."""
        found = jnp.where(self.square == 0, 0, self.trace**2 / jnp.where(self.square == 0, 1, self.square))
        # Where only Σ λ² has overflown the quotient would be 0.
        return jnp.where(jnp.isfinite(self.square), found, jnp.nan)


jax.tree_util.register_dataclass(Moments, ["trace", "square"], [])


def moments(collectives: Collectives, rows: Rows, choice: Choice) -> Moments:
    """Of the kernel of all points that count, tile by tile: no shard holds more of K than a tile."""
    dtype = accumulation(jnp.result_type(*rows.leaves))

    def visit(found: Moments, tile: Array, place: Place) -> Moments:
        once = jnp.where(place.rows[:, None] & place.columns[None, :], tile, 0)
        square = found.square + place.twice * jnp.sum(once * once)
        if not place.own:
            return Moments(found.trace, square)
        return Moments(found.trace + jnp.where(place.twice == 1, jnp.trace(once), 0), square)

    zero = jnp.zeros((), dtype)
    held = _held(rows, choice, collectives.rank)
    found = Sweep(collectives, visit, dtype).alike(_cut(rows, choice), held, Moments(zero, zero))
    return collectives.sum(found)


def squares(collectives: Collectives, rows: Rows, choice: Choice, smaller: bool) -> Moments:
    """The same moments from JᵀJ where that is `smaller` than K."""
    if not smaller:
        return moments(collectives, rows, choice)
    matrix = dual(collectives, rows)
    return Moments(jnp.trace(matrix), jnp.sum(matrix * matrix))


def dual(collectives: Collectives, rows: Rows) -> Float[Array, "p p"]:
    """JᵀJ, the same on every shard: one all-reduce of P² numbers; rows of J are formed a chunk at a time."""
    dtype = accumulation(jnp.result_type(*rows.leaves))

    def add(found: Array, chunk: Chunk) -> Array:
        both = (chunk.rows, chunk.rows)
        return found + jax.lax.dot_general(*both, (((0,), (0,)), ((), ())), preferred_element_type=dtype)

    columns = Split().columns(rows.leaves)
    return collectives.sum(over_chunks(rows, collectives.rank, add, jnp.zeros((columns, columns), dtype)))


@dataclass(frozen=True)
class Chunk:
    """Some of a shard's points, and their rows of J if these are formed; rows that do not count are zeros."""

    points: Any
    counted: Array  # bool, of each row: false too where another chunk has the point
    index: Array  # of each point, among all shards'
    rows: Any = None


def over_points(rows: Rows, rank: Any, add: Callable[[Any, Chunk], Any], state: Any, size: int = CHUNK) -> Any:
    """`add(state, chunk)` for all of a shard's points, at most `size` at a time; each counts once."""
    points = rows.layout.rows
    cut = Side(points, evenly(points, size), rows.components)
    counted = rows.counted(rank)

    def step(i: Any, state: Any) -> Any:
        start = cut.start(i)
        here = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, cut.tile), rows.points)
        once = cut.fresh(i, 0) & jnp.repeat(jax.lax.dynamic_slice_in_dim(counted, start, cut.tile), cut.components)
        return add(state, Chunk(here, once, rank * points + start + jnp.arange(cut.tile)))

    return jax.lax.fori_loop(0, cut.tiles, step, state)


def over_chunks(rows: Rows, rank: Any, add: Callable[[Any, Chunk], Any], state: Any, size: int = CHUNK) -> Any:
    """The same with the rows of J of each chunk."""

    def formed(state: Any, chunk: Chunk) -> Any:
        return add(state, replace(chunk, rows=jnp.where(chunk.counted[:, None], rows.of(chunk.points), 0)))

    return over_points(rows, rank, formed, state, size)


def evenly(count: int, most: int) -> int:
    """Of the fewest chunks of at most `most`, the size that makes the last overlap least."""
    return -(-count // -(-count // most))


def tile_of(side: Rows, choice: Choice) -> int:
    """Points of a tile: as many in each as can be, so that the last overlaps little."""
    return evenly(side.layout.rows, max(1, choice.tile // side.components))


def _holds(side: Rows, choice: Choice) -> bool:
    """Whether rows are held, or there are none."""
    return choice.held or not choice.split.columns(side.leaves)


def _cut(side: Rows, choice: Choice) -> Side:
    formed = None if _holds(side, choice) else _without_zeros(side, choice)
    return Side(side.layout.rows, tile_of(side, choice), side.components, formed)


def _without_zeros(side: Rows, choice: Choice) -> Callable[[Any], Array]:
    """Rows formed anew, from points and whether they count."""
    rows = side.without(choice.split)

    def formed(held: Any) -> Array:
        points, counted = held
        return jnp.where(jnp.repeat(counted, side.components)[:, None], rows(points), 0)

    return formed


def _held(side: Rows, choice: Choice, rank: Any) -> Held:
    """Of all points of a shard; those that do not count are zeros."""
    counted = side.counted(rank)
    found = laid_out(side.factors(side.points, choice.split, choice.chunk))
    held = _holds(side, choice)
    if not held:
        found = replace(found, rows=None)
    if side.kept is not None or side.layout.padding:
        own = jnp.repeat(counted, side.components)[:, None]
        found = jax.tree.map(lambda array: jnp.where(own, array, 0), found)
    return Held(found, () if held else (side.points, counted))


def _at(row: Any, column: Any) -> tuple[Array, Array]:
    """Where to cut, as integers of one type."""
    return jnp.asarray(row, jnp.int32), jnp.asarray(column, jnp.int32)


def _transposed_into(found: Float[Array, "a b"], tile: Float[Array, "n m"], row: Any, column: Any) -> Array:
    """`found` with the tile's transpose at a place, in strips: in one piece XLA on CPU strides through memory."""
    size = min(STRIP, len(tile))

    def strip(i: Any, found: Array) -> Array:
        start = jnp.minimum(i * size, len(tile) - size)
        rows = jax.lax.dynamic_slice_in_dim(tile, start, size)
        return jax.lax.dynamic_update_slice(found, rows.T, _at(row, column + start))

    return jax.lax.fori_loop(0, -(-len(tile) // size), strip, found)


def _mirrored(collectives: Collectives, found: Float[Array, "n m"], side: Side) -> Float[Array, "n m"]:
    """A shard's rows of K with the blocks that other shards computed: theirs, transposed."""
    size, rank = collectives.size, collectives.rank
    here, block = side.size, (side.size, side.size)
    for k in range(1, (size - 1) // 2 + 1):
        mine = jax.lax.dynamic_slice(found, _at(0, ((rank - k) % size) * here), block)
        arrived = collectives.shift(mine.T, -k)
        found = jax.lax.dynamic_update_slice(found, arrived, _at(0, ((rank + k) % size) * here))
    if size % 2:
        return found
    # Opposite shards have half a block each: the lower its left half, the higher its lower half.
    away, half = size // 2, side.half().size
    lower, at = rank < away, _at(0, ((rank + away) % size) * here)
    opposite = jax.lax.dynamic_slice(found, at, block)
    sent = jnp.where(lower, opposite[:, :half], opposite[here - half :].T)
    came = collectives.shift(sent, away)
    of_lower = jax.lax.dynamic_update_slice(opposite, came, (0, here - half))
    of_higher = jax.lax.dynamic_update_slice(opposite, came.T, (0, 0))
    return jax.lax.dynamic_update_slice(found, jnp.where(lower, of_lower, of_higher), at)
