"""Heat in a plate whose conductivity has two values: finite volumes, and the source's oscillation in closed form.

The pixels' edges are faces of the volumes, where the flux has the harmonic mean of both sides. As the source is that of
one frequency, u is a state that oscillates with it, less what dies out of that state at t = 0. Sines solve the problem
of one conductivity, near enough to this one for a preconditioner.
"""

import functools
import math
from typing import Any

import numpy as np
import scipy

from tangrax.problems.pinnacle.rough_coefficients import PIXELS, positive

from .lanczos_decay import decaying
from .reference import Reference, difference, nodes

π = math.pi
fft: Any = scipy.fft  # annotations allow for what is no array
linalg: Any = scipy.sparse.linalg
CELLS = PIXELS - 1
TIMES = np.arange(1, 51) / 10
TOLERANCE = 1e-11


class Plate:
    """-div(a ∇·) on the inner nodes of a grid of m times the pixels' distance, m odd, and its inverse with a shift."""

    def __init__(self, m: int):
        self.n = m * CELLS - 1
        self.h = 1 / (m * CELLS)
        nearest = (np.arange(m * CELLS + 1) + m // 2) // m
        a = np.where(positive(), 2.0, 1.0).T[np.ix_(nearest, nearest)]  # x first
        self.along_x, self.along_y = ((2 * p * q / (p + q)) for p, q in self.pairs(a))
        k = np.arange(1, self.n + 1)
        λ = (2 - 2 * np.cos(π * k / (self.n + 1))) / self.h**2
        self.modes = 1.4 * (λ[:, None] + λ)

    @staticmethod
    def pairs(a: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return neighbors along x and y, of which one or both are inner nodes."""
        return (a[1:, 1:-1], a[:-1, 1:-1]), (a[1:-1, 1:], a[1:-1, :-1])

    def apply(self, u: np.ndarray) -> np.ndarray:
        """Return -div(a ∇u) of inner nodes, (n, n)."""
        padded = np.pad(u, 1)
        flux_x, flux_y = (
            c * (p - q) for c, (p, q) in zip((self.along_x, self.along_y), self.pairs(padded), strict=True)
        )
        return -(np.diff(flux_x, axis=0) + np.diff(flux_y, axis=1)) / self.h**2

    def solve(self, b: np.ndarray, shift: complex, scale: float = 1.0) -> np.ndarray:
        """Return u of (shift - scale div(a ∇·)) u = b."""
        complex_or_real = np.result_type(b, type(shift))
        size = b.size

        def near(r: np.ndarray) -> np.ndarray:
            return fft.idstn(fft.dstn(r.reshape(b.shape), 1) / (shift + scale * self.modes), 1).ravel()

        def whole(u: np.ndarray) -> np.ndarray:
            return (shift * u.reshape(b.shape) + scale * self.apply(u.reshape(b.shape))).ravel()

        operator, preconditioner = (
            linalg.LinearOperator((size, size), matvec=each, dtype=complex_or_real) for each in (whole, near)
        )
        method = linalg.bicgstab if np.iscomplexobj(b) or isinstance(shift, complex) else linalg.cg
        u, failed = method(operator, b.ravel().astype(complex_or_real), rtol=TOLERANCE, M=preconditioner)
        if failed:
            raise RuntimeError(f"{method.__name__} did not converge in {failed} steps")
        return u.reshape(b.shape)


@functools.lru_cache(maxsize=2)
def temperature(m: int) -> np.ndarray:
    """Return u at the times and at the pixels' centers inside, (times, 254, 254), x before y."""
    plate = Plate(m)
    x = np.arange(1, plate.n + 1) * plate.h
    source = 200 * np.outer(np.sin(π * x), np.sin(5 * π * x))
    state = plate.solve(source, 1j * π)  # u = Im(state exp(iπt)) is at rest with the source
    common = slice(m - 1, None, m)
    swinging = np.imag(np.exp(1j * π * TIMES)[:, None, None] * state[common, common])
    start, shift = np.imag(state), 0.02
    return swinging - decaying(lambda v: plate.solve(v, 1.0, shift), start, TIMES, shift, 20)[:, common, common]


def reference(m: int = 5, count: int = 5000) -> Reference:
    """Return values by m times the pixels along each axis; the error is by the two finest grids."""
    fine, coarse = temperature(m), temperature(m - 2)
    index = nodes(count, fine.shape)
    at = np.column_stack([(index[:, 1] + 1) / CELLS, (index[:, 2] + 1) / CELLS, TIMES[index[:, 0]]])
    values, rough = (each[tuple(index.T)] for each in (fine, coarse))
    # The difference is of order 1.
    error = difference(rough, values) * (m - 2) / 2
    return Reference(at, values[:, None].astype(np.float32), error, f"finite volumes, {m * CELLS}² cells")


REFERENCES = {"pinnacle/heat2d-vc": reference}
