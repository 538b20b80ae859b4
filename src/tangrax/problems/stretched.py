"""Coordinates in which even points gather where a solution is steep."""

import math
from typing import Any

import numpy as np

from .. import numpy as tnp


def gathered(s: Any, width: float) -> tuple[Any, Any]:
    """x = width sinh(a s), from -1 to 1 as s is, and dx/ds: even points in s gather round x = 0, within that width."""
    a = math.asinh(1 / width)
    return width * tnp.sinh(a * s), width * a * tnp.cosh(a * s)


def spread(x: np.ndarray, width: float) -> np.ndarray:
    """s of x = width sinh(a s)."""
    return np.arcsinh(x / width) / math.asinh(1 / width)


def evenly(lower: Any, upper: Any, count: int, seed: int) -> np.ndarray:
    """Random points of a box, (count, axes)."""
    return np.random.default_rng(seed).uniform(lower, upper, (count, len(lower)))
