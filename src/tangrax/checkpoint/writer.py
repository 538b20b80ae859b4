"""Checkpoints of a run while it is trained, written beside it, and the newest one to go on from."""

import contextlib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..parallel import Transport
from ..processes import job_end
from ..solve import History, Loop, State, Timing
from .archive import Arrays, Damaged, decoded, encoded
from .optimizer_identity import Optimizer, changed
from .run_directory import RunDirectory, tell
from .solver_file import Moved, points_of, put_points
from .state_arrays import given_back, taken

AUTO, NEVER = "auto", "never"
MARGIN = 60.0  # seconds before the end of a Slurm job at which training stops,
STOP_BEFORE = "TANGRAX_STOP_BEFORE"  # or those of this variable


class Snapshot:
    """A checkpoint as it was read, the same on every process."""

    def __init__(
        self,
        where: Path,
        about: Mapping[str, Any],
        arrays: Arrays,
        history: Mapping[str, tuple[np.ndarray, np.ndarray]],
    ):
        self._where, self._about, self._arrays = where, about, arrays
        self.epoch = int(about["epoch"])
        self.history = dict(history)

    @property
    def points(self) -> Moved:
        return points_of(self._about, self._arrays)

    def state(self, loop: Loop, fresh: State) -> tuple[State, State]:
        """The state and the one an epoch earlier, on the devices of a loop; raises ValueError if they do not fit."""
        facts = self._about["leaves"]
        try:
            state, last = [
                given_back(facts, self._arrays, fresh, loop, name, epoch)
                for name, epoch in (("state", self.epoch), ("last", self.epoch - 1))
            ]
        except ValueError as error:
            raise ValueError(
                f"run_dir={str(self._where)!r}: its checkpoint of epoch {self.epoch} does not fit: {error}. Train as "
                f"it was trained, or give another directory. Nothing was trained"
            ) from None
        return state, last


