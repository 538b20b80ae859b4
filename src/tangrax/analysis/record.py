"""What a run's directory tells of it, read while it runs or after; nothing that is read is executed."""

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
    """A run as its directory has it: what it is, what was recorded, and what it shows of an epoch."""

    path: Path
    about: dict[str, Any]
    history: History
    speeds: list[Speed]
    shown: dict[str, Any]
    arrays: Arrays = field(repr=False)
    running: bool = False
    profile: list[dict[str, Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The last two parts of its path: the first of them is often what tells runs apart."""
        return "/".join(self.path.resolve().parts[-2:])

    @property
    def epoch(self) -> int:
        """The newest that is on disk."""
        return max([self.shown.get("epoch", 0), *(speed.epoch for speed in self.speeds)])

    @property
    def start(self) -> dict[str, Any]:
        """The last time that it was started."""
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
        Speed(stop, float(said["time"]), float(said["epochs_per_second"] or 0))
        for stop, said, _ in pieces
        if "time" in said
    ]
    shown, arrays = _shown(path / SHOWN)
    return Record(path, about, History.of(joined(pieces)), speeds, shown, arrays, directory.running, read_profile(path))


@contextlib.contextmanager
def as_written(path: str | Path) -> Iterator[None]:
    """Within, a record is read for what a run writes: ValueError where it has something else."""
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{path} is not what this version of Tangrax writes ({type(error).__name__}: {error}): read it with the "
            f"version that wrote it"
        ) from error


def _shown(path: Path) -> tuple[dict[str, Any], Arrays]:
    nothing: dict[str, Any] = {"places": [], "fields": [], "numbers": {}, "spectra": []}
    if not path.is_file():
        return nothing, {}
    try:
        about, arrays = archive.read(path, archive.SHOWN)
    except Damaged as error:
        logger.warning(f"{error}: fields and spectra are not shown")
        return nothing, {}
    return {**nothing, **about}, arrays
