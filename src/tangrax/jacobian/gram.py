"""K = J_a J_bᵀ between the points of shards, by factors where these are cheaper than rows of J."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from ..parallel import Collectives, Layout
from .cost_model import Rates, split_leaves
from .gram_tiles import ShardFactors, TileFold, TilePosition, Tiling
from .weight_factors import Split, factors_at, laid_out
from .weight_tracing import Function, trace_weights

CHUNK = 256  # points whose rows are formed at once: enough to keep a core busy, temporaries of a few MB
FACTORS = 2048  # points whose factors are computed at once, uses counted
PRODUCT = 512  # rows of a matrix product in a tile, uses counted: its results, of 1 MB each, stay in the cache
STRIP = 32  # rows of a tile that are transposed at once
TILES = (32, 340)  # rows of K that a tile may have: more of them are computed in vain on the diagonal


@dataclass(frozen=True)
class Rows:
    """J in one shard: the derivative of a function of leaves and a point by the leaves, at the shard's points."""

    function: Function
    leaves: Sequence[Any]
    points: Any  # arrays with one entry a point along their first axis
    layout: Layout
    in_group: Any = None  # bool of each point; None if there is no group

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
    def one(self) -> PyTree:
        """Abstract (ShapeDtypeStruct) version of one point."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), self.points)

    def of(self, points: Any) -> Float[Array, "n p"]:
        """Rows of J at some points, all columns, C rows a point."""
        return self.without(Split())(points)

    def without(self, chosen: Split) -> Callable[[Any], Float[Array, "n p"]]:
        """Rows of J in the columns that do not go by factors, as a function of points."""

        def rows(points: Any) -> Float[Array, "n p"]:
            by_point = self.factors(points, chosen, CHUNK).rows
            assert by_point is not None
            return by_point.reshape(-1, by_point.shape[-1])

        return rows

    def factors(self, points: Any, chosen: Split, at_once: int) -> Any:
        """Factors at some points, computed in chunks of one size: the last overlaps the one before it."""
        count = len(jax.tree.leaves(points)[0])
        at = jax.vmap(lambda point: factors_at(self.function, self.leaves, point, chosen))
        if count <= at_once:
            return at(points)
        tiling = Tiling(count, evenly(count, at_once), 1)

        def step(i: Any, factors: Any) -> Any:
            start = tiling.start(i)
            chunk = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, tiling.tile), points)
            put = lambda whole, part: jax.lax.dynamic_update_slice_in_dim(whole, part, start, 0)  # noqa: E731
            return jax.tree.map(put, factors, at(chunk))

        shapes = jax.eval_shape(at, points)
        return jax.lax.fori_loop(0, tiling.tiles, step, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))

    def counted(self, rank: int | Array) -> Array:
        """True for points of the shard that count: no padding, and those of the group."""
        valid = self.layout.valid(rank)
        return valid if self.in_group is None else valid & self.in_group


@dataclass(frozen=True)
class Choice:
    """Method for a kernel: the leaves that go by factors, and whether rows are held or formed anew for each tile."""

    split: Split
    tile: int  # rows of K
    chunk: int = CHUNK  # points whose factors are computed at once
    held: bool = True


def choose(sides: Sequence[Rows], rates: Rates | None, held: bool = True) -> Choice:
    """Factors or rows for each leaf, whatever is cheaper; factors where they exist if there are no rates."""
    traced = [trace_weights(side.function, side.leaves, side.one) for side in sides]
    chosen = split_leaves(traced, sides[0].leaves, rates)
    most = max((weights.count(leaf) for weights in traced for leaf in chosen.weights), default=1)
    return Choice(chosen, int(np.clip(PRODUCT // most, *TILES)), max(CHUNK, FACTORS // most), held)


def accumulation(dtype: DTypeLike) -> DTypeLike:
    """Accumulation dtype: float64 if x64 is enabled, else the input's."""
    return jnp.promote_types(dtype, jnp.result_type(float))


