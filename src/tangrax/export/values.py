"""Values of fields beside the points they are at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..checkpoint.archive import Arrays
from ..jacobian import RESULT_LIMIT, Evaluator, evaluate
from .arguments import Asked


@dataclass(frozen=True)
class Values:
    """Coordinates by the name of their axis, (N,), and fields by name, (N, …), in the points' order."""

    coordinates: Arrays
    fields: Arrays

    @classmethod
    def of(cls, asked: Asked, points: Mapping[str, Any], evaluator: Evaluator) -> "Values":
        """Fields now, at the points of their tag or new ones of its name; to be called on all processes alike."""
        rows = rows_of(asked, points, evaluator)
        found = evaluate(evaluator, list(asked.fields.values()), points, False, RESULT_LIMIT)
        coordinates = {axis: rows[:, column] for column, axis in enumerate(asked.axes)}
        return cls(coordinates, dict(zip(asked.fields, map(_plain, found), strict=True)))

    @property
    def arrays(self) -> Arrays:
        """All of it by name."""
        return {**self.coordinates, **self.fields}

    @property
    def columns(self) -> Arrays:
        """All of it number by number, (N,) each: u, or u[0], u[1], …"""
        return {name: column for key, array in self.arrays.items() for name, column in _entries(key, array)}

    @property
    def places(self) -> Float[np.ndarray, "n 3"]:
        """Where the points are drawn: time is an axis where there is room for it, and missing axes are zero."""
        axes = list(self.coordinates.values())[:3]
        return np.stack([*axes, *[np.zeros_like(axes[0])] * (3 - len(axes))], axis=1)

    @property
    def drawn(self) -> Arrays:
        """Times, and fields as numbers or vectors; those of two components with a third that is zero, as VTK wants."""
        times = {"t": self.coordinates["t"]} if "t" in self.coordinates else {}
        return {**times, **{name: _vectors(array) for name, array in self.fields.items()}}


def rows_of(asked: Asked, points: Mapping[str, Any], evaluator: Evaluator) -> Float[np.ndarray, "n columns"]:
    """The points that fields are evaluated at, in double precision."""
    tag = asked.points
    return tag.conform(points[tag.tag]) if tag.tag in points else evaluator.executor.coordinates(tag)


def _plain(array: Any) -> np.ndarray:
    """Of a type that all readers have: bfloat16 is none."""
    array = np.asarray(array)
    return array if array.dtype.kind in "biuf" and array.dtype.itemsize != 2 else array.astype(np.float32)


def _vectors(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.uint8) if array.dtype == bool else array
    if array.ndim == 1:
        return array
    rows = array.reshape(len(array), math.prod(array.shape[1:]))
    return np.pad(rows, ((0, 0), (0, 1))) if array.shape[1:] == (2,) else rows


def _entries(name: str, array: np.ndarray) -> list[tuple[str, np.ndarray]]:
    if array.ndim == 1:
        return [(name, array)]
    return [(f"{name}[{','.join(map(str, index))}]", array[:, *index]) for index in np.ndindex(*array.shape[1:])]
