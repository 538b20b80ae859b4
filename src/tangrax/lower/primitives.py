"""The operations that shards exchange numbers for; everything else is computed where a point is."""

import abc
from dataclasses import dataclass
from typing import Any

from ..expr import Node, PointSet
from ..expr.ops import Facts, Op, one_point_set


class Exchange(Op):
    """A value that every shard contributes to and every shard receives."""

    local = False


@dataclass(frozen=True)
class PointSum(Exchange):
    """Sum of a field over its points, or over those of a group (second argument): one all-reduce."""

    def infer(self, args, texts):
        one_point_set(args, texts)
        return Facts(None, args[0].shape)

    def text(self, args):
        return f"sum({', '.join(args)})"


@dataclass(frozen=True)
class PointMax(Exchange):
    """Largest value of a field over its points, or over those of a group. Not differentiated (see `expand`)."""

    def infer(self, args, texts):
        one_point_set(args, texts)
        return Facts(None, ())

    def text(self, args):
        return f"max({', '.join(args)})"


@dataclass(frozen=True)
class Gathered(Exchange):
    """All points' values of a field, in the user's order and without padding: (N, …)."""

    def infer(self, args, texts):
        points = args[0].points
        assert points is not None
        return Facts(None, (len(points), *args[0].shape), args[0].kind)

    def text(self, args):
        return args[0]


class AtPoint(Op):
    """An operation of a floor above that computes itself at a point, by a way of its own through its arguments."""

    @abc.abstractmethod
    def at(self, node: Node, values: Any, point: Any) -> Any:
        """The value of a node of this operation; `values` are the `Values` that it is computed from."""


@dataclass(frozen=True)
class Columns(Op):
    """Entries `start` to `stop` of a field of vectors."""

    start: int
    stop: int

    def infer(self, args, texts):
        return Facts(args[0].points, (*args[0].shape[:-1], self.stop - self.start), args[0].kind)

    def text(self, args):
        return f"{args[0]}[…, {self.start}:{self.stop}]"


@dataclass(frozen=True)
class Count(Op):
    """N, the number of points of a tag: known when a program is built, and another for new points."""

    points: PointSet

    def infer(self, args, texts):
        return Facts(None, (), "i")

    def text(self, args):
        return f"#{self.points.tag}"
