"""Atomic writes of files, never in the place of what is no regular file."""

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

TEMPORARY = re.compile(r"\.tangrax-[0-9a-f]{16}\.part")
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a temporary file that replaces `path` when the block has ended well; else what was there stays as it was.

    It has the permissions of any file of the user's. Temporaries of killed processes beside it are removed. Raises
    FileExistsError where something is there that is no regular file.
    """
    kind = other_kind(path)
    if kind:
        raise FileExistsError(f"{path} is {kind}: give the name of a file")
    clean(path.parent)
    with _temporary(path.parent) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)  # before its lock is given up: else it might be taken for a leftover
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def clean(folder: Path) -> None:
    """Remove temporaries of processes that ended while they wrote; one that is being written is locked, and stays."""
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
    for name in filter(TEMPORARY.fullmatch, names):
        with contextlib.suppress(OSError), open_regular(folder / name, os.O_RDWR) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (folder / name).unlink()


def open_regular(path: Path, flags: int = os.O_RDONLY) -> IO[bytes]:
    """Open a regular file without following a link or waiting for the other end of a pipe. Raises OSError."""
    kind = other_kind(path)
    if not kind:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return os.fdopen(handle, "r+b" if flags & os.O_RDWR else "rb", buffering=0)
        os.close(handle)
    raise FileExistsError(f"{path} is {kind or 'no regular file'}: remove it")


def other_kind(path: Path) -> str:
    """Return in words what is at a path if it is neither a regular file nor nothing, else an empty text."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no regular file")


def refuse_unwritable(path: str | Path, doing: str = "save to") -> None:
    """Raise ValueError where `atomic_write` could not write, or would replace something that is no regular file."""
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"cannot {doing} {path}: give the name of a file in a directory that exists")
    if kind := other_kind(path):
        raise ValueError(f"cannot {doing} {path}: it is {kind}, and a file would take its place; give another name")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"cannot {doing} {path}: its directory cannot be written; give another one")


def _temporary(folder: Path) -> IO[bytes]:
    """Create a file, locked until it is closed."""
    while True:
        # The kernel applies the umask: to read it would be to set it, for all threads.
        file = (folder / f".tangrax-{secrets.token_hex(8)}.part").open("xb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removed = not os.path.lexists(file.name)
        except BlockingIOError:
            removed = True  # before it was locked, another process found it
        except OSError:
            removed = False  # a file system without locks, where none is removed
        if not removed:
            return file
        file.close()
