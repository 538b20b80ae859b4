"""Ellipses."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

from .shapes import Ball, Shape, Surface

EXACT = 1e-14  # of the larger radius: to so much a length is found
STEPS = 60  # of Newton's method at most: one bit a step for the flattest ellipse, where the root is a double one
UNIT = Ball((0.0, 0.0), 1.0)


@dataclass(frozen=True)
class Ellipse(Shape):
    """The ellipse with its axes along x and y; its boundary is one piece without a name."""

    center: tuple[float, ...]
    radii: tuple[float, ...]

    def __post_init__(self):
        if len(self.center) != 2 or not np.isfinite(self.center).all():
            raise ValueError(f"center {self.center} must be two finite coordinates")
        if len(self.radii) != 2 or not np.isfinite(self.radii).all() or min(self.radii) <= 0:
            raise ValueError(f"radii {self.radii} must be two positive numbers, along x and along y")

    @property
    def bounds(self):
        lower, upper = np.subtract(self.center, self.radii), np.add(self.center, self.radii)
        return tuple(lower.tolist()), tuple(upper.tolist())

    @property
    def sides(self):
        return ()

    @property
    def extent(self):
        return float(4 * max(self.radii) * special.ellipe(self._parameter))

    @property
    def measure(self):
        return float(np.pi * np.prod(self.radii))

    def level(self, x, xp=np):
        radii = xp.asarray(self.radii)
        scaled = (x - xp.asarray(self.center)) / radii
        excess = xp.sum(scaled**2, axis=-1) - 1
        # Divided by its slope that would grow as the distance near the boundary, and without bound at the center,
        # where the slope is zero; the second term is zero on the boundary, and gives the distance at the center.
        slope = 4 * xp.sum((scaled / radii) ** 2, axis=-1) + (excess / min(self.radii)) ** 2
        return excess / xp.sqrt(slope)

    def interior(self, uniform):
        points = np.array(self.center) + np.array(self.radii) * UNIT.interior(uniform)[0]
        return points, self.inside(points)

    def surface(self, uniform):
        quarter, share = np.divmod(4 * uniform[:, 0], 1)
        # Two of the quarters from their other end.
        back = quarter % 2 == 1
        angle = self._angles(np.where(back, 1 - share, share))
        angle = np.where(back, (quarter + 1) * np.pi / 2 - angle, quarter * np.pi / 2 + angle)
        wide = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
        on_unit = wide if self.radii[0] >= self.radii[1] else wide[:, ::-1]
        points = np.array(self.center) + np.array(self.radii) * on_unit
        slope = on_unit / np.array(self.radii)
        normals = slope / np.linalg.norm(slope, axis=1, keepdims=True)
        return Surface(points, normals, {}, np.ones(len(points), bool))

    @property
    def _parameter(self) -> float:
        """1 - b²/a², a the larger radius: the parameter m of Legendre's integrals."""
        return 1 - (min(self.radii) / max(self.radii)) ** 2

    def _angles(self, share: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Angles from the minor axis where E(angle, m), the length from there, is that share of a quarter's."""
        m, ratio = self._parameter, min(self.radii) / max(self.radii)
        length = share * special.ellipe(m)
        # E is concave and at most its angle: Newton's method climbs to the root from below.
        angle = length
        for _ in range(STEPS):
            missing = length - special.ellipeinc(angle, m)
            if np.max(missing, initial=0) < EXACT:
                break
            angle = np.minimum(angle + missing / np.hypot(np.cos(angle), ratio * np.sin(angle)), np.pi / 2)
        return angle

    def __str__(self) -> str:
        return f"ellipse({self.center}, {self.radii})"
