"""Values of fields beside the points they are at."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..checkpoint.archive import Arrays
from ..jacobian import RESULT_LIMIT, Evaluator, evaluate
from .arguments import ExportedFields


@dataclass(frozen=True)
class Values:
    """Coordinates by the name of their axis, (N,), and fields by name, (N, …), in the points' order."""

    coordinates: Arrays
    fields: Arrays

    @classmethod
    def of(cls, exported: ExportedFields, points: Mapping[str, Any], evaluator: Evaluator) -> "Values":
        """Return fields now, at the points of their tag or new ones; all processes call it alike."""
        rows = rows_of(exported, points, evaluator)
        values = evaluate(evaluator, list(exported.fields.values()), points, False, RESULT_LIMIT)
        coordinates = {axis: rows[:, column] for column, axis in enumerate(exported.axes)}
        return cls(coordinates, dict(zip(exported.fields, map(_plain, values), strict=True)))

    @property
    def arrays(self) -> Arrays:
        """Coordinates and fields by name."""
        return {**self.coordinates, **self.fields}

    @property
    def columns(self) -> Arrays:
        """The same component by component, (N,) each: u, or u[0], u[1], …"""
        return {name: column for key, array in self.arrays.items() for name, column in _entries(key, array)}

    @property
    def places(self) -> Float[np.ndarray, "n 3"]:
        """Points in three dimensions: time is an axis where there is room for it, and missing axes are zero."""
        axes = list(self.coordinates.values())[:3]
        return np.stack([*axes, *[np.zeros_like(axes[0])] * (3 - len(axes))], axis=1)

    @property
    def point_data(self) -> Arrays:
        """Times, and fields as numbers or vectors; those of two components with a third that is zero, as VTK wants."""
        times = {"t": self.coordinates["t"]} if "t" in self.coordinates else {}
        return {**times, **{name: _vectors(array) for name, array in self.fields.items()}}


def rows_of(
    exported: ExportedFields, points: Mapping[str, Any], evaluator: Evaluator
) -> Float[np.ndarray, "n columns"]:
    """Return the points that fields are evaluated at, in double precision."""
    tag = exported.points
    return tag.conform(points[tag.tag]) if tag.tag in points else evaluator.executor.coordinates(tag)


def _plain(array: Any) -> np.ndarray:
    """Cast to a type that all readers have: bfloat16 is none."""
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
