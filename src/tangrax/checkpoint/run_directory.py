"""The directory of a run: its lock, checkpoints, the history between them, and what the run is."""

import json
import logging
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import archive
from .archive import Arrays, Damaged
from .atomic_files import clean, other_kind, whole
from .locks import Lock, is_held, said
from .state_arrays import check_checkpoint

logger = logging.getLogger(__name__)

CHECKPOINTS, HISTORY, ABOUT, SHOWN = "checkpoints", "history", "run.json", "shown.npz"
LOCK, RUNNING = "lock", "running"  # a lock for runs, and one for those who ask whether one is going on
NAME = re.compile(r"(epoch|end)-(\d{9,})\.npz")
PIECE = re.compile(r"(\d{9,})\.npz")
HOLDER = re.compile(r"(process \d+ on [\w.:-]+\n?)?")


class RunDirectory:
    """Of one process. Checkpoints are `epoch-…` files; those a call of `solve` ended with, `end-…`, are all kept."""

    def __init__(self, path: Path):
        self.path = path
        self._lock, self._running = Lock(path / LOCK), Lock(path / RUNNING)

    def open(self) -> None:
        """Make the directory if there is none, and take its lock. Raises OSError or ValueError."""
        try:
            self._refuse_other_files()
            for folder in (CHECKPOINTS, HISTORY):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            if not self._lock.take():
                raise ValueError(
                    f"run_dir={str(self.path)!r} is in use by {said(self._lock.path).strip() or 'another process'}: "
                    f"wait for that run to end, or give each run a directory of its own. Nothing was trained"
                )
            try:
                self._begin()
            except BaseException:
                self.close()
                raise
        except OSError as error:
            raise type(error)(
                f"run_dir={str(self.path)!r}: cannot be written ({error.strerror or error}); give another directory, "
                f"or make room and see to its permissions. Nothing was trained"
            ) from error

    def _refuse_other_files(self) -> None:
        """Raise ValueError where a run would write over what none has written."""
        ours = bool(said(self.path / LOCK)) or "starts" in self.about() or bool(self.epochs())
        names = [name for name in (ABOUT, SHOWN) if not ours and os.path.lexists(self.path / name)]
        for name in (LOCK, RUNNING, ABOUT, SHOWN):
            kind = other_kind(self.path / name)
            names += [f"{name} ({kind})"] if kind else []
        if not HOLDER.fullmatch(said(self.path / LOCK)):
            names.append(LOCK)
        if said(self.path / RUNNING):
            names.append(RUNNING)
        if names:
            raise ValueError(
                f"run_dir={str(self.path)!r} holds {' and '.join(names)}, which no run has written: give a directory "
                f"that is empty, new, or a run's. Nothing was trained"
            )

    def _begin(self) -> None:
        self._lock.say(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._running.take(patience=1.0)  # those who ask keep it for a moment
        for folder in (".", CHECKPOINTS, HISTORY):
            clean(self.path / folder)  # of a run that was killed while it wrote

    def close(self) -> None:
        """Give up the lock; one that is killed loses it too."""
        self._running.release()
        self._lock.release()

    @property
    def running(self) -> bool:
        """Whether a run is going on there. The lock is left to runs: whoever asks keeps none from starting."""
        return is_held(self._running.path)

    # Checkpoints

    def epochs(self) -> list[int]:
        """Epochs that there are checkpoints of, in order."""
        return sorted({epoch for epoch, _ in self._checkpoints()})

    def write(self, epoch: int, about: Mapping[str, Any], arrays: Arrays, *, end: bool) -> None:
        name = f"{'end' if end else 'epoch'}-{epoch:09d}.npz"
        archive.write(self.path / CHECKPOINTS / name, archive.CHECKPOINT, {"epoch": epoch, **about}, arrays)

    def read(self, epoch: int) -> tuple[dict[str, Any], Arrays]:
        """Raises Damaged where no file of that epoch can be read, ValueError for one of another version."""
        failure = Damaged(f"{self.path} holds no checkpoint of epoch {epoch}")
        for found, path in self._checkpoints():
            if found != epoch:
                continue
            try:
                about, arrays = archive.read(path, archive.CHECKPOINT)
                with archive.reading(path):
                    check_checkpoint(about, arrays, epoch)
                return about, arrays
            except Damaged as error:
                failure = error
        raise failure

    def ended(self, epoch: int) -> bool:
        """Whether a call of `solve` ended with an epoch, and its checkpoint is there."""
        return any(found == epoch and path.name.startswith("end") for found, path in self._checkpoints())

    def prune(self, keep: int) -> None:
        """Remove all but the newest `keep` of those that no call of `solve` ended with."""
        between = sorted((epoch, path) for epoch, path in self._checkpoints() if path.name.startswith("epoch"))
        for _, path in between[:-keep]:
            path.unlink(missing_ok=True)

    def _checkpoints(self) -> list[tuple[int, Path]]:
        return [(int(match[2]), path) for match, path in self._files(CHECKPOINTS, NAME)]

    def _files(self, folder: str, names: re.Pattern[str]) -> Iterator[tuple[re.Match[str], Path]]:
        """Files that a run gives such names; what has one and is something else, such as a pipe, is none of them."""
        where = self.path / folder
        for name in os.listdir(where) if where.is_dir() else ():
            match = names.fullmatch(name)
            if match and (where / name).is_file():
                yield match, where / name

    # History: a piece for each checkpoint, so that none is written twice

    def write_history(
        self, epoch: int, series: Mapping[str, tuple[np.ndarray, np.ndarray]], speed: Mapping[str, Any]
    ) -> None:
        """What was recorded since the piece before, up to an epoch, and how fast that went."""
        arrays: Arrays = {}
        for index, (epochs, values) in enumerate(series.values()):
            arrays[f"epochs/{index}"], arrays[f"values/{index}"] = epochs, values
        about = {"epoch": epoch, "names": list(series), **speed}
        archive.write(self.path / HISTORY / f"{epoch:09d}.npz", archive.HISTORY, about, arrays)

    def history(self, epoch: int, trackers: Mapping[str, str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """All that was recorded before an epoch, but by trackers whose digest is another now.

        What a damaged piece held is missing, and that is said.
        """
        return joined(self.read_pieces(epoch), trackers)

    def read_pieces(self, epoch: int) -> Iterator[tuple[int, dict[str, Any], Arrays]]:
        """Pieces of the history up to an epoch, with that which each goes to; damaged ones are said and left out."""
        for stop in self.pieces():
            if stop > epoch:
                return
            path = self.path / HISTORY / f"{stop:09d}.npz"
            try:
                about, arrays = archive.read(path, archive.HISTORY)
                with archive.reading(path):
                    _check_piece(about, arrays, stop)
            except Damaged as error:
                logger.warning(f"{error}: the history has a gap there")
                continue
            yield stop, about, arrays

    def pieces(self) -> list[int]:
        """The epochs up to which pieces go, in order."""
        return sorted(int(match[1]) for match, _ in self._files(HISTORY, PIECE))

    def begin(self, epoch: int, end: int) -> int:
        """Training goes on from an epoch to another: up to which epoch the history is written.

        Pieces of it past the epoch are written anew. Checkpoints between the two could not be read: they are set aside.
        """
        for stop in self.pieces():
            if stop > epoch:
                (self.path / HISTORY / f"{stop:09d}.npz").unlink()
        for found, path in self._checkpoints():
            if epoch < found <= end:
                path.rename(path.with_suffix(".damaged"))
        return max(self.pieces(), default=0)

    def forget(self, epoch: int) -> int:
        """Remove checkpoints and pieces past an epoch: up to which epoch the history is written."""
        for found, path in self._checkpoints():
            if found > epoch:
                path.unlink()
        return self.begin(epoch, epoch)

    # What the run is, and shows

    def write_shown(self, about: Mapping[str, Any], arrays: Arrays) -> None:
        archive.write(self.path / SHOWN, archive.SHOWN, about, arrays)

    def about(self) -> dict[str, Any]:
        """What `describe` wrote; nothing where that is missing or something else."""
        try:
            return archive.read_json(self.path / ABOUT)
        except Damaged:
            return {}

    def describe(self, about: Mapping[str, Any], start: Mapping[str, Any]) -> None:
        """Write `run.json`: what the problem is, and a line for each time that it was started."""
        starts: list[Any] = []
        path = self.path / ABOUT
        if path.exists():
            try:
                with archive.reading(path):
                    starts = list(archive.read_json(path)["starts"])
            except Damaged as error:
                logger.warning(f"{error}: it is set aside, and earlier starts are told no more")
                path.rename(path.with_suffix(".damaged"))
        with whole(path) as file:
            file.write(json.dumps({**about, "starts": [*starts, dict(start)]}, indent=1).encode())


def _check_piece(about: Mapping[str, Any], arrays: Arrays, epoch: int) -> None:
    """Raise where a file is not the piece of the history up to an epoch."""
    if about["epoch"] != epoch:
        raise ValueError(f"it is the piece up to epoch {about['epoch']}")
    for index, name in enumerate(about["names"]):
        epochs, values = arrays[f"epochs/{index}"], arrays[f"values/{index}"]
        if epochs.ndim != 1 or values.shape[:1] != epochs.shape:
            raise ValueError(f"'{name}' has values of shape {values.shape} at epochs of shape {epochs.shape}")


def joined(
    pieces: Iterable[tuple[int, dict[str, Any], Arrays]], trackers: Mapping[str, str] | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What pieces of the history hold, by name as (epochs, values).

    A tracker that came to record something else under its name began anew there, or does so now by its digest.
    """
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    recorded: dict[str, tuple[str, str]] = {}  # by name: the tracker, and the digest of what it recorded
    for _, about, arrays in pieces:
        watched = about.get("watched", {})
        for index, name in enumerate(about["names"]):
            by = tuple(watched.get(name, ()))
            if by and recorded.setdefault(name, by) != by:
                recorded[name] = by
                found.pop(name)
            found.setdefault(name, []).append((arrays[f"epochs/{index}"], arrays[f"values/{index}"]))
    for name, (tracker, of) in recorded.items():
        if trackers is not None and trackers.get(tracker, of) != of:
            found.pop(name)
    series = {}
    for name, parts in found.items():
        epochs, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        series[name] = (epochs, values)
    return series
