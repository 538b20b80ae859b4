"""Shapes: pure geometry, no points kept. A new shape is a class of its own beneath `Shape`."""

import abc
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..expr import fault
from .point_memory import grid_points
from .samplers import BLOCK, sobol

Points = Float[np.ndarray, "n dimension"]
Nodes = Float[np.ndarray, "_ dimension"]  # as many as there happen to be
NEAR = 1e-12  # of a shape's size: closer than that to the boundary a point lies on it
FLAT = 1e-9  # of a shape's size: what is thinner than that holds no point that is clearly inside
ROUNDED = 1e-6  # of a shape's size: coordinates in files are rounded to a few digits
OTHER_TAGS = ("interior", "boundary", "initial", "final")  # names that no piece of a boundary can have


@dataclass(frozen=True)
class Surface:
    """Points on the boundary of a shape, unit normals that point out of it, and which points lie on each side.

    Where not `on_boundary`, a point is none of the shape's: pieces of a combined shape are drawn whole.
    """

    points: Points
    normals: Points
    sides: dict[str, Bool[np.ndarray, " n"]]
    on_boundary: Bool[np.ndarray, " n"]


class Shape(abc.ABC):
    """A bounded region of space."""

    filled: ClassVar[bool] = False  # whether all points that `interior` makes lie inside

    @property
    @abc.abstractmethod
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Corners of an axis-parallel box that holds it."""

    @property
    @abc.abstractmethod
    def sides(self) -> tuple[str, ...]:
        """Names of the pieces of the boundary."""

    @property
    @abc.abstractmethod
    def extent(self) -> float:
        """Length or area of what `surface` draws from, evenly."""

    @property
    def measure(self) -> float:
        """Length, area or volume of what `interior` draws from, evenly."""
        return float(np.prod(np.subtract(self.bounds[1], self.bounds[0])))

    @abc.abstractmethod
    def level(self, x: Any, xp: Any = np) -> Any:
        """Below zero inside, zero on the boundary, above zero outside, for coordinates along the last axis of x.

        Near the boundary it grows as the distance from it. `xp` is the module of x, numpy or jax.numpy.
        """

    @abc.abstractmethod
    def surface(self, uniform: Points) -> Surface:
        """Points on the boundary, from points of the unit cube."""

    @property
    def volume(self) -> float:
        """Length, area or volume; of shapes made of others estimated, to some 1e-4 of that of their bounds."""
        return self.measure * self._filled

    @cached_property
    def _filled(self) -> float:
        """How much of what `interior` draws from lies inside."""
        return float(np.mean(self.interior(sobol(BLOCK, self.dimension, 0))[1]))

    def area(self, side: str | None = None) -> float:
        """Length or area of the boundary or one side, estimated as the volume is; in one dimension, how many ends."""
        return self.extent * self._shares[side]

    @cached_property
    def _shares(self) -> dict[str | None, float]:
        """How much of what `surface` draws from is the boundary's (None), and each side's."""
        surface = self.surface(sobol(BLOCK, self.dimension, 0))
        whole = {None: float(np.mean(surface.on_boundary))}
        return whole | {side: float(np.mean(surface.on_boundary & on)) for side, on in surface.sides.items()}

    def level_of(self, side: str, x: Any, xp: Any = np) -> Any:
        """The same for the piece of the boundary with that name, as if it went on beyond its ends."""
        return self.level(x, xp)

    def interior(self, uniform: Points) -> tuple[Points, Bool[np.ndarray, " n"]]:
        """Points from those of the open unit cube, and whether they lie strictly inside."""
        lower, upper = map(np.array, self.bounds)
        points = lower + uniform * (upper - lower)
        return points, self.inside(points)

    def inside(self, points: Points) -> Bool[np.ndarray, " n"]:
        """Whether points lie strictly inside."""
        return self.level(points) < -NEAR * self.size

    def holds(self, points: Nodes) -> Bool[np.ndarray, " _"]:
        """Whether points lie inside or on the boundary, up to the rounding of a few digits."""
        return self.level(points) <= ROUNDED * self.size

    def grid(self, mesh_size: float) -> tuple[Nodes, Nodes, dict[str, Nodes]]:
        """Nodes of a regular grid strictly inside; points as dense on the boundary, and of them on each side."""
        nodes = regular_grid(*self.bounds, mesh_size)
        inside = self.inside(nodes)
        count = max(1, round(self.extent / mesh_size ** (self.dimension - 1)))
        edge = self.surface(sobol(count, self.dimension, 0))
        sides = {side: edge.points[on & edge.on_boundary] for side, on in edge.sides.items()}
        return nodes[inside], edge.points[edge.on_boundary], sides

    def nodes(self, mesh_size: float) -> float:
        """How many nodes `grid` looks at, as a float: there may be more than an integer of the machine counts."""
        return grid_points(*self.bounds, mesh_size)

    @property
    def dimension(self) -> int:
        return len(self.bounds[0])

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the space axes."""
        few = ("x", "y", "z")[: self.dimension]
        return few if self.dimension <= 3 else tuple(f"x{i}" for i in range(1, self.dimension + 1))

    @cached_property
    def size(self) -> float:
        """The diagonal of its bounds."""
        return float(np.linalg.norm(np.subtract(*self.bounds)))


