"""Waves in a plate whose stiffness has two values: finite volumes, the pixels' edges being faces, and leapfrog."""

import functools

import numpy as np

from tangrax.problems.pinnacle.rough_coefficients import PIXELS, positive

from .reference import Reference, difference, nodes

CELLS = PIXELS - 1
TIMES = 50  # from 0 to 5; where values are kept
END = 5.0


def stiffness(m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return c between neighbors along x and y, x first, on a grid of m times the pixels' distance, m odd."""
    nearest = (np.arange(m * CELLS + 1) + m // 2) // m
    c = np.where(positive(), 12.0, 1.0).T[np.ix_(nearest, nearest)]
    return tuple(2 * p * q / (p + q) for p, q in ((c[1:], c[:-1]), (c[:, 1:], c[:, :-1])))


@functools.lru_cache(maxsize=2)
def displacement(m: int, steps: int) -> np.ndarray:
    """Return u at the times and the pixels' centers, (TIMES, 256, 256), x before y; `steps` between two times."""
    h, dt = 2 / (m * CELLS), END / (TIMES * steps)
    x = np.linspace(-1, 1, m * CELLS + 1)
    u = np.exp(-((x[:, None] + 0.5) ** 2 + x**2) / (2 * 0.3**2))
    rate = np.empty_like(u)
    scaled_x, scaled_y = (c * (dt / h) ** 2 for c in stiffness(m))

    def accelerated(u: np.ndarray) -> np.ndarray:
        """Return dt² div(c ∇u). Volumes on the sides are halves, without flux through the side."""
        flux = scaled_x * (u[1:] - u[:-1])
        rate[0], rate[-1] = 2 * flux[0], -2 * flux[-1]
        np.subtract(flux[1:], flux[:-1], out=rate[1:-1])
        flux = scaled_y * (u[:, 1:] - u[:, :-1])
        rate[:, 0] += 2 * flux[:, 0]
        rate[:, -1] -= 2 * flux[:, -1]
        rate[:, 1:-1] += flux[:, 1:] - flux[:, :-1]
        return rate

    change = accelerated(u) / 2  # at rest, so that the first step is half of the others'
    kept = []
    for step in range(TIMES * steps):
        u += change
        change += accelerated(u)
        if (step + 1) % steps == 0:
            kept.append(u[::m, ::m].copy())
    return np.stack(kept)


def reference(count: int = 5000) -> Reference:
    """Return values by 5 times the pixels along each axis; the error is by those of 3."""
    fine, coarse = displacement(5, 320), displacement(3, 192)
    index = nodes(count, fine.shape)
    at = np.column_stack([2 * index[:, 1] / CELLS - 1, 2 * index[:, 2] / CELLS - 1, END * (index[:, 0] + 1) / TIMES])
    values, rough = (each[tuple(index.T)] for each in (fine, coarse))
    error = difference(rough, values) * 1.5  # of order 1
    return Reference(at, values[:, None].astype(np.float32), error, f"finite volumes, {5 * CELLS}² cells, leapfrog")


REFERENCES = {"pinnacle/wave2d-cg": reference}
