"""Checkpoints of a run while it is trained, written beside it, and the newest one to go on from."""

import contextlib
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..parallel import Transport
from ..processes import job_end
from ..solve import History, Loop, State, Timing
from .archive import Arrays, Damaged, decoded, encoded
from .identity import Identity
from .run_directory import RunDirectory
from .snapshot import Snapshot
from .solver_file import add_points
from .state_arrays import to_arrays

logger = logging.getLogger(__name__)

AUTO, NEVER = "auto", "never"
MARGIN = 60.0  # seconds before the end of a Slurm job at which training stops,
STOP_BEFORE = "TANGRAX_STOP_BEFORE"  # or those of this variable


class CheckpointWriter:
    """A `Checkpointer`: all processes gather sharded state, process 0 writes it, in a thread of its own.

    It writes every `interval` epochs and where training ends; `keep` of the checkpoints between stay. A checkpoint of
    another `identity` is refused. `view` gives what a report shows of the solution now, and is called by all processes.
    """

    def __init__(
        self,
        path: str | Path,
        identity: Identity,
        transport: Transport,
        view: Callable[[], tuple[dict[str, Any], Arrays]],
        *,
        interval: int,
        keep: int,
        resume: str,
    ):
        if resume not in (AUTO, NEVER):
            raise ValueError(
                f"solve(resume={resume!r}): 'auto' goes on from the newest checkpoint, 'never' refuses any"
            )
        self.interval, self._keep, self._resume = interval, whole_number("keep", keep), resume
        self._directory = RunDirectory(Path(path))
        self._identity, self._transport, self._view = identity, transport, view
        self._executor = ThreadPoolExecutor(1, "tangrax-checkpoints") if transport.writes else None
        self._pending: Future[None] | None = None
        self._deadline = _deadline(os.environ)
        self._loop: Loop | None = None
        self._history = History()
        self._end = 0  # the epoch that this call of `solve` trains to
        self._newest = 0  # the newest epoch on disk, or on its way there
        self._recorded = 0  # the history before this epoch is on disk
        self._timed = Timing()  # what training had taken when the newest was written
        self._start: dict[str, Any] = {}
        self._changes: list[str] = []  # what differs from the checkpoint that is gone on from

    # Called by the solver

    @contextlib.contextmanager
    def opened(self, start: Mapping[str, Any]) -> Iterator[None]:
        """Within, the directory is this run's. Raises alike on every process.

        `start` tells of this start of the run: `describe` writes it.
        """
        self._start = dict(start)

        def first() -> None:
            self._directory.open()
            try:
                epochs = self._directory.epochs()
                # A call of `solve` before this one may have left its own.
                if self._resume == NEVER and epochs and epochs[-1] > start["epochs"][0]:
                    raise ValueError(
                        f"run_dir={str(self._directory.path)!r} holds checkpoints of a run up to epoch {epochs[-1]}: "
                        f"give another directory, or resume='auto' to go on from them"
                    )
            except BaseException:
                self._directory.close()
                raise

        self._transport.first_writes("the run directory", first)
        try:
            yield
        finally:
            self._close()

    def describe(self) -> None:
        """Write what the run is, and log what is new in it, once nothing has been refused."""
        about = {**self._identity.words, "problem": self._identity.problem}

        def first() -> None:
            self._directory.describe(about, self._start)
            for change in self._changes:
                logger.info(change)

        self._transport.first_writes("what the run is", first)

    def newest(self, start: int, end: int) -> Snapshot | None:
        """The newest checkpoint after `start` and up to `end` that can be read, on every process.

        Raises ValueError where it is of another problem, or where there are some and none can be read.
        """

        def read() -> list[np.ndarray]:
            checkpoint = self._readable(start, end)
            if checkpoint is None:
                return []
            about, arrays = checkpoint
            if about["epoch"] < end:
                logger.info(f"going on from epoch {about['epoch']}, as {self._directory.path} has it")
            else:
                logger.info(f"epoch {end} is reached, as {self._directory.path} has it: nothing is left to train")
            series = self._directory.history(about["epoch"], self._identity.digests)
            about = {**about, "arrays": list(arrays), "series": list(series)}
            return [encoded(about), *arrays.values(), *(array for pair in series.values() for array in pair)]

        shared = self._transport.first_reads("the checkpoint", read)
        if not shared:
            return None
        about = decoded(shared[0])
        names = about["arrays"]
        rest = shared[1 + len(names) :]
        history = {name: (rest[2 * i], rest[2 * i + 1]) for i, name in enumerate(about["series"])}
        return Snapshot(self._directory.path, about, dict(zip(names, shared[1:], strict=False)), history)

    def show(self, epoch: int) -> None:
        """Write the view of an epoch that was trained before; on all processes."""
        facts, arrays = self._view()

        def write() -> None:
            # Of a script of several calls of `solve`, a later one may have shown more.
            if max(self._directory.epochs(), default=0) <= epoch:
                self._directory.write_shown({**facts, "epoch": epoch}, arrays)

        self._transport.first_writes("what is shown", write)

    # Called by the loop

    def on_start(self, loop: Loop, history: History, epoch: int, end: int) -> None:
        def first() -> None:
            self._recorded = self._directory.begin(epoch, end)

        self._transport.first_writes("the run directory", first)
        self._loop, self._history, self._end = loop, history, end
        self._newest, self._timed = epoch, replace(loop.timing)

    def on_stretch(self, state: State, last: State, epoch: int) -> None:
        if epoch % self.interval == 0 or epoch == self._end:
            self._write(state, last, epoch)

    def on_rollback(self, epoch: int) -> None:
        def first() -> None:
            self._settle()
            self._recorded = min(self._recorded, self._directory.forget(epoch))

        self._transport.first_writes("the run directory", first)
        self._newest = min(self._newest, epoch)

    def on_stop(self, state: State, last: State, epoch: int) -> str:
        """Write, and wait until that is on disk; raises OSError on every process if it is not."""
        self._write(state, last, epoch)
        self._transport.first_writes("the last checkpoint", self._await_pending)
        return f", written to {self._directory.path}: the same command goes on from there"

    def due_signal(self) -> int:
        """SIGUSR1 where Slurm ends the job soon, else 0."""
        return int(signal.SIGUSR1) if time.time() > self._deadline else 0

    # Inside

    def _readable(self, start: int, end: int) -> tuple[dict[str, Any], Arrays] | None:
        """The newest checkpoint that is undamaged and of this identity."""
        on_disk = self._directory.epochs()
        if not self._directory.ended(end) and any(epoch > end for epoch in on_disk):
            raise ValueError(
                f"run_dir={str(self._directory.path)!r} holds checkpoints up to epoch {on_disk[-1]}, and this call "
                f"would end at {end}: give it more epochs, or another directory. Nothing was trained"
            )
        epochs = [epoch for epoch in on_disk if start < epoch <= end]
        for epoch in reversed(epochs):
            try:
                about, arrays = self._directory.read(epoch)
            except Damaged as error:
                logger.warning(f"{error}; looking for the one before")
                continue
            self._identity.check(about, epoch, self._directory.path, self._directory.about().get("terms"))
            self._changes = list(self._identity.changes(about, epoch))
            return about, arrays
        if epochs:
            raise ValueError(
                f"run_dir={str(self._directory.path)!r}: none of its checkpoints ({', '.join(map(str, epochs))}) can "
                f"be read. Move them away to begin anew. Nothing was trained"
            )
        return None

    def _write(self, state: State, last: State, epoch: int) -> None:
        """Gather all of it now, on all processes, and write it from the first, once the one before is written."""
        if epoch <= self._newest:
            return  # back to the last finite state: what is on disk leads there again
        assert self._loop is not None
        self._newest = epoch
        leaves: dict[str, Any] = {}
        arrays: Arrays = {}
        for name, tree in {"state": state, "last": last}.items():
            facts, values = to_arrays(tree, self._loop, name)
            leaves.update(facts)
            arrays.update(values)
        facts, pictures = self._view()
        if self._executor is None:
            return
        self._settle()
        about = {**self._identity.about(), "leaves": leaves}
        add_points(self._loop.resampler.saved(), about, arrays)
        series, speed = self._history.between(self._recorded, epoch), self._speed(self._loop.timing)
        digests = self._identity.digests
        names = [name for tracker in self._loop.problem.trackers for name in tracker.names]
        owners = {name: name if name in digests else name.rpartition("/")[0] for name in names}
        watched = {name: [owner, digests[owner]] for name, owner in owners.items()}

        def write() -> None:
            if series:
                self._directory.write_history(epoch, series, {**speed, "watched": watched})
                self._recorded = epoch
            self._directory.write_shown({**facts, "epoch": epoch}, pictures)
            self._directory.write(epoch, about, arrays, end=epoch == self._end)
            self._directory.prune(self._keep)

        self._pending = self._executor.submit(write)

    def _speed(self, timing: Timing) -> dict[str, Any]:
        """When it is now, and how fast training has been since the checkpoint before, if that was not compiling."""
        epochs, seconds = timing.epochs - self._timed.epochs, timing.seconds - self._timed.seconds
        compiled = self._timed.seconds_to_first_step is not None
        self._timed = replace(timing)
        return {"time": time.time(), "epochs_per_second": epochs / seconds if compiled and seconds > 0 else None}

    def _settle(self) -> None:
        """Wait until the checkpoint on its way is on disk; log it if it could not be written."""
        try:
            self._await_pending()
        except OSError as error:
            logger.warning(f"a checkpoint could not be written to {self._directory.path}: {error}. Training goes on")

    def _await_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _close(self) -> None:
        """Wait for what is being written, and leave the directory to others."""
        self._loop = None
        if self._executor is not None:
            self._settle()
            self._executor.shutdown()
        self._directory.close()


def whole_number(name: str, value: object) -> int:
    """An argument of `solve` that counts; ValueError where it does not."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"solve({name}={value!r}): give a whole number, 1 or more")
    return int(value)


def _deadline(environ: Mapping[str, str]) -> float:
    """When training should stop, in seconds since 1970: some time before Slurm ends the job, if it does."""
    end, margin = job_end(environ), environ.get(STOP_BEFORE, str(MARGIN))
    try:
        return math.inf if end is None else end - float(margin)
    except ValueError:
        raise ValueError(f"{STOP_BEFORE}={margin!r}: give a number of seconds. Nothing was trained") from None
