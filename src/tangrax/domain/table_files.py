"""Tables and archives of measurements: columns of numbers under their names."""

import csv
import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TextIO
from zipfile import ZipFile, ZipInfo

import numpy as np
from jaxtyping import Float

HOW = (
    "A table begins with a line of names, such as x,y,u, and holds numbers below, separated by commas, semicolons, "
    "tabs or spaces; an archive (.npz) holds one array of numbers for each name"
)

# How an array begins, and what reads its type and shape; those of version 3 are of fields with names.
HEADERS = {
    np.lib.format.magic(1, 0): np.lib.format.read_array_header_1_0,
    np.lib.format.magic(2, 0): np.lib.format.read_array_header_2_0,
}
Column = Float[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a file by name. One that holds anything but numbers raises where it is asked for, not before."""

    path: str = ""
    columns: Mapping[str, Column | str] = field(default_factory=dict)
    lines: Sequence[int] = ()

    def __getitem__(self, name: str) -> Column:
        """Raises ValueError, with what is wrong, where its column is none of numbers."""
        column = self.columns[name]
        if isinstance(column, str):
            raise ValueError(f"{self.path}: {column}. {HOW}")
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def without(self, names: Sequence[str]) -> "Table":
        """The other columns."""
        return replace(self, columns={name: column for name, column in self.columns.items() if name not in names})

    def place(self, row: int) -> str:
        """Where a row stands: its line as an editor counts them, of an array its index."""
        return f"line {self.lines[row]} of {self.path}" if len(self.lines) else f"row {row}"


def read(path: str | Path) -> Table:
    """The columns of a table whose first line names them, or of a NumPy archive (.npz).

    Nothing in the file is executed. Lines that begin with # are passed over, unless the names stand in one. Raises
    ValueError where lines and names do not go together; what a column holds is looked at when it is asked for.
    """
    path = Path(path)
    try:
        return _archive(path) if path.suffix == ".npz" else _table(path)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}. {HOW}") from error


def _table(path: Path) -> Table:
    # What is no UTF-8 stands in names and texts: numbers are read all the same.
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        lines = _Lines(file)
        first = next(lines, "")
        rows = csv.reader(chain([first], lines), delimiter=_delimiter(first), skipinitialspace=True, strict=True)
        names = _stripped(next(rows, []))
        if names and all(_number(name) is not None for name in names):
            # NumPy's savetxt writes the names as a comment.
            head = lines.comment.strip().lstrip("#")
            above = _stripped(next(csv.reader([head], delimiter=_delimiter(head), skipinitialspace=True), []))
            if len(above) != len(names) or all(_number(name) is not None for name in above):
                raise ValueError(f"line {lines.number} is the first, and holds numbers and no names")
            names, rows = above, chain([names], rows)
        return _columns(path, names, rows, lines)


def _columns(path: Path, names: list[str], rows: Iterator[list[str]], lines: "_Lines") -> Table:
    """What stands below the names; of each column the first cell that is no number."""
    numbers, wrong, numbered = [array("d") for _ in names], {}, array("q")
    filled = set()
    for row in rows:
        cells = _stripped(row)
        if not any(cells):
            continue
        if any(cells[len(names) :]) and "#" not in "".join(cells[: len(names)]):
            raise ValueError(f"line {lines.number}: {len(names)} names stand above {len(cells)} columns")
        numbered.append(lines.number)
        for index, column in enumerate(numbers):
            cell = cells[index] if index < len(cells) else ""
            value = _number(cell.partition("#")[0])
            column.append(math.nan if value is None else value)
            if cell:
                filled.add(index)
            if value is None and index not in wrong:
                what = f"holds {cell!r} in column '{names[index]}'" if cell else f"has no '{names[index]}'"
                wrong[index] = f"line {lines.number} {what}: a number is wanted there"
    # An index has no name, and after a comma at the end of the lines stands nothing.
    unnamed = {index for index, name in enumerate(names) if not name}
    if len(unnamed) == len(names) or unnamed & filled - {0}:
        raise ValueError(f"its first line names the columns {names}")
    if not numbered:
        raise ValueError(f"no numbers stand below its names, {', '.join(filter(None, names))}")
    columns: dict[str, Column | str] = {}
    for index, name in enumerate(names):
        if name in columns:
            columns[name] = f"{names.count(name)} columns are named '{name}'"
        elif name:
            columns[name] = wrong.get(index) or np.array(numbers[index])
    return Table(str(path), columns, numbered)


class _Lines(Iterator[str]):
    """Lines of a file without blank ones and comments; `number` is that of the last one, from 1."""

    def __init__(self, file: TextIO):
        self._file, self.number, self.comment = file, 0, ""

    def __next__(self) -> str:
        for line in self._file:
            self.number += 1
            if not line.strip():
                continue
            if not line.lstrip().startswith("#"):
                return line
            self.comment = line
        raise StopIteration


def _delimiter(line: str) -> str:
    """What separates the cells of a line: the most frequent of , ; and tab outside of quotes, else spaces."""
    bare = re.sub(r'"[^"]*"', "", line)
    most_frequent = max(",;\t", key=bare.count)
    return most_frequent if most_frequent in bare else " "


def _stripped(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _number(cell: str) -> float | None:
    """A finite number as tables have it; Python would read 1_0 too."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in cell else None


def _archive(path: Path) -> Table:
    with path.open("rb") as file:
        try:
            with ZipFile(file) as archive:
                return Table(str(path), {_called(entry): _entry(archive, entry) for entry in archive.infolist()})
        except Exception as error:  # zipfile and NumPy raise ten kinds of errors for damaged files
            raise ValueError(f"it is no NumPy archive, or is damaged ({type(error).__name__}: {error})") from error


def _called(entry: ZipInfo) -> str:
    return entry.filename.removesuffix(".npy")


def _entry(archive: ZipFile, entry: ZipInfo) -> Column | str:
    """An array of an archive, or why its column is none. Raises where it is damaged.

    It is read to its end, where its CRC-32 is compared, and nothing is allocated that its header alone tells of.
    """
    name = _called(entry)
    with archive.open(entry) as file:
        start = file.read(np.lib.format.MAGIC_LEN)
        if start not in HEADERS:
            return f"'{name}' is no array of numbers"
        shape, _, dtype = HEADERS[start](file)
        if dtype.hasobject:
            return f"'{name}': Object arrays are not read, as that would run code"
        if len(shape) != 1 or dtype.kind not in "biuf" or shape[0] == 0:
            return f"'{name}' holds {dtype} of shape {shape}, not one row of numbers"
        content = file.read()
    if len(content) != shape[0] * dtype.itemsize:
        raise ValueError(f"'{name}' holds {len(content)} bytes where it tells of {shape[0]} numbers of {dtype}")
    return np.frombuffer(content, dtype).astype(np.float64)