class Pieced(Shape):
    """A shape bounded by straight pieces, edges or triangles, each with a name or none."""

    names: tuple[str | None, ...]

    @property
    @abc.abstractmethod
    def sizes(self) -> Float[np.ndarray, " pieces"]:
        """Length or area of each piece."""

    @property
    def sides(self):
        return tuple(dict.fromkeys(name for name in self.names if name is not None))

    @property
    def extent(self):
        return float(self.sizes.sum())

    def area(self, side=None):
        return float(sum(self.sizes[[side is None or name == side for name in self.names]]))

    def on_pieces(self, pieces: Int[np.ndarray, " n"], points: Points, normals: Nodes) -> Surface:
        """Points on the boundary that lie on these pieces; `normals` has one for each piece."""
        names = np.array(self.names, dtype=object)[pieces]
        sides = {side: names == side for side in self.sides}
        return Surface(points, normals[pieces], sides, np.ones(len(points), bool))


def is_own_name(name: object) -> bool:
    """Whether a piece of a boundary can have that name."""
    return isinstance(name, str) and fault(name) is None and name not in OTHER_TAGS


def regular_grid(lower: tuple[float, ...], upper: tuple[float, ...], mesh_size: float) -> Points:
    """Nodes of a box that are `mesh_size` apart, rounded so that the grid meets the ends."""
    cells = [max(1, round((b - a) / mesh_size)) for a, b in zip(lower, upper, strict=True)]
    lines = [np.linspace(a, b, count + 1) for a, b, count in zip(lower, upper, cells, strict=True)]
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(lower))


