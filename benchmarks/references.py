"""Solutions to compare with where none is an expression: float64, by methods that know nothing of networks."""

import functools
import math

import numpy as np
from numpy.polynomial.hermite import hermgauss

VISCOSITY = 0.01 / math.pi
DIFFUSION = 1e-4
MODES, STEPS = 2048, 2000  # of Allen-Cahn: half of the modes change it by 6e-7 at the first steps, by 1e-11 later


def burgers(x: np.ndarray, t: np.ndarray, nodes: int = 200) -> np.ndarray:
    """u_t + u u_x = ν u_xx, u(x, 0) = -sin(πx), ν = 0.01/π, at points (x, t).

    Cole-Hopf: u is the mean of -sin(πy), y = x - z, over the heat kernel in z times exp(-cos(πy)/(2πν)). Gauss and
    Hermite's rule, as in Basdevant et al., Computers and Fluids 14 (1986), 23-41.
    """
    z, weights = hermgauss(nodes)
    y = x[:, None] - np.sqrt(4 * VISCOSITY * t)[:, None] * z
    # The largest exponent is zero, so that nothing overflows.
    heat = weights * np.exp(-(1 + np.cos(math.pi * y)) / (2 * math.pi * VISCOSITY))
    return -np.sum(heat * np.sin(math.pi * y), axis=1) / np.sum(heat, axis=1)


def allen_cahn(x: np.ndarray, t: np.ndarray, modes: int = MODES, steps: int = STEPS) -> np.ndarray:
    """u_t = 1e-4 u_xx + 5 (u - u³), u(x, 0) = x² cos(πx), periodic on (-1, 1).

    At points (x, t) whose times are multiples of 1/steps.
    """
    number = np.rint(t * steps).astype(int)
    if not np.allclose(number, t * steps, rtol=0, atol=1e-9):
        raise ValueError(f"allen_cahn: times must be multiples of 1/{steps}, the step of time")
    found = np.empty(len(x))
    for step in np.unique(number):
        at = number == step
        found[at] = np.cos(math.pi * np.outer(x[at], np.arange(modes + 1))) @ cosines(modes, steps)[step]
    return found


@functools.lru_cache(maxsize=4)
def cosines(modes: int, steps: int) -> np.ndarray:
    """Coefficients of cos(kπx), k = 0 … modes, of the Allen-Cahn solution after 0, 1, …, `steps` steps to t = 1.

    It stays even. Galerkin's method in space, the cube free of aliasing; ETDRK4 in time, its coefficients by means over
    a circle: Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005), 1214-1233.
    """
    size, step = 4 * modes, 1 / steps
    k = np.arange(modes + 1)
    linear = step * (5 - DIFFUSION * (math.pi * k) ** 2)
    full, half = np.exp(linear), np.exp(linear / 2)
    circle = np.exp(2j * math.pi * (np.arange(32) + 0.5) / 32)
    z = linear[:, None] + circle
    middle, first, second, last = (
        step * np.mean(values, axis=1).real
        for values in (
            (np.exp(z / 2) - 1) / z,
            (-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3,
            (2 + z + np.exp(z) * (z - 2)) / z**3,
            (-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3,
        )
    )

    def cubed(c: np.ndarray) -> np.ndarray:
        """Coefficients of -5u³, from those of u."""
        u = np.fft.irfft(np.concatenate([c[:1], c[1:] / 2]), size) * size
        spectrum = np.fft.rfft(-5 * u**3)[: modes + 1].real / size
        return np.concatenate([spectrum[:1], 2 * spectrum[1:]])

    c = np.empty((steps + 1, modes + 1))
    c[0] = (_moments(k + 1) + _moments(np.abs(k - 1))) / 2
    c[0, 0] /= 2
    for i in range(steps):
        n = cubed(c[i])
        a = half * c[i] + middle * n
        at_a = cubed(a)
        at_b = cubed(half * c[i] + middle * at_a)
        at_c = cubed(half * a + middle * (2 * at_b - n))
        c[i + 1] = full * c[i] + first * n + 2 * second * (at_a + at_b) + last * at_c
    return c


def _moments(m: np.ndarray) -> np.ndarray:
    """∫ x² cos(mπx) over (-1, 1)."""
    return np.where(m == 0, 2 / 3, 4 * (-1.0) ** m / (math.pi * np.maximum(m, 1)) ** 2)