def stored(collectives: Collectives, sides: Sequence[Rows], choice: Choice) -> Float[Array, "rows c columns"]:
    """A shard's rows of K: (rows, C_a, M · C_b), the columns in the order of the points of the second side.

    One side alone is the kernel with itself. Columns of padding are cut off; rows and columns of points that do not
    count are zeros.
    """
    first, last = sides[0], sides[-1]
    factors = [_shard_factors(side, choice, collectives.rank) for side in sides]
    a, b = _tiling(first, choice), _tiling(last, choice)
    dtype = accumulation(jnp.result_type(*first.leaves))

    def visit(kernel: Array, tile: Array, position: TilePosition) -> Array:
        column = position.shard * b.size + position.column
        kernel = jax.lax.dynamic_update_slice(kernel, tile, _at(position.row, column))
        if position.own:
            kernel = _transposed_into(kernel, tile, position.column, position.shard * b.size + position.row)
        return kernel

    fold, empty = TileFold(collectives, visit, dtype), jnp.zeros((a.size, collectives.size * b.size), dtype)
    if len(sides) == 1:
        kernel = _mirrored(collectives, fold.symmetric(a, factors[0], empty), a)
    else:
        kernel = fold.rectangular(a, factors[0], b, factors[1], empty)
    kernel = kernel[:, : last.layout.count * b.components]
    return kernel.reshape(first.layout.rows, a.components, kernel.shape[1])


@dataclass(frozen=True)
class Moments:
    """Trace Σ λ and squared Frobenius norm Σ λ² of K."""

    trace: Any
    square: Any

    @property
    def effective_rank(self) -> Array:
        """tr(K)² / ‖K‖²_F."""
        quotient = jnp.where(self.square == 0, 0, self.trace**2 / jnp.where(self.square == 0, 1, self.square))
        # Where only Σ λ² has overflown the quotient would be 0.
        return jnp.where(jnp.isfinite(self.square), quotient, jnp.nan)


jax.tree_util.register_dataclass(Moments, ["trace", "square"], [])


def moments(collectives: Collectives, rows: Rows, choice: Choice) -> Moments:
    """Moments of the kernel of all points that count, tile by tile: no shard holds more of K than a tile."""
    dtype = accumulation(jnp.result_type(*rows.leaves))

    def visit(sums: Moments, tile: Array, position: TilePosition) -> Moments:
        once = jnp.where(position.rows[:, None] & position.columns[None, :], tile, 0)
        square = sums.square + position.twice * jnp.sum(once * once)
        if not position.own:
            return Moments(sums.trace, square)
        return Moments(sums.trace + jnp.where(position.twice == 1, jnp.trace(once), 0), square)

    zero = jnp.zeros((), dtype)
    factors = _shard_factors(rows, choice, collectives.rank)
    fold = TileFold(collectives, visit, dtype)
    return collectives.sum(fold.symmetric(_tiling(rows, choice), factors, Moments(zero, zero)))


def squares(collectives: Collectives, rows: Rows, choice: Choice, smaller: bool) -> Moments:
    """Moments of K, from JᵀJ where that is `smaller`."""
    if not smaller:
        return moments(collectives, rows, choice)
    matrix = dual(collectives, rows)
    return Moments(jnp.trace(matrix), jnp.sum(matrix * matrix))


def dual(collectives: Collectives, rows: Rows) -> Float[Array, "p p"]:
    """JᵀJ, the same on every shard: one all-reduce of P² numbers; rows of J are formed a chunk at a time."""
    dtype = accumulation(jnp.result_type(*rows.leaves))

    def add(total: Array, chunk: Chunk) -> Array:
        pair = (chunk.rows, chunk.rows)
        return total + jax.lax.dot_general(*pair, (((0,), (0,)), ((), ())), preferred_element_type=dtype)

    columns = Split().columns(rows.leaves)
    return collectives.sum(over_chunks(rows, collectives.rank, add, jnp.zeros((columns, columns), dtype)))


@dataclass(frozen=True)
class Chunk:
    """Some of a shard's points, with their rows of J if these are formed; rows that do not count are zeros."""

    points: Any
    counted: Array  # bool, of each row: false too where another chunk has the point
    index: Array  # of each point, among all shards'
    rows: Any = None


def over_points(
    rows: Rows, rank: int | Array, add: Callable[[Any, Chunk], Any], state: PyTree, size: int = CHUNK
) -> PyTree:
    """Folds `add(state, chunk)` over a shard's points, at most `size` at a time; each counts once."""
    points = rows.layout.rows
    tiling = Tiling(points, evenly(points, size), rows.components)
    counted = rows.counted(rank)

    def step(i: Any, state: Any) -> Any:
        start = tiling.start(i)
        chunk, valid = jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, start, tiling.tile), (rows.points, counted)
        )
        once = tiling.fresh(i, 0) & jnp.repeat(valid, tiling.components)
        return add(state, Chunk(chunk, once, rank * points + start + jnp.arange(tiling.tile)))

    return jax.lax.fori_loop(0, tiling.tiles, step, state)


