"""Heat with a source that settles into patches: series of sines on a quarter of the square, ETDRK4."""

from typing import Any

import numpy as np
import scipy

from tangrax.problems.etdrk4 import Etdrk4

from .reference import Reference, difference, nodes

fft: Any = scipy.fft  # its annotations allow for what is no array
TIMES = 200
PLACES = (16, 32)  # along x, over a quarter, and along y: where values are kept


def patches(n: int, steps: int, end: float = 100.0, times: int = TIMES) -> np.ndarray:
    """Return u at the inner nodes of 16 x 32 cells of [0, 1/4] x [0, 1] and `times` + 1 times: (times + 1, 15, 31).

    u_t = 0.001 Δu + 5 sin(u²) (1 + 2 sin(πt/4)) sin(4πx) sin(2πy), u(x, y, 0) = sin(4πx) sin(3πy). As the start and the
    source are, u is odd about x = 0 and x = 1/4, so that sin(4πkx), k = 1 … n - 1, are all there is along x; along y
    sin(πky), k = 1 … 4n - 1.
    """
    x, y = np.arange(1, n)[:, None] / (4 * n), np.arange(1, 4 * n)[None] / (4 * n)
    shape = np.sin(4 * np.pi * x) * np.sin(2 * np.pi * y)
    linear = -0.001 * np.pi**2 * ((4 * np.arange(1.0, n)[:, None]) ** 2 + np.arange(1.0, 4 * n)[None] ** 2)

    def source(c: np.ndarray, t: float) -> np.ndarray:
        u = fft.idstn(c, type=1)
        return 5 * (1 + 2 * np.sin(np.pi * t / 4)) * fft.dstn(np.sin(u**2) * shape, type=1)

    first = fft.dstn(np.sin(4 * np.pi * x) * np.sin(3 * np.pi * y), type=1)
    series = Etdrk4(linear, source, end / steps).march(first, steps, steps // times)
    at_x, at_y = n // PLACES[0], 4 * n // PLACES[1]
    return np.stack([fft.idstn(each, type=1)[at_x - 1 :: at_x, at_y - 1 :: at_y] for each in series])


def on_rows(values: np.ndarray, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (x, y, t) of the square and u there, from what `patches` returns, without the start."""
    cells, rows = PLACES
    i, j, time = nodes(count, (4 * cells - 1, rows - 1, TIMES)).T
    quarter = np.zeros((len(values), cells + 1, values.shape[2]))
    quarter[:, 1:-1] = values
    whole = np.concatenate([quarter[:, :-1], -quarter[:, :0:-1]] * 2, axis=1)[:, 1:]
    at = np.column_stack([(i + 1) / (4 * cells), (j + 1) / rows, 100 * (time + 1) / TIMES])
    return at.astype(np.float32), whole[time + 1, i, j][:, None]


def reference() -> Reference:
    """Return values by 64 x 256 cells of a quarter and 20000 steps; the error is what 48 x 192 and 10000 have."""
    fine, coarse = patches(64, 20_000), patches(48, 10_000)
    at, values = on_rows(fine)
    error = difference(on_rows(coarse)[1], values)
    method = "sines, 255² on the square, ETDRK4, steps of 1/200"
    return Reference(at, values.astype(np.float32), max(error, 6e-8), method)


REFERENCES = {"pinnacle/heat2d-lt": reference}
