"""Damped least-squares steps, and how far along them to go."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclass(frozen=True)
class Model:
    """‖r + J p‖² by the singular value decomposition of J, or of a sketch of it: U S Vᵀ.

    The steps p(λ) = -V g/(S² + λ) minimise it with λ‖p‖² added: they are the trust-region curve, of growing radius as λ
    falls (Nocedal and Wright, Numerical Optimization, 4.3 and 10.3).
    """

    values: Float[Array, " m"]  # S
    slopes: Float[Array, " m"]  # g = Vᵀ Jᵀ r
    directions: Float[Array, "m p"]  # Vᵀ

    def steps(self, damping: Float[Array, " k"]) -> Float[Array, "k p"]:
        return -self._shrunk(damping) @ self.directions

    def corrected(
        self, steps: Float[Array, "k p"], slopes: Float[Array, "k p"], damping: Float[Array, " k"]
    ) -> Float[Array, "k p"]:
        """The steps after a chord iteration: p - (JᵀJ + λ)⁻¹ (Jᵀ r(θ + p) + λ p), `slopes` being Jᵀ r(θ + p).

        Repeated, it takes p(λ) to where Jᵀ r(θ + p) + λ p = 0 for the true residuals, by the J of θ: the simplified
        Newton method (Deuflhard, Newton Methods for Nonlinear Problems, 2.1). What it takes off is how the residuals
        bend along the step, as geodesic acceleration does to second order (Transtrum and Sethna, arXiv 1201.5885).
        """
        rest = (slopes + damping[:, None] * steps) @ self.directions.T
        return steps - self._divided(rest, damping) @ self.directions

    def predicted(self, damping: Float[Array, " k"]) -> Float[Array, " k"]:
        """What the steps would take off the loss if residuals were linear in the parameters."""
        curvature = self.values[None] ** 2 + 2 * damping[:, None]
        return jnp.sum(self._shrunk(damping) ** 2 * curvature, axis=1)

    def _shrunk(self, damping: Float[Array, " k"]) -> Float[Array, "k m"]:
        return self._divided(self.slopes[None], damping)

    def _divided(self, slopes: Float[Array, "#k m"], damping: Float[Array, " k"]) -> Float[Array, "k m"]:
        # Twice by roots: S² alone would underflow where S is small.
        root = jnp.hypot(self.values[None], jnp.sqrt(damping)[:, None])
        return slopes / root / root


@dataclass(frozen=True)
class Chosen:
    """One of the steps tried; `index` among them, or -1 where none lowers the loss."""

    index: Any
    ratio: Any  # of the actual reduction to the predicted one


def largest_acceptable_step(
    loss: Any, losses: Float[Array, " k"], predicted: Float[Array, " k"], target: float
) -> Chosen:
    """The farthest step whose reduction is at least `target` times what was predicted, else the best one.

    Steps come from the farthest on. Going far at a poor ratio, not to the best point, is what reaches round-off:
    DSGNAR, arXiv 2607.02194.
    """
    actual = jnp.where(jnp.isfinite(losses), loss - losses, -jnp.inf)
    ratio = actual / jnp.where(predicted > 0, predicted, jnp.inf)
    good = (ratio >= target) & (actual > 0)
    index = jnp.where(jnp.any(good), jnp.argmax(good), jnp.argmax(actual))
    return Chosen(jnp.where(actual[index] > 0, index, -1), ratio[index])


def damping_grid(damping: Any, decades: tuple[float, float], count: int, least: Any) -> Float[Array, " count"]:
    """Dampings to try, rising evenly in their logarithms round the last one."""
    return jnp.maximum(damping * 10.0 ** jnp.linspace(*decades, count), least)
