"""Measurements beside the points they are of, from arrays and files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..expr import Node, PointSet, checked_name, ops
from .samplers import TimeSpan
from .shapes import ROUNDED, Shape
from .table_files import HOW, Table, read


def rows_and_columns(
    tag: str, points: Any, axes: Sequence[str], where: str, table: Table | None = None
) -> tuple[Any, Table]:
    """Points of an array, or of a file with its other columns; `where` names the domain in errors.

    `table` is the file, if it has been read.
    """
    if not isinstance(points, (str, Path)):
        return points, Table()
    table = read(points) if table is None else table
    missing = [axis for axis in axes if axis not in table]
    if missing:
        raise ValueError(
            f"points('{tag}', {str(points)!r}): no column {', '.join(missing)} among {', '.join(table)}; the "
            f"coordinates of {where} are {', '.join(axes)}. {HOW}"
        )
    counts = {axis: len(table[axis]) for axis in axes}
    if len(set(counts.values())) > 1:
        raise ValueError(f"{table.path}: its columns hold {counts} numbers: all coordinates must have the same number")
    return np.column_stack([table[axis] for axis in axes]), table.without(axes)


def coordinate_fields(points: PointSet) -> tuple[Node, ...]:
    """The coordinates of points as fields, in the order of their axes."""
    return tuple(Node(ops.Coordinate(points, axis)) for axis in range(len(points.axes)))


def measured(points: PointSet, columns: Table, values: Any, name: str | None) -> Node:
    """Numbers at the points, or those of a file's column, as a field."""
    if isinstance(values, str):
        if values not in columns:
            why = f"has {', '.join(columns)}" if columns else "was not read from a file with such columns"
            raise ValueError(f"values('{points.tag}', '{values}'): '{points.tag}' {why}")
        name, values = name or values, columns[values]
    name = "values" if name is None else checked_name(f"values('{points.tag}', …)", name)
    return Node(ops.Measured(points, points.add(name, values)))


def refuse_outside(tag: str, rows: np.ndarray, table: Table, shape: Shape, time: TimeSpan | None, where: str) -> None:
    """Raise where a point lies outside the closed shape, by more than the rounding of a few digits."""
    outside = ~shape.holds(rows[:, :-1])
    if time is not None:
        slack = ROUNDED * (time.end - time.start)
        outside |= (rows[:, -1] < time.start - slack) | (rows[:, -1] > time.end + slack)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        at = ", ".join(f"{value:g}" for value in rows[first][: None if time else -1])
        raise ValueError(
            f"points('{tag}'): {outside.sum()} of {len(rows)} points lie outside {where}, the first in "
            f"{table.place(first)}, ({at}): leave them out, or check units and the order of columns"
        )
