"""Plane shapes drawn out along z."""

from dataclasses import dataclass

import numpy as np

from .shapes import Shape, Surface

CAPS = ("z_min", "z_max")


@dataclass(frozen=True)
class Extruded(Shape):
    """A plane shape drawn out from z = low to z = high; the sides of the plane shape become walls."""

    profile: Shape
    low: float
    high: float

    def __post_init__(self):
        if self.profile.dimension != 2:
            raise ValueError(f"extrusion of {self.profile}, {self.profile.dimension}-D: the profile is a 2-D shape")
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"extrusion from z = {self.low} to {self.high}: the first must be below the second")
        taken = sorted(set(CAPS) & set(self.profile.sides))
        if taken:
            raise ValueError(f"{self.profile} has a side '{taken[0]}', which is the name of an end: give it another")

    @property
    def bounds(self):
        lower, upper = self.profile.bounds
        return (*lower, self.low), (*upper, self.high)

    @property
    def sides(self):
        return (*self.profile.sides, *CAPS)

    @property
    def extent(self):
        return self._wall + 2 * self.profile.measure

    @property
    def measure(self):
        return self.profile.measure * (self.high - self.low)

    @property
    def volume(self):
        return self.profile.volume * (self.high - self.low)

    def area(self, side=None):
        if side in CAPS:
            return self.profile.volume
        wall = self.profile.area(side) * (self.high - self.low)
        return wall + 2 * self.profile.volume if side is None else wall

    def level(self, x, xp=np):
        ends = xp.maximum(self.low - x[..., 2], x[..., 2] - self.high)
        return xp.maximum(self.profile.level(x[..., :2], xp), ends)

    def level_of(self, side, x, xp=np):
        if side in CAPS:
            return self.low - x[..., 2] if side == "z_min" else x[..., 2] - self.high
        return self.profile.level_of(side, x[..., :2], xp)

    def interior(self, uniform):
        plane, inside = self.profile.interior(uniform[:, :2])
        points = np.column_stack([plane, self._heights(uniform)])
        return points, inside & self.inside(points)

    def surface(self, uniform):
        shares = np.array([self._wall, self.profile.measure, self.profile.measure]) / self.extent
        starts = np.cumsum(shares) - shares
        piece = np.searchsorted(starts, uniform[:, 0], side="right") - 1
        wall, at_end = piece == 0, piece > 0
        points, normals = np.empty_like(uniform), np.zeros_like(uniform)
        counted = np.zeros(len(uniform), bool)

        on_wall = uniform[wall, :2]
        on_wall[:, 0] = np.minimum(on_wall[:, 0] / shares[0], np.nextafter(1, 0))
        walls = self.profile.surface(on_wall)
        points[wall] = np.column_stack([walls.points, self._heights(uniform[wall])])
        normals[wall, :2], counted[wall] = walls.normals, walls.on_boundary

        points[at_end, :2], counted[at_end] = self.profile.interior(uniform[at_end, 1:])
        sides = {side: np.zeros(len(uniform), bool) for side in self.profile.sides}
        for side, on in walls.sides.items():
            sides[side][wall] = on
        for index, (end, height, direction) in enumerate(zip(CAPS, (self.low, self.high), (-1, 1), strict=True)):
            sides[end] = piece == index + 1
            points[sides[end], 2], normals[sides[end], 2] = height, direction
        return Surface(points, normals, sides, counted)

    @property
    def _wall(self) -> float:
        return self.profile.extent * (self.high - self.low)

    def _heights(self, uniform: np.ndarray) -> np.ndarray:
        return self.low + uniform[:, 2] * (self.high - self.low)

    def __str__(self) -> str:
        return f"extrusion({self.profile}, {self.low:g}, {self.high:g})"
