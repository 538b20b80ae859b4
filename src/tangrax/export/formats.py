"""Arrays in the formats that other programs read."""

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import IO, Any
from xml.sax.saxutils import escape

import numpy as np
from jaxtyping import Float

from ..checkpoint.archive import Arrays
from ..expr import checked_array, column_name

AT_ONCE = 100_000  # rows of a table that are made text together
CORNERS = {"vertex": 1, "line": 2, "triangle": 3, "quad": 4, "tetra": 4, "hexahedron": 8}  # of cells, by meshio's names


def library(name: str, extra: str) -> Any:
    """Import a library that an extra brings."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"solver.export needs {name} for this file: pip install 'tangrax[{extra}]'") from error


def write_npz(file: IO[bytes], arrays: Arrays) -> None:
    """Write an archive of arrays by name. Any name will do; `np.savez` would take some for its own arguments."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)  # pyright: ignore[reportArgumentType]


def write_csv(file: IO[bytes], columns: Arrays) -> None:
    """Write a table whose first line names its columns; numbers have all of their digits."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(map(column_name, columns))
    count = len(next(iter(columns.values())))
    for start in range(0, count, AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        table.writerows(zip(*[shortest_numbers(column[rows]) for column in columns.values()], strict=True))
    text.detach()  # flushed, and left open


def shortest_numbers(column: np.ndarray) -> list[Any]:
    """Return numbers that print in the fewest digits that identify them; True as 1, for readers of numbers alone."""
    if column.dtype == np.float32:
        return [str(number) for number in column]
    return (column.astype(int) if column.dtype == bool else column).tolist()


def write_vtk(
    file: IO[bytes], kind: str, places: Float[np.ndarray, "n 3"], fields: Arrays, cells: Mapping[str, Any] | None
) -> None:
    """Write points with values, and the cells between them: vertices unless others are given."""
    meshio = library("meshio", "vtk")
    blocks = {
        name: np.asarray(corners) for name, corners in (cells or {"vertex": np.arange(len(places))[:, None]}).items()
    }
    if kind == "vtu":  # XML, in which meshio writes names as they are
        fields = {escape(name, {'"': "&quot;"}): array for name, array in fields.items()}
    # meshio writes .vtu files by their names alone.
    meshio.Mesh(places, blocks, point_data=fields).write(file.name, file_format=kind)


def check_vtk(names: Iterable[str], cells: Any, count: int) -> None:
    """Raise where a VTK file of so many points cannot have such names or cells."""
    library("meshio", "vtk")
    for name in names:
        if any(map(str.isspace, name)):
            raise ValueError(f"export: '{name}' has a space, which names in VTK files cannot have: say '_'")
    if cells is None:
        return
    if not isinstance(cells, Mapping) or not cells:
        raise TypeError(f"export(cells={cells!r}): give a dict such as {{'triangle': array}}, numbers of points")
    for kind, corners in cells.items():
        if kind not in CORNERS:
            raise ValueError(f"export(cells=…): no cells are called {kind!r}, choose from {', '.join(CORNERS)}")
        array = checked_array(f"export(cells=…): '{kind}'", corners)
        if array.ndim != 2 or array.shape[1] != CORNERS[kind] or len(array) == 0 or array.dtype.kind not in "iu":
            raise ValueError(
                f"export(cells=…): '{kind}' has shape {array.shape} of {array.dtype}: give whole numbers, a row for "
                f"each cell, {CORNERS[kind]} columns that tell its corners among the points"
            )
        if not 0 <= array.min() <= array.max() < count:
            raise ValueError(
                f"export(cells=…): '{kind}' has corners from {array.min()} to {array.max()}, and points are numbered "
                f"from 0 to {count - 1}"
            )
