"""A set of collocation points, as the language sees it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol, runtime_checkable
from zlib import crc32

import numpy as np
from jaxtyping import Float

from .constants import checked_array
from .names import checked_name

Draw = Callable[[int, Sequence[int]], np.ndarray]  # how many, by which key -> coordinates
HELD_OUT = 1  # the first word of the keys of held-out points: they meet no other draw's


@runtime_checkable
class Rows(Protocol):
    """An array of rows, or what stands for one: a slice of it is an array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> np.ndarray: ...


class PointSet:
    """N points under one tag of one domain; two point sets are the same only if they are one object.

    `coordinates` has one column per space axis and a last one for time (zero where the problem is
    steady); float64, in the user's point order, whatever precision the run has. `draw` gives other points
    spread evenly over the same piece of the domain, where it has others. `rows` are the coordinates with what was
    measured at the points beside them, `names` those of its columns; it may be something that makes the rows of a
    slice when asked for them, so that no host need hold them all. `coordinates` holds them all. `even` says that the
    points are spread evenly over a set, whose length, area or volume is `measure`. `region` is the shape of the domain,
    where it has one, `spans` its lengths along the axes: the points themselves may lie close together in it.
    """

    def __init__(
        self,
        tag: str,
        coordinates: Rows,
        axes: tuple[str, ...],
        steady: bool,
        domain: str,
        draw: Draw | None = None,
        measure: Callable[[], float] | None = None,
        even: bool = False,
        region: Any = None,
        spans: Sequence[float] | None = None,
    ):
        if len(coordinates) == 0:
            raise ValueError(
                f"tag '{tag}' of {domain} holds no points: use a smaller mesh_size, or a larger n or boundary"
            )
        self.tag = checked_name(f"a tag of {domain}", tag)
        self.axes = axes
        self.steady = steady
        self.domain = domain
        self.rows: Rows = coordinates
        self.names = axes
        self.even = even
        self.region = region
        self.spans = spans
        self.weights: int | None = None  # the column of `rows` with those of a quadrature, N times their share
        self._draw = draw
        self._measure = measure
        self._held_out: dict[tuple[int, int], PointSet] = {}
        if isinstance(coordinates, np.ndarray):
            coordinates.flags.writeable = False

    @cached_property
    def coordinates(self) -> Float[np.ndarray, "n columns"]:
        coordinates = self.rows[:][:, : len(self.axes)]
        coordinates.flags.writeable = False
        return coordinates

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"PointSet('{self.tag}', {len(self)} points of {self.domain})"

    def add(self, name: str, values: Any) -> int:
        """Keep what was measured at the points; the index of its column in `rows`. Raises if it does not fit."""
        array = checked_array(f"{name} for '{self.tag}'", values, np.float64)
        if array.shape != (len(self),):
            raise ValueError(
                f"{name} for '{self.tag}' has shape {array.shape}: give {(len(self),)}, a value for each point, "
                f"in the order of domain.point_set('{self.tag}').coordinates"
            )
        wrong = np.flatnonzero(~np.isfinite(array))
        if len(wrong):
            raise ValueError(
                f"{name} for '{self.tag}' holds {array[wrong[0]]} in row {wrong[0]}: leave out points without a value"
            )
        rows = np.column_stack([self.rows[:], array])
        rows.flags.writeable = False
        self.rows = rows
        self.names = (*self.names, name)
        return len(self.names) - 1

    def weigh(self, shares: Float[np.ndarray, " n"]) -> None:
        """Make the points those of a quadrature, with these shares of the measure."""
        self.weights = self.add("quadrature", len(self) * shares)

    def draw(self, count: int, *key: int) -> Float[np.ndarray, "count columns"]:
        """Other points of this tag, `count` of them; those of a key (and of a tag) are always the same."""
        if self._draw is None:
            raise ValueError(
                f"no other points can be drawn for '{self.tag}' of {self.domain}: those it has are all there are, or "
                f"were drawn or given themselves"
            )
        head, *rest = key
        return self._draw(count, (head, crc32(self.tag.encode()), *rest))

    @property
    def measure(self) -> float:
        """Length, area or volume of the set that the points are spread over evenly; raises where they are not."""
        if self._measure is None or not (self.even or self.weights is not None):
            mend = "points that were given have none" if self._measure is None else "take a field's .held_out(n)"
            raise ValueError(
                f"the points of '{self.tag}' of {self.domain} are not spread evenly over a set whose measure is known, "
                f"so sums over them are no integrals: {mend}, or sample the domain with n="
            )
        return self._measure()

    def held_out(self, count: int, seed: int) -> "PointSet":
        """Other points of this tag, which never change: one object for each number and seed."""
        if (count, seed) not in self._held_out:
            coordinates = self.draw(count, HELD_OUT, seed)
            name = f"{self.domain}, held out"
            self._held_out[count, seed] = PointSet(
                self.tag, coordinates, self.axes, self.steady, name, None, self._measure, True, self.region, self.spans
            )
        return self._held_out[count, seed]

    def conform(self, points: Any) -> np.ndarray:
        """New points for this tag, in the columns that `coordinates` has.

        A steady problem takes its points without the time column, or with one of zeros, a one-dimensional one as a
        vector.
        """
        return conform(points, self.tag, self.axes, self.steady)


def conform(points: Any, tag: str, axes: tuple[str, ...], steady: bool) -> np.ndarray:
    """Points as rows of float64 numbers, one column for each of the axes, the last one time; raises if they are not.

    There is no time in a steady problem: a last column of zeros, as its own points have, may stand for it.
    """
    columns = len(axes)
    points = checked_array(f"points for '{tag}'", points, np.float64)
    shape = points.shape
    if points.ndim == 1 and columns - steady == 1:
        points = points[:, None]
    if steady and points.ndim == 2 and points.shape[1] == columns - 1:
        points = np.column_stack([points, np.zeros(len(points))])
    if points.ndim != 2 or points.shape[1] != columns or len(points) == 0:
        wanted = ", ".join(axes[: columns - steady])
        raise ValueError(
            f"points for '{tag}' have shape {shape}: give one row per point, at least one, with the columns ({wanted})"
        )
    wrong = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(wrong):
        raise ValueError(f"points for '{tag}' hold a number that is not finite, the first in row {wrong[0]}")
    if steady and points[:, -1].any():
        raise ValueError(
            f"points for '{tag}' have shape {shape}: the problem is steady, with the columns "
            f"({', '.join(axes[:-1])}), and the last column given is not zero; leave it out, or make the domain "
            f".over_time(start, end)"
        )
    return points
