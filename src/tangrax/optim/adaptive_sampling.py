"""Rules for resampling collocation points: `tx.optim.uniform`, `rad`, `rar_d`, `r3`.

Each chooses on the host between two epochs, from numbers that all processes have: residuals at points of any
layout, candidates and random numbers by seed, epoch and index. So it is the same for any number of devices and
processes, but for rounding: residuals that differ in the last digit change the order of two candidates only where their
keys agree to that digit, and then put one candidate in the place of another that was as likely.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ..expr import Node, PointSet, ops

CANDIDATES = 10  # for each point, and
LEAST = 10_000  # candidates at least, where their number is left open
Points = Float[np.ndarray, "_ columns"]


@dataclass(frozen=True)
class SamplingContext:
    """Random points of the tag, |residual| at points, and random numbers of one epoch, for `Resampling.choose`."""

    draw: Callable[[int], Points]
    residual: Callable[[Points], Float[np.ndarray, " n"]]
    random: np.random.Generator


@dataclass(frozen=True, eq=False)
class Resampling(abc.ABC):
    """New points every `interval` epochs for the tag of `field`, whose absolute value is the residual."""

    field: Node
    interval: int
    seed: int

    def __post_init__(self) -> None:
        if not isinstance(self.field, Node) or self.field.points is None:
            raise TypeError(
                f"{self.name}({self.field!r}): give the field whose points should move, such as the residual pde"
            )
        if isinstance(self.field.op, ops.Restrict):
            inner, group = self.field.args
            raise TypeError(
                f"{self.name}({self.field}): all points of '{self.points.tag}' move, not those of a group. To draw by "
                f"the residual of the group alone, write tx.np.where({group}, {inner}, 0)"
            )
        if self.field.facts.kind != "f":
            raise TypeError(f"{self.name}({self.field}): the field is not made of real numbers")
        self._whole("every", self.interval, 1)
        self._whole("seed", self.seed, 0)
        try:
            self.points.draw(1, 0)
        except ValueError as error:
            raise ValueError(f"{self.name}({self.field}): {error}") from error

    def __str__(self) -> str:
        return f"{self.name}('{self.points.tag}', every={self.interval})"

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The function that the user called."""

    @abc.abstractmethod
    def choose(self, points: Points, context: SamplingContext) -> tuple[Points, int]:
        """The points of the epochs to come, and how many of them are new."""

    @property
    def points(self) -> PointSet:
        """The point set that moves."""
        points = self.field.points
        assert points is not None
        return points

    def moves(self, count: int) -> bool:
        """Whether a tag of `count` points moves any more."""
        return True

    def _whole(self, name: str, value: Any, least: int, why: str = "") -> None:
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
            raise ValueError(f"{self.name}({name}={value!r}): a whole number, {least} or more{why}")

    def _not_negative(self, name: str, value: float) -> None:
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{self.name}({name}={value}): a finite number, 0 or more")


@dataclass(frozen=True, eq=False)
class Uniform(Resampling):
    """All points anew, evenly spread: `uniform`."""

    @property
    def name(self) -> str:
        return "uniform"

    def choose(self, points: Points, context: SamplingContext) -> tuple[Points, int]:
        return context.draw(len(points)), len(points)


@dataclass(frozen=True, eq=False)
class R3(Resampling):
    """Points of small residual anew: `r3`."""

    @property
    def name(self) -> str:
        return "r3"

    def choose(self, points: Points, context: SamplingContext) -> tuple[Points, int]:
        retained = points[above_mean(context.residual(points))]
        released = len(points) - len(retained)
        return np.concatenate([retained, context.draw(released)]), released


@dataclass(frozen=True, eq=False)
class ByDensity(Resampling):
    """Draws from `pool` candidates by the density |r|^power / mean + offset."""

    power: float
    offset: float
    pool: int | None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._not_negative("power", self.power)
        self._not_negative("offset", self.offset)
        if self.pool is not None:
            self._whole("pool", self.pool, self._draws, f": as many as are drawn from it for '{self.points.tag}'")

    @property
    @abc.abstractmethod
    def _draws(self) -> int:
        """How many points are drawn from the pool at first."""

    def _draw(self, count: int, points: Points, context: SamplingContext) -> Points:
        candidates = context.draw(max(self.pool or max(CANDIDATES * len(points), LEAST), count))
        weights = density(context.residual(candidates), self.power, self.offset)
        return candidates[weighted_draw(weights, count, context.random)]


@dataclass(frozen=True, eq=False)
class RAD(ByDensity):
    """All points anew, by the residual: `rad`."""

    @property
    def name(self) -> str:
        return "rad"

    @property
    def _draws(self) -> int:
        return len(self.points)

    def choose(self, points: Points, context: SamplingContext) -> tuple[Points, int]:
        return self._draw(len(points), points, context), len(points)


