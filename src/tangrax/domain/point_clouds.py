"""Point clouds: points and normals of the user, without a shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..expr import Node, PointSet, checked_array, conform
from .measurements import coordinate_fields, measured, rows_and_columns
from .table_files import Table, read

AXES = ("x", "y", "z")


class Cloud:
    """Points of the user by tag, without a shape: no resampling, no held-out points, no integrals."""

    def __init__(self, sets: Mapping[str, PointSet], columns: Mapping[str, Table], normals: Mapping[str, Any]):
        self._sets, self._columns = dict(sets), dict(columns)
        self._normals = {tag: self._fields(tag, source) for tag, source in normals.items()}

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._sets)

    def point_set(self, tag: str) -> PointSet:
        """The points of a tag: `coordinates` (N, d + 1), time last, and their number `len()`.

        Args:
            tag: one of `tags`.

        Raises:
            ValueError: there is no such tag.
        """
        if tag not in self._sets:
            raise ValueError(f"unknown tag '{tag}': {self} has {', '.join(self.tags)}")
        return self._sets[tag]

    def variable(self, tag: str) -> tuple[Node, ...]:
        """The coordinates of a tag's points as fields.

        Args:
            tag: one of `tags`.

        Returns:
            Space axes, then time, which is zero in a steady problem.

        Raises:
            ValueError: there is no such tag.
        """
        return coordinate_fields(self.point_set(tag))

    def normal(self, tag: str) -> tuple[Node, ...]:
        """Components of the unit normals of a tag, as fields.

        Args:
            tag: one with normals, of `tx.domain.cloud(normals=…)` or of its file.

        Returns:
            d fields of one number per point.

        Raises:
            ValueError: the tag has no normals.
        """
        points = self.point_set(tag)
        if tag not in self._normals:
            have = ", ".join(self._normals) or "none of its tags"
            raise ValueError(f"normal('{points.tag}'): {self} has normals for {have}; give tx.domain.cloud(normals=…)")
        return self._normals[tag]

    def values(self, tag: str, values: Any, name: str | None = None) -> Node:
        """Numbers at the points of a tag, as a field that is defined at these points only.

        Args:
            tag: one of `tags`.
            values: (N,), in the order of the tag's points; or the name of a column of the tag's file.
            name: of the field.

        Raises:
            ValueError: values are not finite, of another number, or there is no such column.
        """
        return measured(self.point_set(tag), self._columns[tag], values, name)

    def __str__(self) -> str:
        return "a cloud of " + ", ".join(f"{len(points)} points '{tag}'" for tag, points in self._sets.items())

    __repr__ = __str__

    def _fields(self, tag: str, source: Any) -> tuple[Node, ...]:
        points = self.point_set(tag)
        space = points.axes[:-1]
        rows = checked_array(f"cloud(normals={{'{tag}': …}})", source, np.float64)
        if rows.shape != (len(points), len(space)):
            raise ValueError(
                f"cloud(normals={{'{tag}': …}}): shape {rows.shape}; give {(len(points), len(space))}, a row for each "
                f"point with the components along {', '.join(space)}"
            )
        lengths = np.linalg.norm(rows, axis=1)
        wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
        if len(wrong):
            raise ValueError(f"cloud(normals={{'{tag}': …}}): row {wrong[0]} is {rows[wrong[0]]}: it has no direction")
        units = rows / lengths[:, None]
        return tuple(measured(points, Table(), units[:, i], f"n{axis}") for i, axis in enumerate(space))


def cloud(points: Mapping[str, Any], normals: Mapping[str, Any] | None = None, *, over_time: bool = False) -> Cloud:
    """A point cloud, such as that of a scan.

    Args:
        points: by tag, an array (N, d) with d from 1 to 3, or (N, d + 1) with time last if `over_time`; or the path of
            a table or archive with columns x, y, z (and t).
        normals: by tag, arrays (N, d), which are normalised; by default a file's columns nx, ny, nz.
        over_time: whether points have a time.

    Raises:
        ValueError: there are no points, tags differ in dimension, or a normal has another shape or no direction.
    """
    if not points:
        raise ValueError("cloud({}): give points for one tag or more, such as {'interior': array}")
    tail = ("t",) if over_time else ()
    files = {tag: read(source) for tag, source in points.items() if isinstance(source, (str, Path))}
    counts = {tag: _dimension(tag, source, files.get(tag), len(tail)) for tag, source in points.items()}
    first, dimension = next(iter(counts.items()))
    for tag, count in counts.items():
        if count != dimension or not 1 <= count <= len(AXES):
            raise ValueError(
                f"cloud: '{tag}' has {count} space axes and '{first}' {dimension}: all tags must have as many, 1 to 3"
                + (", and a last column for time" if over_time else "")
            )
    space = AXES[:dimension]
    given_rows, columns, given_normals = {}, {}, {}
    for tag, source in points.items():
        rows, columns[tag] = rows_and_columns(tag, source, (*space, *tail), "the cloud", files.get(tag))
        given_rows[tag] = conform(rows, tag, (*space, "t"), not over_time)
        if tag not in (normals or {}) and all(f"n{axis}" in columns[tag] for axis in space):
            given_normals[tag] = np.column_stack([columns[tag][f"n{axis}"] for axis in space])
    spans = np.ptp(np.concatenate(list(given_rows.values())), axis=0).tolist()
    sets = {
        tag: PointSet(tag, rows, (*space, "t"), not over_time, "cloud", spans=spans) for tag, rows in given_rows.items()
    }
    return Cloud(sets, columns, {**given_normals, **(normals or {})})


def _dimension(tag: str, source: Any, columns: Table | None, times: int) -> int:
    """How many space axes points have, of a file by its columns; `times` columns of an array are not of space."""
    if columns is not None:
        return sum(axis in columns for axis in AXES)
    shape = np.shape(source)
    if len(shape) not in (1, 2):
        raise ValueError(f"cloud: '{tag}' has shape {shape}: give a row for each point")
    return (1 if len(shape) == 1 else shape[1]) - times