class Saving:
    """Of all processes of a run: what is sharded is collected by all, and the first one writes.

    `problem` are lines that tell the problem, `optimizers` what trains it; a checkpoint of another problem, or of
    optimizers of another kind, is refused. `trackers` are digests of what these record. Writing goes on in a thread of
    its own, one checkpoint at a time.
    """

    def __init__(
        self,
        path: str | Path,
        keep: int,
        resume: str,
        transport: Transport,
        problem: Sequence[str],
        optimizers: Mapping[str, Optimizer],
        trackers: Mapping[str, str],
    ):
        if resume not in (AUTO, NEVER):
            raise ValueError(
                f"solve(resume={resume!r}): 'auto' goes on from the newest checkpoint, 'never' refuses any"
            )
        self._keep, self._resume = whole_number("keep", keep), resume
        self._directory = RunDirectory(Path(path))
        self._transport, self._problem, self._optimizers = transport, list(problem), optimizers
        self._digests = trackers
        self._writer = ThreadPoolExecutor(1, "tangrax-checkpoints") if transport.writes else None
        self._pending: Future[None] | None = None
        self._deadline = _deadline(os.environ)
        self._saved = 0  # the newest epoch on disk, or on its way there
        self._recorded = 0  # the history before this epoch is on disk
        self._timed = Timing()  # what training had taken when the newest was saved
        self._about: dict[str, Any] = {}
        self._start_of: dict[str, Any] = {}
        self._news: list[str] = []  # what differs from the checkpoint that is gone on from

    @contextlib.contextmanager
    def opened(self, about: Mapping[str, Any], start: Mapping[str, Any]) -> Iterator[None]:
        """Within, the directory is this run's. Raises alike on every process.

        `about` tells what the run is and `start` of this start of it: `describe` writes both.
        """
        self._about, self._start_of = dict(about), dict(start)

        def first() -> None:
            self._directory.open()
            try:
                found = self._directory.epochs()
                # A call of `solve` before this one may have left its own.
                if self._resume == NEVER and found and found[-1] > start["epochs"][0]:
                    raise ValueError(
                        f"run_dir={str(self._directory.path)!r} holds checkpoints of a run up to epoch {found[-1]}: "
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
        """Write what the run is, and say what is new in it, once nothing has been refused."""
        about = {**self._about, "problem": self._problem}

        def first() -> None:
            self._directory.describe(about, self._start_of)
            for line in self._news:
                tell(line)

        self._transport.first_writes("what the run is", first)

    def newest(self, start: int, end: int) -> Snapshot | None:
        """The newest checkpoint after `start` and up to `end` that can be read, on every process.

        Raises ValueError where it is of another problem, or where there are some and none can be read.
        """

        def read() -> list[np.ndarray]:
            found = self._readable(start, end)
            if found is None:
                return []
            about, arrays = found
            if about["epoch"] < end:
                tell(f"going on from epoch {about['epoch']}, as {self._directory.path} has it")
            else:
                tell(f"epoch {end} is reached, as {self._directory.path} has it: nothing is left to train")
            series = self._directory.history(about["epoch"], self._digests)
            said = {**about, "arrays": list(arrays), "series": list(series)}
            return [encoded(said), *arrays.values(), *(each for pair in series.values() for each in pair)]

        shared = self._transport.first_reads("the checkpoint", read)
        if not shared:
            return None
        about = decoded(shared[0])
        names = about["arrays"]
        rest = shared[1 + len(names) :]
        history = {name: (rest[2 * i], rest[2 * i + 1]) for i, name in enumerate(about["series"])}
        return Snapshot(self._directory.path, about, dict(zip(names, shared[1:], strict=False)), history)

    def begin(self, epoch: int, end: int, timing: Timing) -> None:
        """Training goes on from an epoch; to be called before it is."""
        self._transport.first_writes("the run directory", lambda: self._start(epoch, end))
        self._saved, self._timed = epoch, replace(timing)

    def _start(self, epoch: int, end: int) -> None:
        self._recorded = self._directory.begin(epoch, end)

    def _readable(self, start: int, end: int) -> tuple[dict[str, Any], Arrays] | None:
        """The newest checkpoint that is whole and of this problem."""
        all_of_them = self._directory.epochs()
        if not self._directory.ended(end) and any(epoch > end for epoch in all_of_them):
            raise ValueError(
                f"run_dir={str(self._directory.path)!r} holds checkpoints up to epoch {all_of_them[-1]}, and this call "
                f"would end at {end}: give it more epochs, or another directory. Nothing was trained"
            )
        epochs = [epoch for epoch in all_of_them if start < epoch <= end]
        for epoch in reversed(epochs):
            try:
                about, arrays = self._directory.read(epoch)
            except Damaged as error:
                tell(f"{error}; looking for the one before")
                continue
            self._refuse_another(about["problem"], epoch)
            self._refuse_another_kind(about, epoch)
            self._news = list(self._new(about, epoch))
            return about, arrays
        if epochs:
            raise ValueError(
                f"run_dir={str(self._directory.path)!r}: none of its checkpoints ({', '.join(map(str, epochs))}) can "
                f"be read. Move them away to begin anew. Nothing was trained"
            )
        return None

    def _refuse_another(self, saved: Sequence[str], epoch: int) -> None:
        if saved == self._problem:
            return
        pairs = [(a, b) for a, b in zip(saved, self._problem, strict=False) if a != b]
        longer, where = (saved, "there") if len(saved) > len(self._problem) else (self._problem, "here")
        if not pairs:
            pairs = [(f"'{longer[min(len(saved), len(self._problem))]}' {where} alone", "")]
        there, here = pairs[0]
        told = f"'{there}' there, '{here}' here" if here else there
        before, now = self._directory.about().get("terms", {}), self._about["terms"]
        for name in [name for name in now if isinstance(before, dict) and before.get(name, now[name]) != now[name]][:1]:
            told = f"'{name}' is {before[name]} there, {now[name]} here"
        raise ValueError(
            f"run_dir={str(self._directory.path)!r}: its checkpoint of epoch {epoch} is of another problem: {told}. Go "
            f"back to that problem, or give this one a directory of its own. Nothing was trained"
        )

    @property
    def _trackers(self) -> dict[str, list[str]]:
        """In words, and by digest."""
        return {name: [str(each["of"]), self._digests[name]] for name, each in self._about["trackers"].items()}

    def _refuse_another_kind(self, about: Mapping[str, Any], epoch: int) -> None:
        """Raise where something else trained: its state is not what this optimizer would go on from."""
        before = {name: each["kind"] for name, each in about["optimizers"].items()}
        now = {name: each.kind for name, each in self._optimizers.items()}
        if before == now:
            return
        differ = next((name for name in now if before.get(name, now[name]) != now[name]), None)
        if differ is None:
            told = f"of {' and '.join(map(repr, before))} apart there, of {' and '.join(map(repr, now))} here"
        else:
            told = f"of '{differ}', {before[differ]} there, {now[differ]} here"
        raise ValueError(
            f"run_dir={str(self._directory.path)!r}: its checkpoint of epoch {epoch} was trained by other optimizers: "
            f"{told}. Settings (a learning rate, a schedule for it) may change, the kind may not. Go back to that one, "
            f"or take its parameters, solver.save(path) and load(path), and give another directory. Nothing was trained"
        )

    def _new(self, about: Mapping[str, Any], epoch: int) -> Iterator[str]:
        """Settings of optimizers, and trackers, that are not what they were."""
        for group, now in self._optimizers.items():
            before = about["optimizers"][group]["settings"]
            for name in changed(before, now.settings):
                was, here = (each.get(name, "not set") for each in (before, now.settings))
                yield f"optimizer of '{group}': {name} is {here} from epoch {epoch} on, and was {was}"
        watched = about["trackers"]
        for name, (now, of) in self._trackers.items():
            if name not in watched:
                yield f"tracker '{name}' is new: its history begins at epoch {epoch}"
            elif watched[name][1] != of:
                was = watched[name][0]
                told = f"was {was} and is {now} now" if was != now else f"is {now} with other numbers than before"
                yield f"tracker '{name}' {told}: its history begins anew at epoch {epoch}"

    def hurry(self) -> int:
        """SIGUSR1 where Slurm ends the job soon, else 0."""
        return int(signal.SIGUSR1) if time.time() > self._deadline else 0

    def save(
        self,
        epoch: int,
        states: Mapping[str, State],
        loop: Loop,
        history: History,
        points: Moved,
        shown: Callable[[], tuple[dict[str, Any], Arrays]],
        end: bool = False,
    ) -> None:
        """Take all of it now, on all processes, and write it from the first; waits for the one before to be written."""
        if epoch <= self._saved:
            return  # back to the last finite state: what is on disk leads there again
        self._saved = epoch
        facts: dict[str, Any] = {}
        arrays: Arrays = {}
        for name, state in states.items():
            more, values = taken(state, loop, name)
            facts.update(more)
            arrays.update(values)
        view, pictures = shown()
        if self._writer is None:
            return
        self._settle()
        about: dict[str, Any] = {
            "problem": self._problem,
            "optimizers": {name: asdict(each) for name, each in self._optimizers.items()},
            "trackers": self._trackers,
            "leaves": facts,
        }
        put_points(points, about, arrays)
        series, speed = history.between(self._recorded, epoch), self._speed(loop.timing)
        names = [name for each in loop.problem.watched for name in each.names]
        owners = {name: name if name in self._digests else name.rpartition("/")[0] for name in names}
        watched = {name: [owner, self._digests[owner]] for name, owner in owners.items()}

        def write() -> None:
            if series:
                self._directory.write_history(epoch, series, {**speed, "watched": watched})
                self._recorded = epoch
            self._directory.write_shown({**view, "epoch": epoch}, pictures)
            self._directory.write(epoch, about, arrays, end=end)
            self._directory.prune(self._keep)

        self._pending = self._writer.submit(write)

    def _speed(self, timing: Timing) -> dict[str, Any]:
        """When it is now, and how fast training has been since the checkpoint before, if that was not compiling."""
        epochs, seconds = timing.epochs - self._timed.epochs, timing.seconds - self._timed.seconds
        compiled = self._timed.seconds_to_first_step is not None
        self._timed = replace(timing)
        return {"time": time.time(), "epochs_per_second": epochs / seconds if compiled and seconds > 0 else None}

    def back(self, epoch: int) -> None:
        """Forget what came after an epoch: training is there again."""

        def forget() -> None:
            self._settle()
            self._recorded = min(self._recorded, self._directory.forget(epoch))

        self._transport.first_writes("the run directory", forget)
        self._saved = min(self._saved, epoch)

    def show(self, shown: Callable[[], tuple[dict[str, Any], Arrays]], epoch: int) -> None:
        """Write what is shown of an epoch that was trained before; on all processes."""
        view, pictures = shown()

        def write() -> None:
            # Of a script of several calls of `solve`, a later one may have shown more.
            if max(self._directory.epochs(), default=0) <= epoch:
                self._directory.write_shown({**view, "epoch": epoch}, pictures)

        self._transport.first_writes("what is shown", write)

    def _settle(self) -> None:
        """Until the checkpoint on its way is on disk; says so if it could not be written."""
        try:
            self._written()
        except OSError as error:
            tell(f"a checkpoint could not be written to {self._directory.path}: {error}. Training goes on")

    def _written(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def finish(self) -> str:
        """Wait for the last checkpoint, and say where it is; raises OSError on every process if it is not on disk."""
        self._transport.first_writes("the last checkpoint", self._written)
        return f", written to {self._directory.path}: the same command goes on from there"

    def _close(self) -> None:
        """Wait for what is being written, and leave the directory to others."""
        if self._writer is not None:
            self._settle()
            self._writer.shutdown()
        self._directory.close()


def whole_number(name: str, value: Any) -> int:
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
