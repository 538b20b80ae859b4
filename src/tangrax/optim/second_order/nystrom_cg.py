"""Conjugate gradients in the space of parameters, with a preconditioner from a random sketch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import lineax as lx
from jax.scipy.linalg import solve_triangular
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ...parallel import Collectives
from .second_order_optimizer import from_first_shard


@dataclass(frozen=True)
class Nystrom:
    """A ≈ U Λ Uᵀ of a positive semidefinite A, from products with a few random vectors.

    Frangella, Tropp, Udell, arXiv 2110.02820, algorithm 2.1.
    """

    vectors: Float[Array, "p k"]  # U
    values: Float[Array, " k"]  # Λ, falling

    @classmethod
    def of(cls, probes: Float[Array, "k p"], products: Float[Array, "k p"]) -> "Nystrom":
        """From random vectors and A's products with them; a shift by round-off keeps the factorisation alive."""
        shift = jnp.finfo(products.dtype).eps * jnp.sqrt(1.0 * probes.shape[1]) * jnp.linalg.norm(products)
        shifted = products + shift * probes
        core = probes @ shifted.T
        lower = jnp.linalg.cholesky((core + core.T) / 2)
        half = solve_triangular(lower, shifted, lower=True)
        _, singular, vectors = jnp.linalg.svd(half, full_matrices=False)
        return cls(vectors.T, jnp.maximum(singular**2 - shift, 0))


@dataclass(frozen=True)
class Solution:
    """The result of conjugate gradients; zeros where they broke down."""

    vector: Float[Array, " p"]
    iterations: Any
    converged: Any  # to the tolerance


def conjugate_gradients(
    product: Callable[[Array], Array],
    right: Float[Array, " p"],
    damping: ArrayLike,
    probes: Float[Array, "k p"],
    sketched: Float[Array, "k p"],
    tolerance: float,
    iterations: int,
    collectives: Collectives,
) -> Solution:
    """(A + λ)⁻¹ b to a residual of `tolerance` ‖b‖, of A by its products; `sketched` are those with the `probes`.

    A product is one all-reduce; all else is the same on every shard.
    """
    sketch = Nystrom.of(probes, sketched)
    vectors, values = from_first_shard(collectives, (sketch.vectors, sketch.values))
    # In units of the smallest eigenvalue of the sketch, as its preconditioner is: what is left of A is about 1.
    unit = values[-1] + damping
    # lineax wants the structure of a vector as that of a product, on shards too.
    structure = jax.eval_shape(product, right)

    def operator(function: Callable[[Array], Array]) -> lx.FunctionLinearOperator:
        return lx.FunctionLinearOperator(function, structure, lx.positive_semidefinite_tag)

    def precondition(vector: Array) -> Array:
        return vector + vectors @ ((unit / (values + damping) - 1) * (vectors.T @ vector))

    method = lx.CG(
        rtol=0.0,
        atol=tolerance * jnp.linalg.norm(right),
        norm=jnp.linalg.norm,
        max_steps=iterations,
        stabilise_every=None,
    )
    # Not by lx.linear_solve: its primitive loses the order of mpi4jax's communication, and throw=True is a callback.
    state = method.init(operator(lambda vector: (product(vector) + damping * vector) / unit), {})
    value, result, stats = method.compute(state, right, {"preconditioner": operator(precondition)})
    vector = from_first_shard(collectives, value / unit)
    finite = jnp.isfinite(vector).all()
    converged = (result == lx.RESULTS.successful) & finite
    return Solution(jnp.where(finite, vector, 0), stats["num_steps"], converged)
