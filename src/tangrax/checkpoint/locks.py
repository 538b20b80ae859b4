"""Locks on files, which the kernel gives up for a process that has ended, however it ended."""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from .atomic_files import open_regular

LENGTH = 200  # bytes of a lock's text that are read


class Lock:
    """A lock by `flock` on a regular file. It keeps out others of this process too, and children do not inherit it.

    One of `fcntl` would be lost as soon as anything in this process closed the file, such as a copy of its directory,
    and would let a second one of this process in.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: IO[bytes] | None = None

    def take(self, patience: float = 0.0) -> bool:
        """Take it within so many seconds; return whether that succeeded. Raises OSError where no file can be locked."""
        file, end = open_regular(self.path, os.O_RDWR | os.O_CREAT), time.monotonic() + patience
        _open.add(file)  # at once: a fork closes what is there
        try:
            while not _locked(file):
                if time.monotonic() >= end:
                    _close(file)
                    return False
                time.sleep(0.001)
        except OSError as error:
            _close(file)
            raise OSError(error.errno, f"its file system locks no files: {error.strerror}") from error
        self._file = file
        return True

    def write(self, text: str) -> None:
        """Write the text that others read while it is held."""
        assert self._file is not None
        os.ftruncate(self._file.fileno(), 0)
        os.pwrite(self._file.fileno(), text.encode(), 0)

    def release(self) -> None:
        """Give it up, also for copies that a library's own fork may have; does nothing where it is not held."""
        file, self._file = self._file, None
        if file is not None and not file.closed:
            fcntl.flock(file, fcntl.LOCK_UN)
            _close(file)


def text_of(path: Path) -> str:
    """Return the text of a lock, or of a file that is none; an empty one where there is no file."""
    try:
        with open_regular(path) as file:
            return file.read(LENGTH).decode(errors="replace")
    except OSError:
        return ""


def is_held(path: Path) -> bool:
    """Return whether some process holds a lock. The question shares it for a moment, in which it cannot be taken."""
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_open: set[IO[bytes]] = set()  # files of locks that are held, or about to be


def _close(file: IO[bytes]) -> None:
    _open.discard(file)
    file.close()


def _forked() -> None:
    """Close the copies in a forked child. To unlock them would be to unlock the parent's."""
    for file in list(_open):
        _close(file)


os.register_at_fork(after_in_child=_forked)
