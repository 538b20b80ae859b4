"""When the loop has states written to disk: the protocol that it calls, and one that writes nothing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from .compiled_loop import LONGEST
from .history import History
from .training_problem import State

if TYPE_CHECKING:
    from .loop import Loop


@runtime_checkable
class Checkpointer(Protocol):
    """Writes states to disk; called on the host, between compiled stretches, by all processes alike.

    A stretch ends at each multiple of `interval` epochs, where a rollback goes back to.
    """

    @property
    def interval(self) -> int: ...

    def on_start(self, loop: "Loop", history: History, epoch: int, end: int) -> None:
        """Training is about to go on from `epoch` to `end`."""
        ...

    def on_stretch(self, state: State, last: State, epoch: int) -> None:
        """Training has reached `epoch`; `last` is the state one epoch earlier."""
        ...

    def on_rollback(self, epoch: int) -> None:
        """Training is back at `epoch`: drop what was written of later ones."""
        ...

    def on_stop(self, state: State, last: State, epoch: int) -> str:
        """Training ends at `epoch`, early or not: write that state, and return words for where it is."""
        ...

    def due_signal(self) -> int:
        """Number of the signal to stop by where the job's time is running out, else 0."""
        ...


@dataclass(frozen=True)
class NoCheckpoints:
    """Writes nothing: the state stays with the solver."""

    interval: int = LONGEST

    def on_start(self, loop: "Loop", history: History, epoch: int, end: int) -> None:
        pass

    def on_stretch(self, state: State, last: State, epoch: int) -> None:
        pass

    def on_rollback(self, epoch: int) -> None:
        pass

    def on_stop(self, state: State, last: State, epoch: int) -> str:
        return ", whose parameters and history it has"

    def due_signal(self) -> int:
        return 0
