"""Measurements from arrays and files: columns of numbers under their names, beside the points they are of."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..expr import Node, PointSet, ops, real

Columns = dict[str, Float[np.ndarray, " _"]]


def rows_and_columns(
    tag: str, points: Any, axes: Sequence[str], where: str, columns: Columns | None = None
) -> tuple[Any, Columns]:
    """Points as they were given, or those of a file, with its other columns; `where` tells whose axes they are.

    `columns` are those of the file, if it has been read.
    """
    if not isinstance(points, (str, Path)):
        return points, {}
    columns = read(points) if columns is None else columns
    missing = [axis for axis in axes if axis not in columns]
    if missing:
        raise ValueError(
            f"points('{tag}', {str(points)!r}): no column {', '.join(missing)} among {', '.join(columns)}; the "
            f"coordinates of {where} are {', '.join(axes)}"
        )
    rest = {name: column for name, column in columns.items() if name not in axes}
    return np.column_stack([columns[axis] for axis in axes]), rest


def coordinate_fields(points: PointSet) -> tuple[Node, ...]:
    """The coordinates of points as fields, in the order of their axes."""
    return tuple(Node(ops.Coordinate(points, axis)) for axis in range(len(points.axes)))


def measured(points: PointSet, columns: Columns, values: Any, name: str | None) -> Node:
    """Numbers at the points, or those of a file's column, as a field."""
    if isinstance(values, str):
        if values not in columns:
            there = f"has {', '.join(columns)}" if columns else "was not read from a file with such columns"
            raise ValueError(f"values('{points.tag}', '{values}'): '{points.tag}' {there}")
        name, values = name or values, columns[values]
    return Node(ops.Measured(points, points.add(name or "values", values)))


def read(path: str | Path) -> Columns:
    """The columns of a file of comma-separated values whose first line names them, or of a NumPy archive (.npz).

    Nothing in the file is executed. Raises ValueError where it holds anything but numbers.
    """
    path = Path(path)
    try:
        columns = _archive(path) if path.suffix == ".npz" else _table(path)
    except (TypeError, ValueError, csv.Error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: {error}. A table begins with a line of names, such as x,y,u, and holds numbers below, separated "
            f"by commas; an archive (.npz) holds one array of numbers for each name"
        ) from error
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(f"{path}: its columns hold {counts} numbers: all must have the same number, at least one")
    return columns


def _table(path: Path) -> Columns:
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = [name.strip() for name in next(csv.reader(file), [])]
        if len(set(names)) != len(names) or "" in names:
            raise ValueError(f"its first line names the columns {names}")
        rows = np.loadtxt(file, delimiter=",", ndmin=2)
    if rows.shape[1] != len(names):
        raise ValueError(f"{len(names)} names stand above {rows.shape[1]} columns")
    return {name: rows[:, index] for index, name in enumerate(names)}


def _archive(path: Path) -> Columns:
    with np.load(path, allow_pickle=False) as held:
        columns = {name: real(f"column '{name}'", held[name]) for name in held.files}
    for name, column in columns.items():
        if column.ndim != 1:
            raise ValueError(f"'{name}' has shape {column.shape}, not one row of numbers")
    return columns
