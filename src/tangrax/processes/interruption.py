"""SIGTERM, SIGUSR1 and Ctrl-C as a request that training answers between two stretches, on every process alike."""

import atexit
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any

logger = logging.getLogger(__name__)
AGREED = "training stopped on all processes"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Interruption:
    """The signal that has come while a loop holds it back, 0 if none has."""

    def __init__(self) -> None:
        self.signal = 0
        self.answered = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Within, the first signal is noted; a second one acts as it would have without.

        One that was noted too late to be `answered` acts at the end.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers; a signal acts there as always
            return
        previous = {number: signal.getsignal(number) for number in SIGNALS}

        def note(number: int, frame: FrameType | None) -> None:
            self.signal = number
            _restore(previous)

        for number, handler in previous.items():
            if handler is not None and handler != signal.SIG_IGN:
                signal.signal(number, note)
        try:
            yield
        finally:
            _restore(previous)
            if self.signal and not self.answered:
                signal.raise_signal(self.signal)

    def expect(self, number: int) -> None:
        """This process stops for a signal that another one got: its own, which may come later, is not a second one."""
        if self.signal or threading.current_thread() is not threading.main_thread():
            return
        previous = signal.getsignal(number)

        def once(number: int, frame: FrameType | None) -> None:
            signal.signal(number, previous)

        if previous is not None and previous != signal.SIG_IGN:
            signal.signal(number, once)


def say_stopped(number: int, where: str) -> None:
    """Write by which signal training was stopped, and how far it had come."""
    logger.warning(f"stopped by {signal.Signals(number).name} {where}")


def raise_for(number: int) -> None:
    """End as the signal asked for: Ctrl-C as KeyboardInterrupt, SIGTERM with exit code 143, SIGUSR1 with 138."""
    if number == signal.SIGINT:
        previous = sys.excepthook

        def quiet_hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            # It has been said where training stopped: a traceback would say nothing more.
            if kind is not KeyboardInterrupt or error.args != (AGREED,):
                previous(kind, error, trace)

        sys.excepthook = quiet_hook
        raise KeyboardInterrupt(AGREED)
    if number == signal.SIGUSR1 and threading.current_thread() is threading.main_thread():
        # The first task to leave makes srun send SIGTERM to the others, whose exit code would tell of that alone.
        signal.signal(signal.SIGTERM, lambda number, frame: None)
        # At its end Python undoes what is a function; what is ignored stays so.
        atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def job_end(environ: Mapping[str, str]) -> float | None:
    """When Slurm ends the job, in seconds since 1970; None where no one says so."""
    with contextlib.suppress(KeyError, ValueError):
        return float(environ["SLURM_JOB_END_TIME"])
    return None


def _restore(previous: dict[signal.Signals, Any]) -> None:
    for number, handler in previous.items():
        if handler is not None:
            signal.signal(number, handler)
