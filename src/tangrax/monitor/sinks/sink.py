"""The base of all sinks: queue, thread, and messages where a sink is slow or fails.

A sink is a listener of `solver.solve(…, listeners=[…])`. It writes in a thread of its own: one that is slow or fails
logs that once, and training goes on without waiting. Among several processes the first writes.
"""

import abc
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ...parallel import settings
from ...solve import Run, Stretch

logger = logging.getLogger(__name__)

ROOM = 1000  # rows that may wait to be written
PATIENCE = 5.0  # seconds that the end of a run waits for rows to be written

Row = Mapping[str, Any]


class Sink:
    """Rows for the writer that `open_writer` opens, in a thread: epoch, epochs per second, the newest of each name.

    Args:
        name: in warnings.
        open_writer: called in the thread, before the first row.
    """

    def __init__(self, name: str, open_writer: Callable[[], "Writer"]):
        self._name, self.open_writer = name, open_writer
        self._rows: queue.Queue[Row | None] = queue.Queue(ROOM)
        self._thread: threading.Thread | None = None
        self._messages: set[str] = set()

    def on_start(self, run: Run) -> None:
        """Starts the thread, on the process that writes.

        Args:
            run: the call of `solve` that begins.
        """
        if settings().writes:
            self._rows = queue.Queue(ROOM)
            self._thread = threading.Thread(target=self._work, args=(self._rows,), name=self._name, daemon=True)
            self._thread.start()

    def on_stretch(self, stretch: Stretch) -> None:
        """Queues a row; if the queue is full, warns and leaves it out.

        Args:
            stretch: the epochs that have just ended.
        """
        if self._thread is None or not stretch.epoch:  # training that went back to its start has come to no epoch
            return
        try:
            self._rows.put_nowait({"epoch": stretch.epoch - 1, "epochs per second": stretch.speed, **stretch.newest})
        except queue.Full:
            self._warn(f"is {ROOM} rows behind: some are left out")

    def on_end(self) -> None:
        """Waits some seconds until all rows are written."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        try:
            self._rows.put(None, timeout=PATIENCE)
            thread.join(PATIENCE)
        except queue.Full:
            pass
        if thread.is_alive():
            self._warn(f"had not written all of its rows {PATIENCE:g} s after the end: it is left to itself")

    def _work(self, rows: "queue.Queue[Row | None]") -> None:
        """Write rows until the end. After a failure, drop them."""
        writer: Writer | None = None
        failed = False
        while (row := rows.get()) is not None:
            try:
                if not failed:
                    writer = writer or self.open_writer()
                    writer.write(row)
            except Exception as error:
                failed = True
                self._warn(f"failed: {type(error).__name__}: {error}. Training goes on without it")
        if writer is not None:
            try:
                writer.close()
            except Exception as error:
                if not failed:
                    self._warn(f"was not closed as it should be: {type(error).__name__}: {error}")

    def _warn(self, message: str) -> None:
        if message not in self._messages:
            self._messages.add(message)
            logger.warning(f"{self._name} {message}")


class Writer(abc.ABC):
    """Takes one row after the other, in one thread."""

    @abc.abstractmethod
    def write(self, row: Row) -> None:
        """Writes a row.

        Args:
            row: the epoch, epochs per second, and the newest values by name, numbers and arrays.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Writes what is left and closes files and connections."""
