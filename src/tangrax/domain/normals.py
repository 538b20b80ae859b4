"""Normals of a boundary, from coordinates alone."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .shapes import Shape


@dataclass(frozen=True)
class Outward:
    """The unit normal that points out of a shape at a point of its boundary, or of one side: where its level rises."""

    shape: Shape
    side: str | None

    def __call__(self, *coordinates: Float[Array, ""]) -> Float[Array, " d"]:
        slope = jax.grad(self._level)(jnp.stack(coordinates))
        return slope / jnp.linalg.norm(slope)

    def _level(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        return self.shape.level(point, jnp) if self.side is None else self.shape.level_of(self.side, point, jnp)
