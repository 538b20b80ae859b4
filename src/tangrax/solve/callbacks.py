"""Listeners: callbacks on a run's progress."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Run:
    """A call of `solve` as it begins: its epochs, a line on devices and points, names of terms and trackers."""

    first: int
    end: int
    where: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Stretch:
    """A stretch of epochs that has just ended: the next epoch, the newest value recorded under each name.

    `speed` is in epochs per second.
    """

    epoch: int
    newest: Mapping[str, Any]
    speed: float
    warnings: tuple[str, ...]


@runtime_checkable
class Listener(Protocol):
    """Called on the host, between compiled stretches; slow listeners slow training."""

    def on_start(self, run: Run) -> None: ...

    def on_stretch(self, stretch: Stretch) -> None: ...

    def on_end(self) -> None: ...
