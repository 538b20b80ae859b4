"""exp(-At) b for a symmetric A ≥ 0, from a few solves with one shift."""

from collections.abc import Callable

import numpy as np

Map = Callable[[np.ndarray], np.ndarray]


def decaying(
    inverse: Map, b: np.ndarray, times: np.ndarray, shift: float, steps: int, weigh: Map = lambda v: v
) -> np.ndarray:
    """Return exp(-At) b at times, (times, …), by Lanczos on (1 + shift A)⁻¹.

    Moret and Novati, BIT 44 (2004), 595-615; van den Eshof and Hochbruck, SIAM J. Sci. Comput. 27 (2006), 1438-1457.

    Args:
        inverse: gives (1 + shift A)⁻¹ v.
        b: start, of any shape.
        times: (times,), all above 0.
        shift: best about a tenth of the times that matter.
        steps: solves.
        weigh: gives M v of the inner product v·M v in which A is symmetric.
    """

    def product(v: np.ndarray, w: np.ndarray) -> float:
        return float(np.vdot(v, weigh(w)))

    size = np.sqrt(product(b, b))
    basis, matrix = [b / size], np.zeros((steps, steps))
    for j in range(steps):
        w = inverse(basis[j])
        for _ in range(2):  # once more, as the first leaves rounding errors
            for i, v in enumerate(basis):
                part = product(v, w)
                matrix[i, j] += part
                w = w - part * v
        if j + 1 < steps:
            matrix[j + 1, j] = np.sqrt(product(w, w))
            basis.append(w / matrix[j + 1, j])
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    rates = (1 / values - 1) / shift
    weights = size * (np.exp(-np.outer(times, rates)) * vectors[0]) @ vectors.T
    return np.tensordot(weights, np.stack(basis), 1)
