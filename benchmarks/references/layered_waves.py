"""Waves in a plate whose stiffness has two values: finite volumes, the pixels' edges being faces, and leapfrog.

Where pixels meet at corners, ∇u is unbounded, so that the order is between 1 and 2. It is measured on three grids, and
the two finest extrapolated by it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from tangrax.problems.pinnacle.rough_coefficients import PIXELS, positive

from .reference import Reference, difference, nodes

CELLS = PIXELS - 1
TIMES = 50  # from 0 to 5; where values are kept
END = 5.0


def weights(m: int) -> list[np.ndarray]:
    """Return c/h² of the faces to the next and the last neighbor along x, then y, x first, of m times the pixels."""
    nearest = (np.arange(m * CELLS + 1) + m // 2) // m
    c = np.where(positive(), 12.0, 1.0).T[np.ix_(nearest, nearest)]
    found = []
    for rows in (c, c.T):
        face = 2 * rows[1:] * rows[:-1] / (rows[1:] + rows[:-1]) * (m * CELLS / 2) ** 2
        following, last = (np.pad(face, sides) for sides in (((0, 1), (0, 0)), ((1, 0), (0, 0))))
        following[0] *= 2  # volumes on the sides are halves
        last[-1] *= 2
        found += [each if rows is c else each.T for each in (following, last)]
    return found


def displacement(m: int, steps: int | None = None) -> np.ndarray:
    """Return u at the times and the pixels' centers, (TIMES, 256, 256), x before y; `steps` between two times."""
    steps = 64 * m if steps is None else steps  # 4 % below what is stable
    dt = END / (TIMES * steps)
    x = np.linspace(-1, 1, m * CELLS + 1)
    start = np.exp(-((x[:, None] + 0.5) ** 2 + x**2) / (2 * 0.3**2))
    with jax.enable_x64(True):
        right, left, up, down = (jnp.asarray(dt**2 * each) for each in weights(m))

        def accelerated(u):
            """dt² div(c ∇u); there is a frame round u whose values do not matter."""
            inner = u[1:-1, 1:-1]
            along = right * (u[2:, 1:-1] - inner) + left * (u[:-2, 1:-1] - inner)
            return along + up * (u[1:-1, 2:] - inner) + down * (u[1:-1, :-2] - inner)

        def step(_, state):
            u, change = state
            u = u.at[1:-1, 1:-1].add(change)
            return u, change + accelerated(u)

        u = jnp.pad(jnp.asarray(start), 1)
        state = u, accelerated(u) / 2  # at rest, so that the first step is half of the others'
        march = jax.jit(lambda state: jax.lax.fori_loop(0, steps, step, state))
        kept = []
        for _ in range(TIMES):
            state = march(state)
            kept.append(np.asarray(state[0][1:-1:m, 1:-1:m]))
    return np.stack(kept)


def order(coarse: np.ndarray, middle: np.ndarray, fine: np.ndarray, cells: tuple[int, int, int]) -> float:
    """Return the p by which three values are u + const cells⁻ᵖ, by what the differences have in common."""
    ratio = np.vdot(coarse - middle, middle - fine) / np.vdot(middle - fine, middle - fine)
    a, b, c = cells
    return float(brentq(lambda p: (a**-p - b**-p) / (b**-p - c**-p) - ratio, 0.2, 6.0))


def extrapolated(middle: np.ndarray, fine: np.ndarray, cells: tuple[int, int], p: float) -> np.ndarray:
    """Return u of two values that are u + const cells⁻ᵖ."""
    ratio = (cells[1] / cells[0]) ** p
    return fine + (fine - middle) / (ratio - 1)


def reference(cells: tuple[int, int, int] = (3, 5, 7), count: int = 5000) -> Reference:
    """Return values extrapolated from three grids; the error is what the two coarser ones have, extrapolated alike."""
    index = nodes(count, (TIMES, PIXELS, PIXELS))
    found = [displacement(m)[tuple(index.T)] for m in cells]
    p = order(*found, cells)
    values = extrapolated(*found[1:], cells[1:], p)
    error = difference(extrapolated(*found[:2], cells[:2], p), values)
    at = np.column_stack([2 * index[:, 1] / CELLS - 1, 2 * index[:, 2] / CELLS - 1, END * (index[:, 0] + 1) / TIMES])
    method = f"finite volumes, {' and '.join(f'{m * CELLS}²' for m in cells[1:])} cells, extrapolated by order {p:.2f}"
    return Reference(at, values[:, None].astype(np.float32), error, method)


REFERENCES = {"pinnacle/wave2d-cg": reference}
