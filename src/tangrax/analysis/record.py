"""The record of a run, read from its directory while it runs or after; nothing that is read is executed."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoint import archive
from ..checkpoint.archive import Arrays, Damaged
from ..checkpoint.run_directory import ABOUT, SHOWN, RunDirectory, joined
from ..monitor.profile import read_profile
from ..solve import History

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """How fast training was up to an epoch, in epochs per second, and when, in seconds since 1970; 0 is not known."""

    epoch: int
    time: float
    epochs_per_second: float


@dataclass(frozen=True)
class Record:
    """A run as its directory has it: metadata, history, and the view of its newest checkpoint with arrays."""

    path: Path
    about: dict[str, Any]
    history: History
    speeds: list[Speed]
    view: dict[str, Any]
    arrays: Arrays = field(repr=False)
    running: bool = False
    profile: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The last two parts of its path: the first of them often distinguishes runs."""
        return "/".join(self.path.resolve().parts[-2:])

    @property
    def epoch(self) -> int:
        """The newest epoch on disk."""
        return max([self.view.get("epoch", 0), *(speed.epoch for speed in self.speeds)])

    @property
    def start(self) -> dict[str, Any]:
        """The entry of its last start."""
        return self.about["starts"][-1]


def read_record(path: str | Path) -> Record:
    """Read a run's directory. Raises FileNotFoundError where there is none, ValueError where it is something else."""
    path = Path(path)
    if not (path / ABOUT).is_file():
        below = sorted(str(about.parent) for about in path.glob(f"*/{ABOUT}"))
        where = (
            f"did you mean {' or '.join(below[:3])}?" if below else f"solver.solve(n, run_dir={str(path)!r}) makes one"
        )
        raise FileNotFoundError(f"{path} holds no run: {where}")
    try:
        about = archive.read_json(path / ABOUT)
        if not about["starts"]:
            raise KeyError("starts")
    except (KeyError, Damaged) as error:
        raise ValueError(f"{path / ABOUT} is not what a run writes there: {error}") from error
    directory = RunDirectory(path)
    pieces = list(directory.read_pieces(max(directory.pieces(), default=0)))
    speeds = [
        Speed(stop, float(piece["time"]), float(piece["epochs_per_second"] or 0))
        for stop, piece, _ in pieces
        if "time" in piece
    ]
    view, arrays = _view(path / SHOWN)
    return Record(path, about, History.of(joined(pieces)), speeds, view, arrays, directory.running, read_profile(path))


@contextlib.contextmanager
def as_written(path: str | Path) -> Iterator[None]:
    """Turn errors within, where a record is not what a run writes, into ValueError."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{path} is not what this version of Tangrax writes ({type(error).__name__}: {error}): read it with the "
            f"version that wrote it"
        ) from error


def _view(path: Path) -> tuple[dict[str, Any], Arrays]:
    empty: dict[str, Any] = {"places": [], "fields": [], "numbers": {}, "spectra": []}
    if not path.is_file():
        return empty, {}
    try:
        about, arrays = archive.read(path, archive.SHOWN)
    except Damaged as error:
        logger.warning(f"{error}: fields and spectra are not shown")
        return empty, {}
    return {**empty, **about}, arrays
