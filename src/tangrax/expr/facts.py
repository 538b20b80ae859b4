"""The base of operations, and what is known of their values before anything is computed."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass

import jax

from .constants import refuse_complex
from .points import PointSet


@dataclass(frozen=True)
class Facts:
    """What is known of a value before anything is computed.

    `points` is the set it has one value per point of, None for one value in all; `shape` is the shape
    of one such value; `kind` is NumPy's letter for its type ('f', 'i', 'b').
    """

    points: PointSet | None
    shape: tuple[int, ...]
    kind: str = "f"

    @classmethod
    def of(cls, points: PointSet | None, value: jax.ShapeDtypeStruct, text: str) -> "Facts":
        """Facts of what a function returned; `text` is how it is written. Raises TypeError for complex numbers."""
        refuse_complex(text, value.dtype)
        return cls(points, value.shape, value.dtype.kind)

    def struct(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.shape, {"b": "bool", "i": "int32", "u": "int32"}.get(self.kind, "float32"))


@dataclass(frozen=True)
class Op(abc.ABC):
    """An operation. `local` ones are computed point by point from arguments at the same point."""

    local = True

    @abc.abstractmethod
    def infer(self, args: Sequence[Facts], texts: Sequence[str]) -> Facts:
        """Facts of the value; raises ValueError where the arguments do not fit."""

    @abc.abstractmethod
    def text(self, args: Sequence[str]) -> str:
        """How a person would write it."""


def one_point_set(args: Sequence[Facts], texts: Sequence[str]) -> PointSet | None:
    """The point set that all per-point arguments share."""
    points, where = None, 0
    for index, facts in enumerate(args):
        if facts.points is None or facts.points is points:
            continue
        if points is not None:
            same = f" (of another domain: {facts.points.domain})" if facts.points.tag == points.tag else ""
            raise ValueError(
                f"{texts[where]} has one value per point of '{points.tag}' and {texts[index]} one per point of "
                f"'{facts.points.tag}'{same}: they cannot be combined point by point. Reduce each to a term "
                f"first (a.mse + b.mse), or write both with the coordinates of one tag"
            )
        points, where = facts.points, index
    return points
