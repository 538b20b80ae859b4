"""The trust region: damped least-squares steps, and the largest acceptable one."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Model:
    """‖r + J p‖² by the singular value decomposition of J, or of a sketch of it: U S Vᵀ.

    The steps p(λ) = -V g/(S² + λ) minimise it with λ‖p‖² added: they are the trust-region curve, of growing radius as λ
    falls (Nocedal and Wright, Numerical Optimization, 4.3 and 10.3).
    """

    values: Float[Array, " m"]  # S
    gradient: Float[Array, " m"]  # g = Vᵀ Jᵀ r
    directions: Float[Array, "m p"]  # Vᵀ

    def steps(self, damping: Float[Array, " k"]) -> Float[Array, "k p"]:
        return -self._coefficients(damping) @ self.directions

    def corrected(
        self, steps: Float[Array, "k p"], residual_gradients: Float[Array, "k p"], damping: Float[Array, " k"]
    ) -> Float[Array, "k p"]:
        """The steps after a chord iteration: p - (JᵀJ + λ)⁻¹ (g + λ p), with `residual_gradients` g = Jᵀ r(θ + p).

        Repeated, it takes p(λ) to where Jᵀ r(θ + p) + λ p = 0 for the true residuals, by the J of θ: the simplified
        Newton method (Deuflhard, Newton Methods for Nonlinear Problems, 2.1). It removes how the residuals bend
        along the step, as geodesic acceleration does to second order (Transtrum and Sethna, arXiv 1201.5885).
        """
        rest = (residual_gradients + damping[:, None] * steps) @ self.directions.T
        return steps - self._damped_inverse(rest, damping) @ self.directions

    def predicted(self, damping: Float[Array, " k"]) -> Float[Array, " k"]:
        """The reductions of the loss if residuals were linear in the parameters."""
        curvature = self.values[None] ** 2 + 2 * damping[:, None]
        return jnp.sum(self._coefficients(damping) ** 2 * curvature, axis=1)

    def _coefficients(self, damping: Float[Array, " k"]) -> Float[Array, "k m"]:
        return self._damped_inverse(self.gradient[None], damping)

    def _damped_inverse(self, gradients: Float[Array, "#k m"], damping: Float[Array, " k"]) -> Float[Array, "k m"]:
        # Twice by roots: S² alone would underflow where S is small.
        root = jnp.hypot(self.values[None], jnp.sqrt(damping)[:, None])
        return gradients / root / root


@dataclass(frozen=True)
class AcceptedStep:
    """The step to take."""

    index: Any  # among those tried; -1 where none lowers the loss
    ratio: Any  # of the actual reduction to the predicted one


def largest_acceptable_step(
    loss: ArrayLike, losses: Float[Array, " k"], predicted: Float[Array, " k"], target: float
) -> AcceptedStep:
    """The largest step whose reduction is at least `target` times the predicted one, else the best one.

    Steps come from the largest on. Going far at a poor ratio, not to the best point, is what reaches round-off:
    DSGNAR, arXiv 2607.02194.
    """
    actual = jnp.where(jnp.isfinite(losses), loss - losses, -jnp.inf)
    ratio = actual / jnp.where(predicted > 0, predicted, jnp.inf)
    good = (ratio >= target) & (actual > 0)
    index = jnp.where(jnp.any(good), jnp.argmax(good), jnp.argmax(actual))
    return AcceptedStep(jnp.where(actual[index] > 0, index, -1), ratio[index])


def damping_grid(
    damping: ArrayLike, decades: tuple[float, float], count: int, least: ArrayLike
) -> Float[Array, " count"]:
    """`count` dampings, rising evenly in their logarithms round the last one."""
    return jnp.maximum(damping * 10.0 ** jnp.linspace(*decades, count), least)
