"""Burgers' equation in two dimensions: Fourier's series on one period, Runge and Kutta's method of order 4.

Fronts are 4ν/jump = 1e-3 wide, a node or so. Single precision is enough where 1e-3 is what can be had.
"""

from typing import Any

import numpy as np
import scipy

from tangrax.problems.pinnacle.viscous_burgers import SQUARE_VISCOSITY, start

from .reference import Reference, difference, nodes

fft: Any = scipy.fft  # its annotations allow for what is no array
TIMES = 50
STEEPEST = 8  # of the times, by which all fronts are there
PLACES = 128  # along each axis of the period; where values are kept


def flow(sizes: tuple[int, ...], spill: float, end: float = 1.0) -> np.ndarray:
    """Return u and v at 128² places of the period [0, 1)² and t = 1/50, 2/50, …, `end`: (times, 2, 128, 128).

    By n² points, n the first of `sizes`. Once all fronts are there, and widen, the next ones follow, as soon as the
    modes that these do not have hold less than `spill` of the norm.
    """
    sizes_left = list(sizes)
    n = sizes_left.pop(0)
    x = np.arange(n) / n
    w = fft.rfft2(np.stack(start(x[:, None], x[None])).astype(np.float32), norm="forward")
    snapshots = []
    for time in range(1, round(TIMES * end) + 1):
        w = Sheet(n).advance(w, 1 / TIMES)
        every = n // PLACES
        snapshots.append(fft.irfft2(w, (n, n), norm="forward")[:, ::every, ::every])
        while sizes_left and time > STEEPEST:
            fewer = truncated(w, n, sizes_left[0])
            lost = max(0.0, 1 - norm(fewer) ** 2 / norm(w) ** 2) ** 0.5
            if lost > spill:
                break
            n, w = sizes_left.pop(0), fewer
    return np.stack(snapshots)


def norm(w: np.ndarray) -> float:
    """Return the L2 norm of a series."""
    square = abs(w.astype(complex)) ** 2
    return float(np.sqrt(2 * square.sum() - square[:, :, 0].sum()))


def truncated(w: np.ndarray, n: int, fewer: int) -> np.ndarray:
    """Return the modes that fewer points have."""
    half = fewer // 2
    rows = np.r_[0:half, n - half : n]
    return np.ascontiguousarray(w[:, rows, : half + 1])


class Sheet:
    """The equation on n² points of a period, as a system for the coefficients of its series."""

    def __init__(self, n: int):
        self.n = n
        self.k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)[:, None], 2 * np.pi * np.arange(n // 2 + 1.0)[None]
        self.slopes = [1j * each.astype(np.float32) for each in self.k]
        # What keeps the highest modes quiet: Hou and Li, J. Comput. Phys. 226 (2007), 379-397.
        share = np.maximum(abs(self.k[0]), abs(self.k[1])) / (np.pi * n)
        self.damped = np.exp(-36 * share**36).astype(np.float32)

    def values(self, w: np.ndarray) -> np.ndarray:
        """Return values at the points."""
        return fft.irfft2(w, (self.n, self.n), norm="forward")

    def advection(self, w: np.ndarray) -> np.ndarray:
        """Return -(u ∂x + v ∂y) (u, v)."""
        u, v = self.values(w)
        by_x, by_y = (self.values(slope * w) for slope in self.slopes)
        by_x *= -u
        by_y *= v
        by_x -= by_y
        return fft.rfft2(by_x, norm="forward")

    def advance(self, w: np.ndarray, time: float) -> np.ndarray:
        """Return the series after some time, diffusion integrated exactly."""
        speed = abs(self.values(w)).max(axis=(1, 2)).sum()
        steps = int(np.ceil(np.pi * self.n * speed * time / 2))  # 2.8 would be the limit of stability
        h = np.float32(time / steps)
        half = np.exp(-SQUARE_VISCOSITY * (self.k[0] ** 2 + self.k[1] ** 2) * h / 2).astype(np.float32)
        for _ in range(steps):
            first = self.advection(w)
            second = self.advection(half * (w + h / 2 * first))
            third = self.advection(half * w + h / 2 * second)
            last = self.advection(half * (half * w + h * third))
            w = half * (half * (w + h / 6 * first) + h / 3 * (second + third)) + h / 6 * last
            w *= self.damped
        return w


def on_rows(values: np.ndarray, count: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (x, y, t) of the square [0, 4]² and (u, v) there, from what `flow` returns."""
    at = nodes(count, (4 * PLACES, 4 * PLACES, len(values)))
    i, j, time = at.T
    rows = np.column_stack([i / PLACES, j / PLACES, (time + 1) / TIMES]).astype(np.float32)
    return rows, values[time, :, i % PLACES, j % PLACES]


def reference() -> Reference:
    """Return values by 1024² points and fewer as fronts widen; the error is what 768² and fewer have."""
    fine, coarse = flow((1024, 768, 512, 384), 3e-5), flow((768, 512, 384), 1e-4)
    at, values = on_rows(fine)
    method = "Fourier, 1024² points of a period, fewer as fronts widen, RK4"
    return Reference(at, values, difference(on_rows(coarse)[1], values), method)


REFERENCES = {"pinnacle/burgers2d-c": reference}
