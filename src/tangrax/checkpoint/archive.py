"""Arrays and JSON metadata in one file, written atomically, read without running any code.

A file is a NumPy archive that ends, as the comment of a ZIP file, with the SHA-256 of all before it.
"""

import contextlib
import hashlib
import io
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from .atomic_files import atomic_write, open_regular

Arrays = dict[str, np.ndarray]
ABOUT, KIND, FORMAT_OF = "about", "kind", "format"
FORMAT = 2  # raised with each change of what files hold; those of other formats are refused
CHECKPOINT, HISTORY, SHOWN, SOLVER = "checkpoint", "history", "shown", "solver"  # kinds of files
MARK, DIGITS = b"SHA-256 ", 64  # the comment
NUMBERS = "biufc"  # kinds of NumPy's types that files hold
ALIGNED = 64  # bytes: numbers begin at a multiple, so that what is read need not be copied
LOCAL, ZIP64, PADDING = 30, 20, 0xD935  # of a ZIP entry: bytes before its name, and of sizes; the tag of zeros
PRINTABLE = "".join(map(chr, range(32, 127))).replace("%", "")  # what names of entries are written with


class Damaged(ValueError):
    """A file that cannot be read as what it should be."""


class OtherFormat(ValueError):
    """An undamaged file of another version of Tangrax."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn every exception within into Damaged, which names the file."""
    try:
        yield
    except (Damaged, OtherFormat):
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise Damaged(f"{path} is not what was written there, or is damaged ({why})") from error


def encoded(about: Mapping[str, Any]) -> np.ndarray:
    """Return JSON of a mapping as an array of bytes."""
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


def decoded(content: np.ndarray | bytes) -> dict[str, Any]:
    """Return the mapping in an array of `encoded`, or in the bytes of a JSON file; TypeError if it is no object."""
    about = json.loads(content if isinstance(content, bytes) else content.tobytes())
    if not isinstance(about, dict):
        raise TypeError(f"{type(about).__name__} where it tells of itself")
    return about


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; raises Damaged where the file is something else."""
    with reading(path), open_regular(path) as file:
        return decoded(file.read())


class _Digested(io.RawIOBase):
    """A file that is written from its beginning to its end, its length and digest."""

    def __init__(self, file: IO[bytes]):
        self.file, self.length, self.digest = file, 0, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.length += len(data)
        return self.file.write(data)


def write(path: Path, kind: str, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write metadata and arrays atomically. Raises TypeError for arrays of anything but numbers."""
    metadata = encoded({**about, KIND: kind, FORMAT_OF: FORMAT})
    with atomic_write(path) as file:
        out = _Digested(file)
        with ZipFile(out, "w") as archive:  # pyright: ignore[reportArgumentType]
            for name, array in {ABOUT: metadata, **arrays}.items():
                if array.dtype.kind not in NUMBERS:
                    raise TypeError(f"{path}: array '{name}' holds {array.dtype}, no numbers")
                entry = ZipInfo(f"{quote(name, PRINTABLE, errors='surrogatepass')}.npy")
                padding = -(out.length + LOCAL + len(entry.filename) + ZIP64 + 4) % ALIGNED
                entry.extra = struct.pack(f"<HH{padding}x", PADDING, padding)
                with archive.open(entry, "w", force_zip64=True) as content:
                    np.lib.format.write_array(content, array, (1, 0), allow_pickle=False)  # pyright: ignore[reportArgumentType]
            archive.comment = MARK + bytes(DIGITS)
        # In its own place the digest counts as zeros.
        file.seek(-DIGITS, os.SEEK_END)
        file.write(out.digest.hexdigest().encode())


def read(path: Path, kind: str) -> tuple[dict[str, Any], Arrays]:
    """Return metadata and arrays of a file. Raises Damaged where it is cut short, changed or of another kind.

    The digest is compared before anything is looked at. Arrays are views of the content, which cannot be changed: a
    file is read once, and takes no more memory than its size. Raises OtherFormat for one of another version.
    """
    try:
        content = _content(path)
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror or error})") from error
    with reading(path):
        stream, arrays = io.BytesIO(content), Arrays()
        with ZipFile(stream) as archive:
            for entry in archive.infolist():
                name = unquote(entry.filename.removesuffix(".npy"), errors="surrogatepass")
                arrays[name] = _array(stream, content, entry)
        about = decoded(arrays.pop(ABOUT))
        if about[FORMAT_OF] != FORMAT:
            raise OtherFormat(f"{path} has format {about[FORMAT_OF]} where this version reads {FORMAT}")
        if about[KIND] != kind:
            raise Damaged(f"{path} is no {kind}: a {about[KIND]} was written there")
        return about, arrays


def _content(path: Path) -> bytes:
    """Return the bytes of a file, if it ends with its digest."""
    ending = len(MARK) + DIGITS
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - ending))
        marked = file.read(ending).startswith(MARK)
        file.seek(0)
        content = file.read() if marked else b""
    if not marked:
        raise Damaged(f"{path} is damaged, of an earlier version or not ours: it does not end with its digest")
    digest = hashlib.sha256(memoryview(content)[:-DIGITS])
    digest.update(bytes(DIGITS))
    if content[-DIGITS:] != digest.hexdigest().encode():
        raise Damaged(f"{path} is damaged: it does not hold what its digest was made of")
    return content


def _array(stream: io.BytesIO, content: bytes, entry: ZipInfo) -> np.ndarray:
    """Return a view of an entry; nothing is allocated, whatever size its header has."""
    if entry.compress_type != ZIP_STORED:
        raise ValueError(f"'{entry.filename}' is compressed")
    start = entry.header_offset + LOCAL + sum(struct.unpack_from("<HH", content, entry.header_offset + LOCAL - 4))
    stream.seek(start)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError(f"'{entry.filename}' has another version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    count, begin = math.prod(shape), stream.tell()
    if dtype.kind not in NUMBERS or count * dtype.itemsize != start + entry.file_size - begin:
        raise ValueError(f"'{entry.filename}' holds {entry.file_size} bytes where it tells of {dtype} of shape {shape}")
    return np.frombuffer(content, dtype, count, begin).reshape(shape, order="F" if fortran else "C")
