"""`tx.sinks`: values of a run as they come, for files and services.

A sink is a listener of `solver.solve(…, listeners=[…])`. It writes in a thread of its own: one that is slow or fails
says so once, and training goes on without waiting. Among several processes the first writes.
"""

import abc
import csv as tables
import json
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..parallel import settings
from ..solve import Run, Stretch
from .directory import tell

ROOM = 1000  # rows that may wait to be written
PATIENCE = 5.0  # seconds that the end of a run waits for rows to be written

Row = Mapping[str, Any]


class Sink:
    """Rows for the writer that `opened()` gives, in a thread: epoch, epochs per second, newest value of each name."""

    def __init__(self, name: str, opened: Callable[[], "Writer"]):
        self._name, self._opened = name, opened
        self._rows: queue.Queue[Row | None] = queue.Queue(ROOM)
        self._thread: threading.Thread | None = None
        self._said: set[str] = set()

    def on_start(self, run: Run) -> None:
        if settings().writes:
            self._rows = queue.Queue(ROOM)
            self._thread = threading.Thread(target=self._work, args=(self._rows,), name=self._name, daemon=True)
            self._thread.start()

    def on_stretch(self, stretch: Stretch) -> None:
        if self._thread is None:
            return
        try:
            self._rows.put_nowait({"epoch": stretch.epoch - 1, "epochs per second": stretch.speed, **stretch.newest})
        except queue.Full:
            self._say(f"is {ROOM} rows behind: some are left out")

    def on_end(self) -> None:
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        try:
            self._rows.put(None, timeout=PATIENCE)
            thread.join(PATIENCE)
        except queue.Full:
            pass
        if thread.is_alive():
            self._say(f"had not written all of its rows {PATIENCE:g} s after the end: it is left to itself")

    def _work(self, rows: "queue.Queue[Row | None]") -> None:
        """Until the end is said. After a failure rows are taken and thrown away."""
        writer: Writer | None = None
        failed = False
        while (row := rows.get()) is not None:
            try:
                if not failed:
                    writer = writer or self._opened()
                    writer.write(row)
            except Exception as error:
                failed = True
                self._say(f"failed: {type(error).__name__}: {error}. Training goes on without it")
        if writer is not None:
            writer.close()

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            tell(f"{self._name} {what}")


class Writer(abc.ABC):
    """What takes one row after the other, in one thread."""

    @abc.abstractmethod
    def write(self, row: Row) -> None: ...

    @abc.abstractmethod
    def close(self) -> None: ...


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
