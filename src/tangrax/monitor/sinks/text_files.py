"""Values of a run in files: a JSON object a line, or a table."""

import csv as tables
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint.atomic_files import atomic_write, other_kind
from ...expr import column_name
from ...parallel import settings
from .sink import Sink, Writer


class _Lines(Writer):
    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def write(self, row):
        # JSON knows no numbers that are not finite.
        plain = {name: _listed(np.asarray(value)) for name, value in row.items()}
        self._file.write(json.dumps(plain, allow_nan=False) + "\n")
        self._file.flush()

    def close(self):
        self._file.close()


class _Table(Writer):
    """A name that comes later, such as that of points once they have moved, is a column more."""

    def __init__(self, path: Path):
        self._path, self._columns, self._own = path, list[str](), False
        if path.exists() and path.stat().st_size:
            with path.open(newline="", encoding="utf-8") as file:
                self._columns = next(tables.reader(file))
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("a", newline="", encoding="utf-8")
        self._writer = tables.writer(self._file)

    def write(self, row):
        flat = {
            column_name(name): number for key, value in row.items() for name, number in _entries(key, np.asarray(value))
        }
        new = [name for name in flat if name not in self._columns]
        if new:
            absent = [name for name in self._columns if name not in flat]
            if absent and not self._own:
                raise ValueError(
                    f"it is of another run, with {', '.join(absent)}, and has no column for {', '.join(new)}: give "
                    f"this run a table of its own"
                )
            self._widen(new)
        self._own = True
        self._writer.writerow([flat.get(name, "") for name in self._columns])
        self._file.flush()

    def _widen(self, new: list[str]) -> None:
        """More columns, empty in the lines that are there."""
        self._file.close()
        self._columns += new
        with self._path.open(newline="", encoding="utf-8") as old:
            lines = [[*line, *[""] * (len(self._columns) - len(line))] for line in list(tables.reader(old))[1:]]
        text = io.StringIO(newline="")
        tables.writer(text).writerows([self._columns, *lines])
        with atomic_write(self._path) as file:
            file.write(text.getvalue().encode())
        self._open()

    def close(self):
        self._file.close()


def json_lines(path: str | Path) -> Sink:
    """One JSON object a line, some two a second: epoch, epochs per second, newest values; arrays as lists.

    A run that was killed goes on some epochs earlier: the last line of an epoch counts. Numbers that are not finite are
    null.

    Args:
        path: of the file; lines are appended to what it holds.

    Raises:
        ValueError: another kind of file, such as a directory, is there.
    """
    _refuse_another_kind(path)
    return Sink(f"the file {path}", lambda: _Lines(Path(path)))


def csv(path: str | Path) -> Sink:
    """A table with the values of `json_lines`, whose first line names the columns.

    Arrays have a column for each entry, `name[0,1]`. What is recorded for the first time later on, such as
    `resample/interior`, is a column at the end.

    Args:
        path: of the file; lines are appended to what it holds.

    Raises:
        ValueError: another kind of file, such as a directory, is there.
    """
    _refuse_another_kind(path)
    return Sink(f"the table {path}", lambda: _Table(Path(path)))


def _refuse_another_kind(path: str | Path) -> None:
    kind = other_kind(Path(path))
    if kind and settings().writes:
        raise ValueError(f"tx.sinks: {path} is {kind}: give the name of a file. Nothing was trained")


def _listed(value: np.ndarray) -> Any:
    if value.ndim:
        return [_listed(np.asarray(row)) for row in value]
    number = value.item()
    return number if np.isfinite(number) else None


def _entries(name: str, value: np.ndarray) -> list[tuple[str, Any]]:
    if not value.ndim:
        return [(name, value.item())]
    return [(f"{name}[{','.join(map(str, index))}]", number.item()) for index, number in np.ndenumerate(value)]
