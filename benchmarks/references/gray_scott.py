"""Gray and Scott's reaction and diffusion on a square without ends: Fourier's series, ETDRK4.

The pattern stays clear of the sides, so that their conditions make no difference.
"""

from typing import Any

import numpy as np
import scipy

from tangrax.problems.etdrk4 import Etdrk4

from .reference import Reference, difference, nodes

fft: Any = scipy.fft  # its annotations allow for what is no array
TIMES = 100
PLACES = 64  # along each axis; where values are kept


def start(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return u and v at t = 0."""
    u = 1 - np.exp(-80 * ((x + 0.05) ** 2 + (y + 0.02) ** 2))
    return np.stack([u, np.exp(-80 * ((x - 0.05) ** 2 + (y - 0.02) ** 2))])


def pattern(n: int, steps: int, end: float = 200.0, times: int = TIMES) -> np.ndarray:
    """Return u and v at 64² places of [-1, 1)² and `times` + 1 times: (times + 1, 2, 64, 64)."""
    x = -1 + 2 * np.arange(n) / n
    k = np.pi * np.fft.fftfreq(n, 1 / n)[:, None], np.pi * np.arange(n // 2 + 1.0)[None]
    square = k[0] ** 2 + k[1] ** 2

    def reaction(w: np.ndarray, _: float) -> np.ndarray:
        u, v = fft.irfft2(w, (n, n))
        eaten = u * v**2
        return fft.rfft2(np.stack([0.04 - eaten, eaten]))

    linear = np.stack([-1e-5 * square - 0.04, -5e-6 * square - 0.1])
    series = Etdrk4(linear, reaction, end / steps).march(fft.rfft2(start(x[:, None], x[None])), steps, steps // times)
    every = n // PLACES
    return np.stack([fft.irfft2(each, (n, n))[:, ::every, ::every] for each in series])


def on_rows(values: np.ndarray, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (x, y, t) and (u, v) there, from what `pattern` returns, without the start."""
    at = nodes(count, (PLACES, PLACES, TIMES))
    i, j, time = at.T
    rows = np.column_stack([-1 + 2 * i / PLACES, -1 + 2 * j / PLACES, 200 * (time + 1) / TIMES])
    return rows.astype(np.float32), values[time + 1, :, i, j]


def reference() -> Reference:
    """Return values by 512² points and 800 steps; the error is what 256² and 400 steps have."""
    fine, coarse = pattern(512, 800), pattern(256, 400)
    at, values = on_rows(fine)
    error = difference(on_rows(coarse)[1], values)
    return Reference(at, values.astype(np.float32), max(error, 6e-8), "Fourier, 512² points, ETDRK4, steps of 1/4")


REFERENCES = {"pinnacle/gs": reference}
