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
from .atomic_files import atomic_write, clean, other_kind
from .locks import Lock, is_held, text_of
from .state_arrays import check_checkpoint

logger = logging.getLogger(__name__)

CHECKPOINTS, HISTORY, ABOUT, SHOWN = "checkpoints", "history", "run.json", "shown.npz"
LOCK, RUNNING = "lock", "running"  # a lock for runs, and one for those who ask whether one is going on
NAME = re.compile(r"(epoch|end)-(\d{9,})\.npz")
PIECE = re.compile(r"(\d{9,})\.npz")
HOLDER = re.compile(r"(process \d+ on [\w.:-]+\n?)?")


class RunDirectory:
    """Files of a run, for one process. Checkpoints are `epoch-…`; those that end a call of `solve`, `end-…`, stay."""

    def __init__(self, path: Path):
        self.path = path
        self._lock, self._running = Lock(path / LOCK), Lock(path / RUNNING)

    def open(self) -> None:
        """Make the directory if it is missing, and take its lock. Raises OSError or ValueError."""
        try:
            self._refuse_other_files()
            for folder in (CHECKPOINTS, HISTORY):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            if not self._lock.take():
                raise ValueError(
                    f"run_dir={str(self.path)!r} is in use by {text_of(self._lock.path).strip() or 'another process'}: "
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
        """Raise ValueError where a run would overwrite files that no run has written."""
        ours = bool(text_of(self.path / LOCK)) or "starts" in self.about() or bool(self.epochs())
        names = [name for name in (ABOUT, SHOWN) if not ours and os.path.lexists(self.path / name)]
        for name in (LOCK, RUNNING, ABOUT, SHOWN):
            kind = other_kind(self.path / name)
            names += [f"{name} ({kind})"] if kind else []
        if not HOLDER.fullmatch(text_of(self.path / LOCK)):
            names.append(LOCK)
        if text_of(self.path / RUNNING):
            names.append(RUNNING)
        if names:
            raise ValueError(
                f"run_dir={str(self.path)!r} holds {' and '.join(names)}, which no run has written: give a directory "
                f"that is empty, new, or a run's. Nothing was trained"
            )

    def _begin(self) -> None:
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._running.take(patience=1.0)  # those who ask keep it for a moment
        for folder in (".", CHECKPOINTS, HISTORY):
            clean(self.path / folder)  # of a run that was killed while it wrote

    def close(self) -> None:
        """Give up the lock; a process that is killed loses it too."""
        self._running.release()
        self._lock.release()

    @property
    def running(self) -> bool:
        """Whether a run is going on there. Asking leaves the lock alone, so that it keeps no run from starting."""
        return is_held(self._running.path)

    # Checkpoints

    def epochs(self) -> list[int]:
        """Return the epochs of all checkpoints, in order."""
        return sorted({epoch for epoch, _ in self._checkpoints()})

    def write(self, epoch: int, about: Mapping[str, Any], arrays: Arrays, *, end: bool) -> None:
        name = f"{'end' if end else 'epoch'}-{epoch:09d}.npz"
        archive.write(self.path / CHECKPOINTS / name, archive.CHECKPOINT, {"epoch": epoch, **about}, arrays)

    def read(self, epoch: int) -> tuple[dict[str, Any], Arrays]:
        """Return metadata and arrays of a checkpoint. Raises Damaged where it cannot be read, or OtherFormat."""
        failure = Damaged(f"{self.path} holds no checkpoint of epoch {epoch}")
        for other, path in self._checkpoints():
            if other != epoch:
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
        """Return whether the checkpoint is there of a call of `solve` that ended with an epoch."""
        return any(other == epoch and path.name.startswith("end") for other, path in self._checkpoints())

    def prune(self, keep: int) -> None:
        """Remove all but the newest `keep` of those that no call of `solve` ended with."""
        between = sorted((epoch, path) for epoch, path in self._checkpoints() if path.name.startswith("epoch"))
        for _, path in between[:-keep]:
            path.unlink(missing_ok=True)

    def _checkpoints(self) -> list[tuple[int, Path]]:
        return [(int(match[2]), path) for match, path in self._files(CHECKPOINTS, NAME)]

    def _files(self, folder: str, names: re.Pattern[str]) -> Iterator[tuple[re.Match[str], Path]]:
        """Yield regular files of a folder whose names match, with the match."""
        where = self.path / folder
        for name in os.listdir(where) if where.is_dir() else ():
            match = names.fullmatch(name)
            if match and (where / name).is_file():
                yield match, where / name

    # History: a piece for each checkpoint, so that none is written twice

    def write_history(
        self, epoch: int, series: Mapping[str, tuple[np.ndarray, np.ndarray]], speed: Mapping[str, Any]
    ) -> None:
        """Write a piece: what was recorded since the one before, up to an epoch, and the speed."""
        arrays: Arrays = {}
        for index, (epochs, values) in enumerate(series.values()):
            arrays[f"epochs/{index}"], arrays[f"values/{index}"] = epochs, values
        about = {"epoch": epoch, "names": list(series), **speed}
        archive.write(self.path / HISTORY / f"{epoch:09d}.npz", archive.HISTORY, about, arrays)

    def history(self, epoch: int, trackers: Mapping[str, str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the history before an epoch as (epochs, values) by name, without trackers whose digest has changed.

        A damaged piece is logged, and leaves a gap.
        """
        return joined(self.read_pieces(epoch), trackers)

    def read_pieces(self, epoch: int) -> Iterator[tuple[int, dict[str, Any], Arrays]]:
        """Yield pieces of the history up to an epoch, each with its last one; damaged ones are logged and left out."""
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
        """Return the last epochs of all pieces, in order."""
        return sorted(int(match[1]) for match, _ in self._files(HISTORY, PIECE))

    def begin(self, epoch: int, end: int) -> int:
        """Prepare for training from `epoch` to `end`; return the epoch up to which the history is written.

        Pieces past `epoch` are removed. Checkpoints between the two could not be read: they are set aside.
        """
        for stop in self.pieces():
            if stop > epoch:
                (self.path / HISTORY / f"{stop:09d}.npz").unlink()
        for other, path in self._checkpoints():
            if epoch < other <= end:
                path.rename(path.with_suffix(".damaged"))
        return max(self.pieces(), default=0)

    def forget(self, epoch: int) -> int:
        """Remove checkpoints and pieces past an epoch; return the epoch up to which the history is written."""
        for other, path in self._checkpoints():
            if other > epoch:
                path.unlink()
        return self.begin(epoch, epoch)

    # What the run is, and shows

    def write_shown(self, about: Mapping[str, Any], arrays: Arrays) -> None:
        archive.write(self.path / SHOWN, archive.SHOWN, about, arrays)

    def about(self) -> dict[str, Any]:
        """Return the content of `run.json`; an empty dict where that is missing or something else."""
        try:
            return archive.read_json(self.path / ABOUT)
        except Damaged:
            return {}

    def describe(self, about: Mapping[str, Any], start: Mapping[str, Any]) -> None:
        """Write `run.json`: the problem, and an entry for each start."""
        starts: list[Any] = []
        path = self.path / ABOUT
        if path.exists():
            try:
                with archive.reading(path):
                    starts = list(archive.read_json(path)["starts"])
            except Damaged as error:
                logger.warning(f"{error}: it is set aside, and earlier starts are told no more")
                path.rename(path.with_suffix(".damaged"))
        with atomic_write(path) as file:
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
    """Join pieces of the history: (epochs, values) by name.

    A tracker that came to record something else under its name began anew there, or does so now by its digest.
    """
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    recorded: dict[str, tuple[str, str]] = {}  # by name: the tracker, and the digest of what it recorded
    for _, about, arrays in pieces:
        watched = about.get("watched", {})
        for index, name in enumerate(about["names"]):
            by = tuple(watched.get(name, ()))
            if by and recorded.setdefault(name, by) != by:
                recorded[name] = by
                parts.pop(name)
            parts.setdefault(name, []).append((arrays[f"epochs/{index}"], arrays[f"values/{index}"]))
    for name, (tracker, of) in recorded.items():
        if trackers is not None and trackers.get(tracker, of) != of:
            parts.pop(name)
    series = {}
    for name, pairs in parts.items():
        epochs, values = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        series[name] = (epochs, values)
    return series
