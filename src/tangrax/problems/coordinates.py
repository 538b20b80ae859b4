"""Coordinates in which even points gather where a solution is steep."""

import math
from typing import Any

import numpy as np

from .. import numpy as tnp
from .problem import HELD_OUT


def gathered(s: Any, width: float) -> tuple[Any, Any]:
    """x = width sinh(a s), from -1 to 1 as s is, and dx/ds: even points in s gather round x = 0, within that width."""
    a = math.asinh(1 / width)
    return width * tnp.sinh(a * s), width * a * tnp.cosh(a * s)


def spread(x: np.ndarray, width: float) -> np.ndarray:
    """s of x = width sinh(a s)."""
    return np.arcsinh(x / width) / math.asinh(1 / width)


def evenly(seed: int) -> np.ndarray:
    """Random rows (x, t), even in x from -1 to 1 and in t from 0 to 1, to compare at."""
    return np.random.default_rng(seed).uniform((-1.0, 0.0), (1.0, 1.0), (HELD_OUT, 2))
