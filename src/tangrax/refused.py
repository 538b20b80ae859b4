"""Ends a command in one line where Tangrax or the machine refuses something."""

import contextlib
import dis
import sys
from collections.abc import Iterator
from types import TracebackType

from .parallel import settings

OUTSIDE = (ImportError, OSError)  # files, networks and installations: never a fault of the program's
REFUSALS = (FloatingPointError, RuntimeError, TypeError, ValueError)  # kinds that refusals are of, and faults too
JAX_MACHINE_ERRORS = ("RESOURCE_EXHAUSTED", "Unable to initialize backend")  # what JAX says of a machine


@contextlib.contextmanager
def one_line(command: str) -> Iterator[None]:
    """End the process with exit code 1 and the message of a refusal within; a fault of the program has a traceback."""
    try:
        yield
    except Exception as error:
        if not is_refusal(error):
            raise
        # A process that leaves by itself would wait for the others, and they for it.
        settings().peers.fail(f"refused: {error}"[:1000])
        sys.exit(f"tangrax {command}: {_machine_message(error) or error}")


def is_refusal(error: Exception) -> bool:
    """Return whether an error is a refusal, whose message is for the user: a `raise` of Tangrax, or of the machine."""
    if isinstance(error, (*OUTSIDE, MemoryError)) or _machine_message(error):
        return True
    return isinstance(error, REFUSALS) and error.__traceback__ is not None and _raised_here(error.__traceback__)


def _raised_here(trace: TracebackType) -> bool:
    """Return whether the innermost frame is one of Tangrax, at a `raise`: an operation that failed there is a fault."""
    while trace.tb_next is not None:
        trace = trace.tb_next
    module, code = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_frame.f_code
    return module.split(".")[0] == __package__ and code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def _machine_message(error: Exception) -> str:
    """Return in one line that memory or devices are missing; an empty text where it is something else."""
    first = str(error).partition("\n")[0]
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {first or 'give fewer points, or a smaller network'}"
    if not isinstance(error, RuntimeError) or not any(words in first for words in JAX_MACHINE_ERRORS):
        return ""
    if JAX_MACHINE_ERRORS[0] in first:
        return f"there is not enough memory on a device: {first}. Share the points over more devices"
    return f"{first}. JAX_PLATFORMS=cpu computes on the CPU"
