"""Products with the Jacobian J of all residuals of a loss, weighted and side by side, in one shard.

Sums over shards are left to the caller, so that several go in one all-reduce.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ...jacobian.cost_model import Rates
from ...jacobian.gram import Choice, Chunk, Rows, accumulation, choose, over_chunks, over_points, stored
from ...parallel import Collectives
from ..residuals import ShardResidual
from .second_order_optimizer import MEMORY, points_at_once

PASS = 2048  # points that a product takes at once, with one vector
# Between factors and rows of J: ratios measured on CPUs. A step is compiled before a device could be timed.
TYPICAL = Rates(multiply=1.0, entry=10.0, pair=50.0)


def linearized_residuals(part: ShardResidual, vector: Float[Array, " p"], rank: int | Array) -> Float[Array, " n"]:
    """r - J v at a shard's points, by forward mode; zeros where points do not count."""
    leaves, rows = list(part.rows.leaves), part.rows
    along = _as_leaves(part, vector)

    def at(point: Any) -> Array:
        value, pushed = jax.jvp(lambda leaves: jnp.ravel(rows.function(leaves, point)), (leaves,), (along,))
        return part.scale * (value - pushed)

    values = jax.lax.map(at, rows.points, batch_size=min(PASS, rows.layout.rows))
    return jnp.where(rows.counted(rank)[:, None], values, 0).reshape(-1)


def transposed_product(
    parts: Sequence[ShardResidual], weights: Float[Array, " n"], rank: int | Array
) -> Float[Array, " p"]:
    """A shard's share of Jᵀ w; `weights` are those of all residuals of all shards."""
    total = jnp.zeros(_columns(parts), weights.dtype)
    ends = _ends(parts)
    for part, first, last in zip(parts, ends, ends[1:], strict=False):
        layout = part.rows.layout
        own = layout.own(weights[first:last].reshape(layout.count, -1), rank).reshape(-1)

        def add(total: Any, chunk: Any, part: ShardResidual = part, own: Any = own) -> Any:
            of_chunk = jax.lax.dynamic_slice_in_dim(own, part.first(chunk, rank), len(chunk.counted))
            _, back = jax.vjp(lambda leaves: part.values(leaves, chunk.points), list(part.rows.leaves))
            (leaves,) = back(jnp.where(chunk.counted, part.scale * of_chunk, 0))
            return total + _of_counted(chunk, leaves)

        total = over_points(part.rows, rank, add, total, PASS)
    return total


def residual_gradient(
    parts: Sequence[ShardResidual], vector: Float[Array, " p"], rank: int | Array
) -> Float[Array, " p"]:
    """A shard's share of Jᵀ(r - J v)."""
    total = jnp.zeros_like(vector)
    for part in parts:

        def add(total: Any, chunk: Any, part: ShardResidual = part) -> Any:
            values, push, pull = _linearized(part, chunk)
            return total + pull(part.scale**2 * (values - push(vector)))

        total = over_points(part.rows, rank, add, total, PASS)
    return total


def normal_products(
    parts: Sequence[ShardResidual], vectors: Float[Array, "k p"], rank: int | Array
) -> Float[Array, "k p"]:
    """A shard's share of JᵀJ v for several v, in one pass over the points."""
    total = jnp.zeros_like(vectors)
    for part in parts:

        def add(total: Any, chunk: Any, part: ShardResidual = part) -> Any:
            _, push, pull = _linearized(part, chunk)
            return total + jax.vmap(lambda vector: pull(part.scale**2 * push(vector)))(vectors)

        total = over_points(part.rows, rank, add, total, max(1, PASS // len(vectors)))
    return total


def squared_norm(parts: Sequence[ShardResidual], rank: int | Array) -> Float[Array, ""]:
    """A shard's share of ‖J‖²_F, which is the trace of JJᵀ and of JᵀJ."""
    total = jnp.zeros((), accumulation(parts[0].rows.leaves[0].dtype))
    for part in parts:

        def add(total: Any, chunk: Any, part: ShardResidual = part) -> Any:
            return total + jnp.sum((part.scale * chunk.rows) ** 2)

        total = over_chunks(part.rows, rank, add, total, points_at_once(part))
    return total


def normal_matrix(parts: Sequence[ShardResidual], rank: int | Array) -> tuple[Float[Array, "p p"], Float[Array, " p"]]:
    """A shard's shares of JᵀJ and of Jᵀr, from rows of J a chunk at a time."""
    columns, dtype = _columns(parts), accumulation(parts[0].rows.leaves[0].dtype)
    state = jnp.zeros((columns, columns), dtype), jnp.zeros(columns, dtype)
    for part in parts:

        def add(total: Any, chunk: Any, part: ShardResidual = part) -> Any:
            rows = (part.scale * chunk.rows).astype(dtype)
            values = part.scale * jnp.where(chunk.counted, part.values(part.rows.leaves, chunk.points), 0)
            return total[0] + rows.T @ rows, total[1] + values.astype(dtype) @ rows

        state = over_chunks(part.rows, rank, add, state, points_at_once(part))
    return state


def kernel_matrix(parts: Sequence[ShardResidual], collectives: Collectives) -> Float[Array, "n n"]:
    """JJᵀ, the same on every shard: blocks of each two terms as `J.gram()` computes them, gathered by rows."""
    blocks: list[list[Any]] = [[None] * len(parts) for _ in parts]
    for i, first in enumerate(parts):
        for j, last in enumerate(parts[: i + 1]):
            sides = [first.rows] if i == j else [first.rows, last.rows]
            block = stored(collectives, sides, _choice(sides))
            whole = collectives.gather(block.reshape(-1, block.shape[-1]))
            blocks[i][j] = first.scale * last.scale * whole[: first.rows.size]
            blocks[j][i] = blocks[i][j].T
    return jnp.block(blocks)


def _choice(sides: Sequence[Rows]) -> Choice:
    """How a block of the kernel is computed; rows of J are held in memory where they are small."""
    choice = choose(sides, TYPICAL)
    size = max(side.layout.rows * side.components for side in sides) * choice.split.columns(sides[0].leaves)
    return choose(sides, TYPICAL, held=size * sides[0].leaves[0].dtype.itemsize <= 4 * MEMORY)


def _linearized(
    part: ShardResidual, chunk: Chunk
) -> tuple[Float[Array, " n"], Callable[[Array], Array], Callable[[Array], Array]]:
    """Residuals of a chunk, unscaled; their J v, and Jᵀ w of those that count."""
    leaves = list(part.rows.leaves)
    values, push = jax.linearize(lambda leaves: part.values(leaves, chunk.points), leaves)
    pull = jax.linear_transpose(push, leaves)

    def back(weights: Array) -> Array:
        return _of_counted(chunk, pull(jnp.where(chunk.counted, weights, 0))[0])

    return values, lambda vector: push(_as_leaves(part, vector)), back


def _of_counted(chunk: Chunk, leaves: Any) -> Float[Array, " p"]:
    """Pulled-back leaves as a vector; zeros where no point counts: derivatives may be infinite there."""
    return jnp.where(chunk.counted.any(), ravel_pytree(leaves)[0], 0)


def _as_leaves(part: ShardResidual, vector: Float[Array, " p"]) -> Any:
    return ravel_pytree(list(part.rows.leaves))[1](vector)


def _columns(parts: Sequence[ShardResidual]) -> int:
    return sum(leaf.size for leaf in parts[0].rows.leaves)


def _ends(parts: Sequence[ShardResidual]) -> list[int]:
    """Offsets of each part's residuals among all, and their total number."""
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + part.rows.size)
    return ends