def over_chunks(
    rows: Rows, rank: int | Array, add: Callable[[Any, Chunk], Any], state: PyTree, size: int = CHUNK
) -> PyTree:
    """Folds `add(state, chunk)` over a shard's points, with the rows of J of each chunk."""

    def add_rows(state: Any, chunk: Chunk) -> Any:
        return add(state, replace(chunk, rows=jnp.where(chunk.counted[:, None], rows.of(chunk.points), 0)))

    return over_points(rows, rank, add_rows, state, size)


def evenly(count: int, most: int) -> int:
    """Size of the fewest chunks of at most `most` of `count` points, so that the last overlaps least."""
    return -(-count // -(-count // most))


def tile_of(side: Rows, choice: Choice) -> int:
    """Points of a tile, so that the last overlaps little."""
    return evenly(side.layout.rows, max(1, choice.tile // side.components))


def _holds_rows(side: Rows, choice: Choice) -> bool:
    """Whether rows are held, or there are none."""
    return choice.held or not choice.split.columns(side.leaves)


def _tiling(side: Rows, choice: Choice) -> Tiling:
    form_rows = None if _holds_rows(side, choice) else _rows_former(side, choice)
    return Tiling(side.layout.rows, tile_of(side, choice), side.components, form_rows)


def _rows_former(side: Rows, choice: Choice) -> Callable[[Any], Array]:
    """Function from (points, whether each counts) to rows of J; those that do not count are zeros."""
    rows = side.without(choice.split)

    def form(points_counted: Any) -> Array:
        points, counted = points_counted
        return jnp.where(jnp.repeat(counted, side.components)[:, None], rows(points), 0)

    return form


def _shard_factors(side: Rows, choice: Choice, rank: Any) -> ShardFactors:
    """Factors of all points of a shard; zeros for those that do not count."""
    counted = side.counted(rank)
    factors = laid_out(side.factors(side.points, choice.split, choice.chunk))
    holds_rows = _holds_rows(side, choice)
    if not holds_rows:
        factors = replace(factors, rows=None)
    if side.in_group is not None or side.layout.padding:
        valid = jnp.repeat(counted, side.components)[:, None]
        factors = jax.tree.map(lambda array: jnp.where(valid, array, 0), factors)
    return ShardFactors(factors, () if holds_rows else (side.points, counted))


def _at(row: Any, column: Any) -> tuple[Array, Array]:
    """Start indices of a slice, as integers of one type."""
    return jnp.asarray(row, jnp.int32), jnp.asarray(column, jnp.int32)


def _transposed_into(kernel: Float[Array, "a b"], tile: Float[Array, "n m"], row: Any, column: Any) -> Array:
    """K with the tile's transpose at (row, column), in strips: in one piece XLA on CPU strides through memory."""
    size = min(STRIP, len(tile))

    def strip(i: Any, kernel: Array) -> Array:
        start = jnp.minimum(i * size, len(tile) - size)
        rows = jax.lax.dynamic_slice_in_dim(tile, start, size)
        return jax.lax.dynamic_update_slice(kernel, rows.T, _at(row, column + start))

    return jax.lax.fori_loop(0, -(-len(tile) // size), strip, kernel)


def _mirrored(collectives: Collectives, kernel: Float[Array, "n m"], side: Tiling) -> Float[Array, "n m"]:
    """A shard's rows of K with the blocks that other shards computed: their transposes."""
    size, rank = collectives.size, collectives.rank
    block_size, block = side.size, (side.size, side.size)
    for k in range(1, (size - 1) // 2 + 1):
        computed = jax.lax.dynamic_slice(kernel, _at(0, ((rank - k) % size) * block_size), block)
        received = collectives.shift(computed.T, -k)
        kernel = jax.lax.dynamic_update_slice(kernel, received, _at(0, ((rank + k) % size) * block_size))
    if size % 2:
        return kernel
    # Opposite shards have half a block each: the lower its left half, the higher its lower half.
    offset, half = size // 2, side.half().size
    lower, at = rank < offset, _at(0, ((rank + offset) % size) * block_size)
    opposite = jax.lax.dynamic_slice(kernel, at, block)
    sent = jnp.where(lower, opposite[:, :half], opposite[block_size - half :].T)
    received = collectives.shift(sent, offset)
    of_lower = jax.lax.dynamic_update_slice(opposite, received, (0, block_size - half))
    of_higher = jax.lax.dynamic_update_slice(opposite, received.T, (0, 0))
    return jax.lax.dynamic_update_slice(kernel, jnp.where(lower, of_lower, of_higher), at)
