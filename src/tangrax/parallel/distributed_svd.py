"""Singular values of rows that lie on their shards, without the matrix of their products."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .base import Transport
from .collectives import Collectives
from .sharded import ShardedRows


def singular_values_bytes(rows: int, columns: int, shards: int, itemsize: int) -> int:
    """Least bytes that a device needs for `singular_values` of so many rows: its part of J twice, and the triangles."""
    share, smaller = -(-rows // shards), min(rows, columns)
    part = share if rows >= columns else -(-columns // shards)
    return itemsize * (2 * share * columns + smaller * (shards * min(part, smaller) + smaller))


def triangle(collectives: Collectives, mine: Float[Array, "rows p"], wide: bool) -> Float[Array, "m m"]:
    """R of J = Q R on every shard, or of Jᵀ where J is `wide`; `mine` are a shard's rows of J, zeros where none.

    Each shard reduces its part to a triangle, the triangles are gathered and reduced once more. Of a wide J the shards
    first exchange rows for columns round the ring. No step squares a singular value: each has an error of a few
    ε σ_max.
    """
    part = _columns(collectives, mine).T if wide else mine
    return jnp.linalg.qr(collectives.gather(jnp.linalg.qr(part, mode="r")), mode="r")


def decomposed(
    transport: Transport, matrix: Array, vectors: int = 0
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m k"]]:
    """Singular values of a matrix that every shard has, falling, and the first right singular vectors.

    By one process for all: LAPACK's time and last digits differ between machines. Of a matrix that is not finite, for
    which LAPACK has no answer or a wrong one, all are NaN.
    """

    def message() -> str:
        if not transport.writes:
            return ""
        host = np.asarray(matrix)
        if not np.isfinite(host).all():
            return undefined(len(host), vectors)
        if not vectors:
            return json.dumps([np.linalg.svd(host, compute_uv=False).tolist(), []])
        _, values, right = np.linalg.svd(host)
        return json.dumps([values.tolist(), right[:vectors].T.tolist()])

    values, right = json.loads(transport.peers.exchange("decomposing", message)[0])
    dtype = np.asarray(matrix).dtype
    return np.array(values, dtype), np.array(right, dtype).reshape(len(values), vectors)


def undefined(size: int, vectors: int) -> str:
    """The message where there is no decomposition: NaN for each value, and in each vector."""
    return json.dumps([[np.nan] * size, [[np.nan] * vectors] * size])


def singular_values(rows: ShardedRows, in_group: ShardedRows | None = None, vectors: int = 0) -> Any:
    """Those of J in falling order, min(N, P) of them; of the rows where `in_group` is true, if it is given.

    Rows of several components count as so many rows. LAPACK's SVD of the triangle, m x m with m = min(N, P), runs on
    the first host. With `vectors`, so many left singular vectors too: (values, (N, k)), zeros where rows are not in it.
    """
    transport, layout = rows.transport, rows.layout
    components = int(np.prod(rows.shape[1:-1]))
    count, columns = len(rows) * components, rows.shape[-1]
    wide = count < columns

    def program(collectives: Collectives, sharded: Any, nothing: Any) -> tuple[Any, Any]:
        blocks, mask = sharded
        mine = blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=-1)
        valid = layout.valid(collectives.rank)
        for other in mask:
            valid = valid & other
        # Rows of zeros add nothing to Jᵀ J, hence nothing to its triangle.
        mine = jnp.where(valid.reshape(-1, *(1,) * (mine.ndim - 1)), mine, 0)
        return triangle(collectives, mine.reshape(-1, mine.shape[-1]), wide), ()

    mask = [] if in_group is None else [in_group.padded]
    reduced, _ = transport.spmd(program, "singular values")((rows.blocks, mask), ())
    values, right = decomposed(transport, reduced, vectors)
    # Padding is rows of zeros, or columns: singular values of zero at the end.
    values = values[: min(count, columns)]
    if not vectors:
        return values
    if wide:
        return values, right[:count]
    left = (rows @ right).gather().reshape(count, vectors)
    if in_group is not None:
        left = np.where(np.repeat(in_group.gather(), components)[:, None], left, 0)
    return values, left / np.where(values == 0, 1, values)[:vectors]


def _columns(collectives: Collectives, mine: Float[Array, "rows p"]) -> Float[Array, "all_rows columns"]:
    """All shards' rows of this shard's share of the columns; columns of zeros where their number does not divide."""
    size, rank = collectives.size, collectives.rank
    share = -(-mine.shape[1] // size)
    padded = jnp.pad(mine, ((0, 0), (0, size * share - mine.shape[1])))

    def hop(k: Any, carry: Any) -> Any:
        columns, travelling = carry
        own = jax.lax.dynamic_slice_in_dim(travelling, rank * share, share, axis=1)
        columns = jax.lax.dynamic_update_slice_in_dim(columns, own, ((rank - k) % size) * len(mine), axis=0)
        return columns, collectives.shift(travelling)

    empty = jnp.zeros((size * len(mine), share), mine.dtype)
    return jax.lax.fori_loop(0, size, hop, (empty, padded))[0]