@dataclass(frozen=True)
class OutwardNormal:
    """Outward unit normal at a point of a shape's boundary, or of one side: the direction in which its level rises."""

    shape: Shape
    side: str | None

    def __call__(self, *coordinates: Float[Array, ""]) -> Float[Array, " d"]:
        slope = jax.grad(self._level)(jnp.stack(coordinates))
        return slope / jnp.linalg.norm(slope)

    def _level(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        return self.shape.level(point, jnp) if self.side is None else self.shape.level_of(self.side, point, jnp)


@dataclass(frozen=True)
class Box(Shape):
    """Axis-parallel box between two corners; an interval in 1-D, a rectangle in 2-D."""

    filled = True

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
    def bounds(self):
        return self.lower, self.upper

    @property
    def sides(self):
        if self.dimension <= 2:
            return ("left", "right", "bottom", "top")[: 2 * self.dimension]
        return tuple(f"{axis}_{end}" for axis in self.axes for end in ("min", "max"))

    @property
    def extent(self):
        return float(self._areas.sum())

    def area(self, side=None):
        return self.extent if side is None else float(self._areas[self.sides.index(side)])

    def level(self, x, xp=np):
        return xp.max(xp.maximum(xp.asarray(self.lower) - x, x - xp.asarray(self.upper)), axis=-1)

    def level_of(self, side, x, xp=np):
        axis, end = divmod(self.sides.index(side), 2)
        return x[..., axis] - self.upper[axis] if end else self.lower[axis] - x[..., axis]

    def grid(self, mesh_size):
        nodes = regular_grid(self.lower, self.upper, mesh_size)
        pieces = self._on_sides(nodes)
        edge = np.any(list(pieces.values()), axis=0)
        return nodes[~edge], nodes[edge], {side: nodes[on] for side, on in pieces.items()}

    def interior(self, uniform):
        lower, upper = np.array(self.lower), np.array(self.upper)
        points = lower + uniform * (upper - lower)
        points = np.clip(points, np.nextafter(lower, upper), np.nextafter(upper, lower))
        return points, np.ones(len(points), bool)

    def surface(self, uniform):
        lower, upper = np.array(self.lower), np.array(self.upper)
        areas = self._areas
        shares = np.cumsum(areas / areas.sum())
        face = np.minimum(np.searchsorted(shares, uniform[:, 0], side="right"), len(areas) - 1)
        points, normals = np.empty_like(uniform), np.zeros_like(uniform)
        for index in range(len(areas)):
            axis, end = divmod(index, 2)
            on = face == index
            points[on] = lower + uniform[on][:, np.roll(np.arange(self.dimension), axis)] * (upper - lower)
            points[on, axis] = (self.lower, self.upper)[end][axis]
            normals[on, axis] = (-1, 1)[end]
        return Surface(points, normals, self._on_sides(points), np.ones(len(points), bool))

    @property
    def _areas(self) -> Float[np.ndarray, " faces"]:
        lengths = np.subtract(self.upper, self.lower)
        return np.repeat(np.prod(lengths) / lengths, 2)

    def _on_sides(self, points: Points) -> dict[str, np.ndarray]:
        ends = [(axis, bound[axis]) for axis in range(self.dimension) for bound in (self.lower, self.upper)]
        return {side: points[:, axis] == value for side, (axis, value) in zip(self.sides, ends, strict=True)}

    def __str__(self) -> str:
        name = {1: "line", 2: "rect"}.get(self.dimension, "box")
        lower, upper = (self.lower[0], self.upper[0]) if self.dimension == 1 else (self.lower, self.upper)
        return f"{name}({lower}, {upper})"


@dataclass(frozen=True)
class Ball(Shape):
    """A disk, or a ball in three dimensions; its boundary is one piece without a name."""

    center: tuple[float, ...]
    radius: float

    def __post_init__(self):
        if len(self.center) not in (2, 3) or not np.isfinite(self.center).all():
            raise ValueError(f"center {self.center} must be two or three finite coordinates")
        if not (np.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"radius={self.radius} must be positive")

    @property
    def bounds(self):
        return tuple(c - self.radius for c in self.center), tuple(c + self.radius for c in self.center)

    @property
    def sides(self):
        return ()

    @property
    def extent(self):
        return float(2 * np.pi * self.radius if self.dimension == 2 else 4 * np.pi * self.radius**2)

    @property
    def measure(self):
        return float((np.pi if self.dimension == 2 else 4 / 3 * np.pi) * self.radius**self.dimension)

    def level(self, x, xp=np):
        return xp.sqrt(xp.sum((x - xp.asarray(self.center)) ** 2, axis=-1)) - self.radius

    def interior(self, uniform):
        # Of n uniform numbers the first gives the radius: a share r^n of the ball lies within r.
        far = uniform[:, :1] ** (1 / self.dimension)
        points = np.array(self.center) + self.radius * far * self._directions(uniform[:, 1:])
        return points, self.inside(points)

    def surface(self, uniform):
        normals = self._directions(uniform)
        return Surface(np.array(self.center) + self.radius * normals, normals, {}, np.ones(len(uniform), bool))

    def _directions(self, uniform: Float[np.ndarray, "n numbers"]) -> Points:
        """Unit vectors, evenly: by the angle, and in three dimensions by z, which is even on a sphere (Archimedes)."""
        angle = 2 * np.pi * uniform[:, 0]
        circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        if self.dimension == 2:
            return circle
        z = 2 * uniform[:, 1:2] - 1
        return np.concatenate([np.sqrt(1 - z**2) * circle, z], axis=-1)

    def __str__(self) -> str:
        return f"{'disk' if self.dimension == 2 else 'ball'}({self.center}, {self.radius:g})"
