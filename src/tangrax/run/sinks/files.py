"""Values of a run in files: a JSON object a line, or a table."""

import csv as tables
import json
from pathlib import Path
from typing import Any

import numpy as np

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
    def __init__(self, path: Path):
        self._columns: list[str] = []
        if path.exists() and path.stat().st_size:
            with path.open(newline="", encoding="utf-8") as file:
                self._columns = next(tables.reader(file))
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = tables.writer(self._file)

    def write(self, row):
        flat = {name: number for key, value in row.items() for name, number in _entries(key, np.asarray(value))}
        if not self._columns:
            self._columns = list(flat)
            self._writer.writerow(self._columns)
        new = [name for name in flat if name not in self._columns]
        if new:
            raise ValueError(f"it has no column for {', '.join(new)}: give this run a table of its own")
        self._writer.writerow([flat.get(name, "") for name in self._columns])
        self._file.flush()

    def close(self):
        self._file.close()


def json_lines(path: str | Path) -> Sink:
    """One JSON object a line, some two a second: epoch, epochs per second, newest values; arrays as lists.

    Lines are put at the end of the file. A run that was killed goes on some epochs earlier: the last line of an epoch
    counts. Numbers that are not finite are null.
    """
    return Sink(f"the file {path}", lambda: _Lines(Path(path)))


def csv(path: str | Path) -> Sink:
    """The same as a table whose first line names the columns; arrays have a column for each entry, `name[0,1]`."""
    return Sink(f"the table {path}", lambda: _Table(Path(path)))


def _listed(value: np.ndarray) -> Any:
    if value.ndim:
        return [_listed(np.asarray(each)) for each in value]
    number = value.item()
    return number if np.isfinite(number) else None


def _entries(name: str, value: np.ndarray) -> list[tuple[str, Any]]:
    if not value.ndim:
        return [(name, value.item())]
    return [(f"{name}[{','.join(map(str, index))}]", number.item()) for index, number in np.ndenumerate(value)]
