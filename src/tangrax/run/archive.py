"""Arrays and what is said of them in one file, written whole or not at all, read without running any code."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from .files import whole

Arrays = dict[str, np.ndarray]
ABOUT = "about"


class Damaged(ValueError):
    """A file that cannot be read as what it should be."""


def encoded(about: Mapping[str, Any]) -> np.ndarray:
    """What JSON can say, as an array."""
    return np.frombuffer(json.dumps(about).encode(), np.uint8)


def decoded(array: np.ndarray) -> dict[str, Any]:
    """What `encoded` made an array of; raises ValueError or TypeError where it is something else."""
    about = json.loads(array.tobytes())
    if not isinstance(about, dict):
        raise TypeError(f"{type(about).__name__} where it tells of itself")
    return about


def write(path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write all of it, whole or not at all. Each array has a CRC-32."""
    with whole(path) as file:
        np.savez(file, **arrays, **{ABOUT: encoded(about)})  # pyright: ignore[reportArgumentType]


def read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """What `write` wrote. Raises Damaged where the file is something else, cut short or changed."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return decoded(archive[ABOUT]), {name: archive[name] for name in archive.files if name != ABOUT}
    except (KeyError, ValueError, TypeError, OSError, EOFError, BadZipFile, UnicodeDecodeError) as error:
        # NumPy's own words would advise to load it unsafely.
        why = f" ({error})" if isinstance(error, (KeyError, BadZipFile)) else ""
        raise Damaged(f"{path} is not what was written there, or is damaged{why}") from error
