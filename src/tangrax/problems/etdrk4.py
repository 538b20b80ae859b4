"""ETDRK4: Runge and Kutta's method of order 4 for u' = Lu + N(u) with a diagonal L that is integrated exactly."""

from collections.abc import Callable

import numpy as np

Array = np.ndarray


class Etdrk4:
    """One step of length `step`.

    Cox and Matthews, J. Comput. Phys. 176 (2002), 430-455, equations 26 to 29; the coefficients as means over circles
    round hL: Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005), 1214-1233.
    """

    def __init__(self, linear: Array, nonlinear: Callable[[Array, float], Array], step: float, nodes: int = 32):
        self.nonlinear, self.step = nonlinear, step
        scaled = step * linear
        self.full, self.half = np.exp(scaled), np.exp(scaled / 2)
        weights = [np.zeros(scaled.shape, complex) for _ in range(4)]
        for angle in 2 * np.pi * (np.arange(nodes) + 0.5) / nodes:
            z = scaled + np.exp(1j * angle)
            e = np.exp(z)
            weights[0] += (np.exp(z / 2) - 1) / z
            weights[1] += (-4 - z + e * (4 - 3 * z + z**2)) / z**3
            weights[2] += 2 * (2 + z + e * (z - 2)) / z**3
            weights[3] += (-4 - 3 * z - z**2 + e * (4 - z)) / z**3
        means = (step / nodes * each for each in weights)
        coefficients = means if np.iscomplexobj(linear) else map(np.real, means)
        self.middle, self.first, self.second, self.last = coefficients

    def __call__(self, u: Array, t: float) -> Array:
        """Return u at t + step from u at t."""
        mid, end = t + self.step / 2, t + self.step
        n = self.nonlinear(u, t)
        a = self.half * u + self.middle * n
        at_a = self.nonlinear(a, mid)
        at_b = self.nonlinear(self.half * u + self.middle * at_a, mid)
        at_c = self.nonlinear(self.half * a + self.middle * (2 * at_b - n), end)
        return self.full * u + self.first * n + self.second * (at_a + at_b) + self.last * at_c

    def march(self, u: Array, steps: int, every: int) -> Array:
        """Return u at t = 0 and after each `every` steps: (1 + steps / every, …)."""
        snapshots = [u]
        for i in range(steps):
            u = self(u, i * self.step)
            if (i + 1) % every == 0:
                snapshots.append(u)
        return np.stack(snapshots)
