"""A checkpoint that was read, and the state of training it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..solve import Loop, State
from .archive import Arrays
from .solver_file import MovedPoints, points_of
from .state_arrays import from_arrays


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint, the same on every process, and the history before it as (epochs, values) by name."""

    run_dir: Path
    about: Mapping[str, Any]
    arrays: Arrays
    history: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def epoch(self) -> int:
        return int(self.about["epoch"])

    @property
    def points(self) -> MovedPoints:
        return points_of(self.about, self.arrays)

    def state(self, loop: Loop, fresh: State) -> tuple[State, State]:
        """The state and the one an epoch earlier, on the devices of a loop; raises ValueError if they do not fit."""
        facts = self.about["leaves"]
        try:
            state, last = [
                from_arrays(facts, self.arrays, fresh, loop, name, epoch)
                for name, epoch in (("state", self.epoch), ("last", self.epoch - 1))
            ]
        except ValueError as error:
            raise ValueError(
                f"run_dir={str(self.run_dir)!r}: its checkpoint of epoch {self.epoch} does not fit: {error}. Train as "
                f"it was trained, or give another directory. Nothing was trained"
            ) from None
        return state, last