@dataclass(frozen=True, eq=False)
class RARD(ByDensity):
    """More points, by the residual: `rar_d`."""

    add: int
    most: int | None

    def __post_init__(self) -> None:
        self._whole("add", self.add, 1)
        super().__post_init__()
        if self.most is not None:
            self._whole("most", self.most, len(self.points), f": '{self.points.tag}' has {len(self.points)} points")

    @property
    def name(self) -> str:
        return "rar_d"

    @property
    def _draws(self) -> int:
        return self.add

    @property
    def _most(self) -> int:
        return 2 * len(self.points) if self.most is None else self.most

    def moves(self, count: int) -> bool:
        return count < self._most

    def choose(self, points: Points, context: SamplingContext) -> tuple[Points, int]:
        more = min(self.add, self._most - len(points))
        return np.concatenate([points, self._draw(more, points, context)]), more


def uniform(field: Node, *, every: int, seed: int = 0) -> Uniform:
    """Redraws all points of a tag uniformly, by a new scrambled Sobol sequence.

    Args:
        field: its tag is resampled.
        every: epochs between resamplings.
        seed: of the random points.

    Raises:
        TypeError: `field` is not a real field of all points of a tag.
        ValueError: an argument is out of range, or the tag's points cannot be redrawn.
    """
    return Uniform(field, every, seed)


def rad(
    field: Node, *, every: int, power: float = 1.0, offset: float = 1.0, pool: int | None = None, seed: int = 0
) -> RAD:
    """Redraws all points of a tag with density |r|^power / E|r|^power + offset, without replacement from a pool.

    RAD of Wu, Zhu, Tan, Kartha, Lu, CMAME 403 (2023) 115671, eq. 2.

    Args:
        field: its tag is resampled; |field| is the residual r, the norm of several components.
        every: epochs between resamplings.
        power: at least 0; larger ones concentrate points where r is large.
        offset: at least 0; larger ones spread points.
        pool: number of uniform candidates; by default ten for each point, at least 10,000.
        seed: of the random points.

    Raises:
        TypeError: `field` is not a real field of all points of a tag.
        ValueError: an argument is out of range, or the tag's points cannot be redrawn.
    """
    return RAD(field, every, seed, power, offset, pool)


def rar_d(
    field: Node,
    *,
    every: int,
    add: int,
    power: float = 2.0,
    offset: float = 0.0,
    pool: int | None = None,
    most: int | None = None,
    seed: int = 0,
) -> RARD:
    """Adds points to a tag, drawn as by `rad`; training is recompiled each time.

    RAR-D of Wu, Zhu, Tan, Kartha, Lu, CMAME 403 (2023) 115671.

    Args:
        field: its tag is resampled; |field| is the residual r, the norm of several components.
        every: epochs between resamplings.
        add: number of points to add.
        power: as in `rad`.
        offset: as in `rad`.
        pool: as in `rad`.
        most: largest number of points; by default twice the number at the start.
        seed: of the random points.

    Raises:
        TypeError: `field` is not a real field of all points of a tag.
        ValueError: an argument is out of range, or the tag's points cannot be redrawn.
    """
    return RARD(field, every, seed, power, offset, pool, add, most)


def r3(field: Node, *, every: int, seed: int = 0) -> R3:
    """Redraws uniformly the points of a tag whose residual is not above the mean; the others stay.

    R3 of Daw, Bu, Wang, Perdikaris, Karpatne, ICML 2023.

    Args:
        field: its tag is resampled; |field| is the residual r, the norm of several components.
        every: epochs between resamplings.
        seed: of the random points.

    Raises:
        TypeError: `field` is not a real field of all points of a tag.
        ValueError: an argument is out of range, or the tag's points cannot be redrawn.
    """
    return R3(field, every, seed)


def density(residual: Float[np.ndarray, " n"], power: float, offset: float) -> Float[np.ndarray, " n"]:
    """|r|^power / mean + offset; 1 everywhere where the residual is zero or so small that all agree."""
    largest = np.max(residual)
    scaled = (residual / largest) ** power if largest > 0 else np.ones_like(residual)
    return scaled / np.mean(scaled) + offset


def weighted_draw(
    weights: Float[np.ndarray, " n"], count: int, random: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """`count` different indices, one after the other by probabilities that go with the weights; in ascending order.

    The largest of log weight + Gumbel noise are such a draw: Kool, van Hoof, Welling, ICML 2019. Candidates of weight
    zero come last.
    """
    keys = np.log(np.maximum(weights, np.finfo(np.float64).tiny)) + random.gumbel(size=len(weights))
    return np.sort(np.argsort(-keys, kind="stable")[:count])


def above_mean(residual: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which points R3 keeps: those above the mean."""
    return residual > np.mean(residual)
