"""Coordinates of the points of each tag: a grid or a sampler on a shape, steady or over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .lazy_points import LazyPoints, lazy_points
from .point_memory import grid_points, refuse_beyond
from .samplers import FINE, GAUSS, Cube, Sampling, Seed, TimeSpan
from .shapes import Shape


@dataclass(frozen=True, eq=False)
class TagCoordinates:
    """Points of a sampled shape by tag, and others drawn on request; `domain` is its name in messages."""

    shape: Shape
    sampling: Sampling
    time: TimeSpan | None
    domain: str

    @cached_property
    def by_tag(self) -> dict[str, np.ndarray | LazyPoints]:
        """Space and time columns of the points of every tag."""
        steps = self.sampling
        coordinates: dict[str, np.ndarray | LazyPoints]
        if steps.mesh_size is not None:
            self._refuse_grid(steps.mesh_size)
            inside, edge, sides = self.shape.grid(steps.mesh_size)
            closed = np.concatenate([inside, edge])
            times = self._time_nodes()
            coordinates = {
                "interior": _product(inside, times[1:] if self.time else times),
                "boundary": _product(edge, times),
                **{side: _product(points, times) for side, points in sides.items()},
            }
        else:
            assert steps.n is not None
            coordinates = {"interior": self._inside(steps.n, steps.seed, by_rule=True)}
            closed = None
        if steps.mesh_size is None or steps.boundary is not None:
            coordinates |= self._boundary()
        if self.time:
            if closed is None:
                count = self.time.initial or len(coordinates["boundary"])
                if steps.sampler == GAUSS and not self.time.initial:
                    count = (
                        round(len(coordinates["interior"]) ** (1 / (self.shape.dimension + 1))) ** self.shape.dimension
                    )
                closed = self._inside(count, steps.seed + 2, timeless=True, by_rule=True)[:][:, :-1]
            coordinates["initial"] = _product(closed, np.array([self.time.start]))
            coordinates["final"] = _product(closed, np.array([self.time.end]))
        return coordinates

    def _refuse_grid(self, mesh_size: float) -> None:
        """Raise where the nodes of a grid, at all times, do not fit the memory."""
        request, count = f"mesh_size={mesh_size:g}", self.shape.nodes(mesh_size)
        if self.time is not None:
            interval = self.time.mesh_size or mesh_size
            request += f" and over_time(mesh_size={interval:g})"
            count *= grid_points((self.time.start,), (self.time.end,), interval)
        refuse_beyond(request, str(self.shape), count, self.shape.dimension + 1)

    def _boundary(self) -> dict[str, np.ndarray]:
        dimension = self.shape.dimension
        if dimension == 1 and not self.time:
            edge = self.shape.surface(np.array([[0.25], [0.75]]))  # the two ends are all there is
            rows, sides = np.column_stack([edge.points, np.zeros(2)]), edge.sides
        else:
            steps = self.sampling
            count = steps.boundary
            if count is None:
                # As dense on each of the 2 d faces of a box as the interior is along an axis.
                assert steps.n is not None
                count = round(2 * dimension * steps.n ** (1 - 1 / (dimension + self.time_columns)))
            rows, sides = self._on_edge("boundary", count, steps.seed + 1)
        return {"boundary": rows} | {side: rows[on] for side, on in sides.items()}

    def draw(self, tag: str, count: int, key: Sequence[int]) -> np.ndarray:
        """`count` points of a tag, by `key`: spread over the same piece of the shape, grid or not."""
        if self.time and tag in ("initial", "final"):
            at = self.time.start if tag == "initial" else self.time.end
            return _product(self._inside(count, key, FINE, timeless=True)[:][:, :-1], np.array([at]))
        return self._inside(count, key, FINE)[:] if tag == "interior" else self._on_edge(tag, count, key, FINE)[0]

    def _inside(
        self, count: int, seed: Seed, bits: int = 30, *, timeless: bool = False, by_rule: bool = False
    ) -> LazyPoints:
        """`count` points strictly inside, and their times or zeros; of a rule only where its points may be."""
        dimension = self.shape.dimension
        if not self.shape.filled:  # of the others each process makes its own points alone
            refuse_beyond(f"n={count}", str(self.shape), count, dimension + 1)

        def draw(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            points, counts = self.shape.interior(uniform[:, :dimension])
            return np.column_stack([points, self._times(uniform[:, dimension:])]), counts

        cube = self._cube(dimension + (0 if timeless else self.time_columns), seed, bits, by_rule)
        what = repr((self.shape, self.time, count, cube))
        return lazy_points(what, f"the interior of {self.domain}", count, cube, draw, self.shape.filled)

    def _on_edge(self, tag: str, count: int, seed: Seed, bits: int = 30) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """`count` points of the boundary or a side, with their times or zeros, and which of them lie on which side."""
        dimension, sides = self.shape.dimension, self.shape.sides
        refuse_beyond(f"{count} on the boundary", str(self.shape), count, dimension + 1 + len(sides))

        def draw(uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            edge = self.shape.surface(uniform[:, :dimension])
            on = [edge.sides[side] for side in sides]
            candidates = np.column_stack([edge.points, self._times(uniform[:, dimension:]), *on])
            return candidates, edge.on_boundary if tag == "boundary" else edge.on_boundary & edge.sides[tag]

        cube = self._cube(dimension + self.time_columns, seed, bits)
        rows = lazy_points("", f"'{tag}' of {self.domain}", count, cube, draw, False)[:]
        on = {side: rows[:, dimension + 1 + index] == 1 for index, side in enumerate(sides)}
        return np.ascontiguousarray(rows[:, : dimension + 1]), on

    def _cube(self, columns: int, seed: Seed, bits: int, by_rule: bool = False) -> Cube:
        sampler = self.sampling.sampler
        return Cube(sampler if by_rule or sampler != GAUSS else "sobol", 0, columns, seed, bits)

    @property
    def time_columns(self) -> int:
        """Numbers that a point takes beside those for space."""
        return 1 if self.time else 0

    def _time_nodes(self) -> np.ndarray:
        """Times of a grid; zero of a steady one."""
        if self.time is None:
            return np.zeros(1)
        size = self.time.mesh_size or self.sampling.mesh_size
        assert size is not None
        cells = max(1, round((self.time.end - self.time.start) / size))
        return np.linspace(self.time.start, self.time.end, cells + 1)

    def _times(self, uniform: np.ndarray) -> np.ndarray:
        """Times from a column of numbers in [0, 1); zeros where there is none."""
        if self.time is None or uniform.shape[1] == 0:
            return np.zeros(len(uniform))
        # 1 - u lies in (0, 1]: residuals are wanted at the last time, and not at the first.
        return self.time.start + (1 - uniform[:, 0]) * (self.time.end - self.time.start)


def _product(space: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Every space point at every time: rows (space, t)."""
    return np.column_stack([np.repeat(space, len(times), axis=0), np.tile(times, len(space))])
