"""Shapes: pure geometry, no points kept. A new shape is a new class with these three methods."""

import abc
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Points = Float[np.ndarray, "n dimension"]


class Shape(abc.ABC):
    """A bounded region of space."""

    @property
    @abc.abstractmethod
    def axes(self) -> tuple[str, ...]:
        """Names of the space axes."""

    @property
    @abc.abstractmethod
    def sides(self) -> tuple[str, ...]:
        """Names of the pieces of the boundary."""

    @abc.abstractmethod
    def grid(self, mesh_size: float) -> tuple[Points, Points, dict[str, Points]]:
        """Nodes of a regular grid: strictly inside, on the boundary (each once), and on each side."""

    @abc.abstractmethod
    def interior(self, uniform: Points) -> Points:
        """Points strictly inside, from points of the open unit cube."""

    @abc.abstractmethod
    def surface(self, uniform: Points) -> tuple[Points, dict[str, Bool[np.ndarray, " n"]]]:
        """Points on the boundary, from points of the unit cube, and which of them lie on each side."""


@dataclass(frozen=True)
class Box(Shape):
    """Axis-parallel box between two corners; an interval in 1-D, a rectangle in 2-D."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self):
        if len(self.lower) != len(self.upper) or not self.lower:
            raise ValueError(
                f"corners {self.lower} and {self.upper} must have the same number of coordinates, at least one"
            )
        for a, b in zip(self.lower, self.upper, strict=True):
            if not (np.isfinite(a) and np.isfinite(b) and a < b):
                raise ValueError(f"corners {self.lower} and {self.upper}: each lower bound must be below its upper one")

    @property
    def dimension(self) -> int:
        return len(self.lower)

    @property
    def axes(self) -> tuple[str, ...]:
        return (
            ("x", "y", "z")[: self.dimension]
            if self.dimension <= 3
            else tuple(f"x{i}" for i in range(1, self.dimension + 1))
        )

    @property
    def sides(self) -> tuple[str, ...]:
        if self.dimension <= 2:
            return ("left", "right", "bottom", "top")[: 2 * self.dimension]
        return tuple(f"{axis}_{end}" for axis in self.axes for end in ("min", "max"))

    def grid(self, mesh_size):
        lines = []
        for a, b in zip(self.lower, self.upper, strict=True):
            cells = max(1, round((b - a) / mesh_size))
            lines.append(np.linspace(a, b, cells + 1))
        nodes = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, self.dimension)
        pieces = self._on_sides(nodes)
        edge = np.any(list(pieces.values()), axis=0)
        return nodes[~edge], nodes[edge], {side: nodes[on] for side, on in pieces.items()}

    def interior(self, uniform):
        lower, upper = np.array(self.lower), np.array(self.upper)
        points = lower + uniform * (upper - lower)
        return np.clip(points, np.nextafter(lower, upper), np.nextafter(upper, lower))

    def surface(self, uniform):
        lower, upper = np.array(self.lower), np.array(self.upper)
        lengths = upper - lower
        areas = np.repeat(np.prod(lengths) / lengths, 2)
        shares = np.cumsum(areas / areas.sum())
        face = np.minimum(np.searchsorted(shares, uniform[:, 0], side="right"), len(areas) - 1)
        points = np.empty_like(uniform)
        for index in range(len(areas)):
            axis, end = divmod(index, 2)
            on = face == index
            points[on] = lower + uniform[on][:, np.roll(np.arange(self.dimension), axis)] * lengths
            points[on, axis] = (self.lower, self.upper)[end][axis]
        return points, self._on_sides(points)

    def _on_sides(self, points: Points) -> dict[str, np.ndarray]:
        ends = [(axis, bound[axis]) for axis in range(self.dimension) for bound in (self.lower, self.upper)]
        return {side: points[:, axis] == value for side, (axis, value) in zip(self.sides, ends, strict=True)}

    def __str__(self) -> str:
        name = {1: "line", 2: "rect"}.get(self.dimension, "box")
        lower, upper = (self.lower[0], self.upper[0]) if self.dimension == 1 else (self.lower, self.upper)
        return f"{name}({lower}, {upper})"
