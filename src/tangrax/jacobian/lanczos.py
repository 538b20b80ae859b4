"""The largest eigenvalues and the spectral density of K = J Jᵀ, from products with J alone.

K and JᵀJ have the same eigenvalues beside zero. Lanczos' method runs on JᵀJ, in the space of parameters, where every
shard has the same vectors: a step is v ↦ Σ_shards Jᵀ(J v), one all-reduce of P numbers.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matfree import decomp

from ..parallel import Collectives
from .gram import CHUNK, Rows
from .gram_tiles import Tiling

PASS = 2048  # points that a product takes at once
SEED = 0  # of starting vectors: any will do, the same on every shard
EXHAUSTED = 100  # ulps of λ_max that the remainder of a step must exceed for the Krylov space to grow
PROBES = 16  # random vectors of a density


def normal_product(collectives: Collectives, rows: Rows, vector: Float[Array, " p"]) -> Float[Array, " p"]:
    """JᵀJ v, without rows of J; points that do not count have none."""
    leaves = list(rows.leaves)
    tiling = Tiling(rows.layout.rows, min(PASS, rows.layout.rows), rows.components)
    counted = rows.counted(collectives.rank)
    parts = _split(vector, leaves)

    def at(points: Any) -> Any:
        return lambda leaves: jax.vmap(lambda point: jnp.ravel(rows.function(leaves, point)))(points)

    def step(i: Any, total: Any) -> Any:
        start = tiling.start(i)
        points, valid = jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, start, tiling.tile), (rows.points, counted)
        )
        once = valid & tiling.fresh(i, 0)[:: tiling.components]
        _, product = jax.jvp(at(points), (leaves,), (parts,))
        _, transpose = jax.vjp(at(points), leaves)
        (normal,) = transpose(jnp.where(once[:, None], product, 0))
        return jax.tree.map(jnp.add, total, normal)

    total = jax.lax.fori_loop(0, tiling.tiles, step, jax.tree.map(jnp.zeros_like, leaves))
    # Zero where no point counts: derivatives may be infinite there.
    of_shard = jnp.concatenate([leaf.ravel() for leaf in total])
    return collectives.sum(jnp.where(counted.any(), of_shard, 0))


def jacobian_product(rows: Rows, vectors: Float[Array, "p k"]) -> Float[Array, "n c k"]:
    """J V at a shard's points, by forward mode."""
    leaves = list(rows.leaves)

    def at(point: Any) -> Array:
        def along(vector: Array) -> Array:
            function = lambda leaves: jnp.ravel(rows.function(leaves, point))  # noqa: E731
            return jax.jvp(function, (leaves,), (_split(vector, leaves),))[1]

        return jax.vmap(along, in_axes=1, out_axes=1)(vectors)

    count = rows.layout.rows
    return jax.vmap(at)(rows.points) if count <= CHUNK else jax.lax.map(at, rows.points, batch_size=CHUNK)


def transposed_product(collectives: Collectives, rows: Rows, weights: Float[Array, "n ..."]) -> Float[Array, " p"]:
    """Jᵀ w, of a shard's weights, summed over the shards."""

    def weighted(leaves: list[Any]) -> Array:
        values = jax.vmap(lambda point: rows.function(leaves, point))(rows.points)
        counted = rows.counted(collectives.rank).reshape(-1, *(1,) * (values.ndim - 1))
        return jnp.sum(jnp.where(counted, weights * values, 0))

    return collectives.sum(jnp.concatenate([leaf.ravel() for leaf in jax.grad(weighted)(list(rows.leaves))]))


@dataclass(frozen=True)
class Ritz:
    """The k largest Ritz values after some steps of Lanczos' method, falling, with the residual of each.

    An eigenvalue of K lies no further from each value than its residual. `vectors` (P, k) are right singular vectors.
    """

    values: Any
    residuals: Any
    vectors: Any


jax.tree_util.register_dataclass(Ritz, ["values", "residuals", "vectors"], [])


def largest(collectives: Collectives, rows: Rows, count: int, steps: int) -> Ritz:
    """The `count` largest Ritz values of K after `steps` products; `count` <= steps <= P."""
    matrix, basis, left = _tridiagonal(collectives, rows, _start(rows, 0), steps)
    values, vectors = jnp.linalg.eigh(matrix)
    order = jnp.arange(steps - 1, steps - 1 - count, -1)
    values, vectors = values[order], vectors[:, order]
    return Ritz(jnp.maximum(values, 0), jnp.abs(left * vectors[-1]), basis.T @ vectors)


def steps_for(k: int, rows: int, columns: int, attempt: int = 0) -> int:
    """Products for the k largest eigenvalues: half as many again and some, then twice as many each time."""
    return min(rows, columns, (k + k // 2 + 12) * 2**attempt)


def quadrature(collectives: Collectives, rows: Rows, steps: int) -> tuple[Array, Array]:
    """Nodes and weights (probes, steps) of Gauss quadrature for the spectral density of JᵀJ, one row a random vector.

    Stochastic Lanczos quadrature: Ubaru, Chen, Saad, SIAM J. Matrix Anal. Appl. 38 (2017), section 3. Σ_j weight_j
    f(node_j) estimates Σ_i f(λ_i) over the P eigenvalues.
    """

    def probe(number: Any) -> tuple[Array, Array]:
        start = jnp.sign(_start(rows, number))
        matrix, _, _ = _tridiagonal(collectives, rows, start, steps)
        values, vectors = jnp.linalg.eigh(matrix)
        return jnp.maximum(values, 0), len(start) * vectors[0] ** 2

    return jax.lax.map(probe, jnp.arange(PROBES))


def _tridiagonal(
    collectives: Collectives, rows: Rows, start: Float[Array, " p"], steps: int
) -> tuple[Float[Array, "k k"], Float[Array, "k p"], Float[Array, ""]]:
    """Lanczos' tridiagonal matrix of JᵀJ, its basis, and the norm of the last residual.

    Where a step leaves nothing but rounding, the Krylov space is exhausted: later rows are zeros. All is NaN where J is
    not finite.
    """
    decomposition = decomp.tridiag_sym(steps, custom_vjp=False)(lambda v: normal_product(collectives, rows, v), start)
    basis, matrix, rest = (jnp.asarray(part) for part in decomposition[:3])
    # A step from an exhausted space gives NaN, too: only the first product shows whether J is finite.
    finite = jnp.isfinite(matrix[0, 0])
    left = jnp.nan_to_num(jnp.linalg.norm(rest))
    off_diagonal = jnp.diagonal(matrix, 1)
    rounding = EXHAUSTED * jnp.finfo(matrix.dtype).eps * jnp.nanmax(jnp.abs(matrix), initial=0)
    alive = jnp.concatenate([jnp.ones(1, bool), jnp.cumprod(off_diagonal > rounding).astype(bool)])
    matrix = jnp.where(alive[:, None] & alive[None, :], matrix, 0)
    truncated = matrix, jnp.where(alive[:, None], basis, 0), jnp.where(alive[-1], left, 0)
    return jax.tree.map(lambda part: jnp.where(finite, part, jnp.nan), truncated)


def _start(rows: Rows, number: Any) -> Float[Array, " p"]:
    size = sum(int(np.size(leaf)) for leaf in rows.leaves)
    dtype = jnp.result_type(*rows.leaves)
    return jax.random.normal(jax.random.fold_in(jax.random.key(SEED), number), (size,), dtype)


def _split(vector: Array, leaves: Any) -> list[Array]:
    ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
    return [part.reshape(leaf.shape) for part, leaf in zip(jnp.split(vector, ends), leaves, strict=True)]
