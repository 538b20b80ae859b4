"""A domain: a shape with collocation points under tags, steady or over time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from ..expr import Node, PointSet, ops
from .samplers import FINE, sobol
from .shapes import Box, Shape

Corner = Sequence[float] | np.ndarray
MOST = 2**20  # points of the boundary that are looked through for those of one side


@dataclass(frozen=True)
class Sampling:
    """How many points, and where: grid nodes `mesh_size` apart, or `n` low-discrepancy points."""

    mesh_size: float | None
    n: int | None
    boundary: int | None
    seed: int

    def __post_init__(self):
        if (self.mesh_size is None) == (self.n is None):
            raise ValueError(
                f"mesh_size={self.mesh_size}, n={self.n}: give one of the two, the distance of grid nodes or a "
                f"number of low-discrepancy points"
            )
        if self.mesh_size is not None and not (np.isfinite(self.mesh_size) and self.mesh_size > 0):
            raise ValueError(f"mesh_size={self.mesh_size} must be a positive distance between grid nodes")
        for name, count in (("n", self.n), ("boundary", self.boundary)):
            if count is not None and count < 1:
                raise ValueError(f"{name}={count} must be a positive number of points")


@dataclass(frozen=True)
class TimeSpan:
    """Times from `start` to `end`, grid nodes `mesh_size` apart; `initial` points at the start (and end)."""

    start: float
    end: float
    mesh_size: float | None
    initial: int | None

    def __post_init__(self):
        if not (np.isfinite(self.start) and np.isfinite(self.end) and self.start < self.end):
            raise ValueError(f"over_time({self.start}, {self.end}): the start must lie before the end")
        if self.mesh_size is not None and not self.mesh_size > 0:
            raise ValueError(f"over_time(mesh_size={self.mesh_size}) must be a positive time between nodes")
        if self.initial is not None and self.initial < 1:
            raise ValueError(f"over_time(initial={self.initial}) must be a positive number of points")


@dataclass(frozen=True, eq=False)
class Domain:
    """Collocation points of a shape, by tag.

    Tags: `interior` (strictly inside; over time, t > start), `boundary`, each side of the shape by name, and over
    time `initial` and `final` (the closed shape at the first and last time).
    """

    shape: Shape
    sampling: Sampling
    time: TimeSpan | None = None
    _sets: dict[str, PointSet] = field(default_factory=dict, repr=False)

    @property
    def tags(self) -> tuple[str, ...]:
        return ("interior", "boundary", *(("initial", "final") if self.time else ()), *self.shape.sides)

    def variable(self, tag: str) -> tuple[Node, ...]:
        """The coordinates of a tag's points as fields: space axes, then time, (x, t) or (x, y, t).

        The time slot is there for steady problems too, so that unpacking does not change with the problem.
        """
        points = self.point_set(tag)
        return tuple(Node(ops.Coordinate(points, axis)) for axis in range(len(points.axes)))

    def over_time(
        self, start: float, end: float, *, mesh_size: float | None = None, initial: int | None = None
    ) -> "Domain":
        """The same shape over a span of time.

        On a grid, time nodes lie `mesh_size` apart (by default as far as space nodes); with `n=`, those n points
        fill space and time together, and `initial` points (by default as many as on the boundary) each lie
        at the first and the last time.
        """
        return replace(self, time=TimeSpan(float(start), float(end), mesh_size, initial), _sets={})

    def point_set(self, tag: str) -> PointSet:
        """The points of a tag."""
        if tag not in self.tags:
            raise ValueError(f"unknown tag '{tag}': {self} has {', '.join(self.tags)}")
        if tag not in self._sets:
            axes = (*self.shape.axes, "t")
            # The ends of an interval are all there is of its boundary.
            fixed = len(self.shape.axes) == 1 and not self.time and tag != "interior"
            draw = None if fixed else partial(self._draw, tag)
            self._sets[tag] = PointSet(tag, self._coordinates[tag], axes, self.time is None, str(self), draw)
        return self._sets[tag]

    @cached_property
    def _coordinates(self) -> dict[str, np.ndarray]:
        """Space and time columns of the points of every tag."""
        steps = self.sampling
        dimension = len(self.shape.axes)
        unknown = 1 if self.time else 0
        if steps.mesh_size is not None:
            inside, edge, sides = self.shape.grid(steps.mesh_size)
            closed = np.concatenate([inside, edge])
            times = self._time_nodes()
            found = {
                "interior": _product(inside, times[1:] if self.time else times),
                "boundary": _product(edge, times),
                **{side: _product(points, times) for side, points in sides.items()},
            }
        else:
            assert steps.n is not None
            uniform = sobol(steps.n, dimension + unknown, steps.seed)
            inside = self.shape.interior(uniform[:, :dimension])
            found = {"interior": np.column_stack([inside, self._times(uniform[:, dimension:])])}
            closed = None
        if steps.mesh_size is None or steps.boundary is not None:
            found |= self._sampled_boundary(dimension, unknown)
        if self.time:
            if closed is None:
                count = self.time.initial or len(found["boundary"])
                closed = self.shape.interior(sobol(count, dimension, steps.seed + 2))
            found["initial"] = _product(closed, np.array([self.time.start]))
            found["final"] = _product(closed, np.array([self.time.end]))
        return found

    def _sampled_boundary(self, dimension: int, unknown: int) -> dict[str, np.ndarray]:
        if dimension == 1 and not self.time:
            count = 2  # the two ends are all there is
        elif self.sampling.boundary is not None:
            count = self.sampling.boundary
        else:
            # As dense on each of the 2 d faces as the interior is along an axis.
            assert self.sampling.n is not None
            count = round(2 * dimension * self.sampling.n ** (1 - 1 / (dimension + unknown)))
        uniform = sobol(count, dimension + unknown, self.sampling.seed + 1)
        if dimension == 1 and not self.time:
            uniform = np.array([[0.25], [0.75]])
        edge, sides = self.shape.surface(uniform[:, :dimension])
        times = self._times(uniform[:, dimension:])
        found = {"boundary": np.column_stack([edge, times])}
        return found | {side: np.column_stack([edge[on], times[on]]) for side, on in sides.items()}

    def _draw(self, tag: str, count: int, key: Sequence[int]) -> np.ndarray:
        """`count` low-discrepancy points of a tag, by `key`: spread over the same piece of the shape, grid or not."""
        dimension = len(self.shape.axes)
        if self.time and tag in ("initial", "final"):
            at = self.time.start if tag == "initial" else self.time.end
            return _product(self.shape.interior(sobol(count, dimension, key, FINE)), np.array([at]))
        columns = dimension + (1 if self.time else 0)
        if tag == "interior":
            uniform = sobol(count, columns, key, FINE)
            return np.column_stack([self.shape.interior(uniform[:, :dimension]), self._times(uniform[:, dimension:])])
        tried = count
        while tried <= MOST:
            # The first points of a longer sequence are those of a shorter one.
            uniform = sobol(tried, columns, key, FINE)
            edge, sides = self.shape.surface(uniform[:, :dimension])
            chosen = (np.flatnonzero(sides[tag]) if tag in sides else np.arange(tried))[:count]
            if len(chosen) == count:
                return np.column_stack([edge, self._times(uniform[:, dimension:])])[chosen]
            tried *= 2
        raise ValueError(f"'{tag}' of {self}: fewer than {count} of {tried // 2} points on the boundary lie on it")

    def _time_nodes(self) -> np.ndarray:
        if self.time is None:
            return np.zeros(1)
        size = self.time.mesh_size or self.sampling.mesh_size
        assert size is not None
        cells = max(1, round((self.time.end - self.time.start) / size))
        return np.linspace(self.time.start, self.time.end, cells + 1)

    def _times(self, uniform: np.ndarray) -> np.ndarray:
        """Times from a column of numbers in [0, 1); zeros where the problem is steady."""
        if self.time is None:
            return np.zeros(len(uniform))
        # 1 - u lies in (0, 1]: residuals are wanted at the last time, and not at the first.
        return self.time.start + (1 - uniform[:, 0]) * (self.time.end - self.time.start)

    def __str__(self) -> str:
        s, t = self.sampling, self.time
        points = f"mesh_size={s.mesh_size:g}" if s.mesh_size is not None else f"n={s.n}"
        span = f" over t in [{t.start:g}, {t.end:g}]" if t else ""
        return f"{self.shape} with {points}{span}"


def _product(space: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Every space point at every time: rows (space, t)."""
    return np.column_stack([np.repeat(space, len(times), axis=0), np.tile(times, len(space))])


def line(
    a: float = 0.0,
    b: float = 1.0,
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The interval (a, b); its sides are left and right. `boundary` counts over time only: a steady one has 2."""
    return box((a,), (b,), mesh_size=mesh_size, n=n, boundary=boundary, seed=seed)


def rect(
    lower: Corner = (0.0, 0.0),
    upper: Corner = (1.0, 1.0),
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The rectangle between two corners; its sides are left, right, bottom and top."""
    if len(lower) != 2 or len(upper) != 2:
        raise ValueError(f"rect({lower}, {upper}): a corner of a rectangle has two coordinates; see tx.domain.box")
    return box(lower, upper, mesh_size=mesh_size, n=n, boundary=boundary, seed=seed)


def box(
    lower: Corner,
    upper: Corner,
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The axis-parallel box between two corners, in any dimension; its sides are x_min, x_max, y_min, …

    `mesh_size` makes a regular grid, `n` and `boundary` that many low-discrepancy points inside and on the boundary.
    """
    shape = Box(tuple(map(float, lower)), tuple(map(float, upper)))
    return Domain(shape, Sampling(mesh_size, n, boundary, seed))
