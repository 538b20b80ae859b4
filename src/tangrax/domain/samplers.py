"""Where points come from: low-discrepancy sequences, the same for every layout of devices."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

FINE = 52  # bits of a float64 below 1: points of two sequences do not meet by rounding


def sobol(
    count: int, dimension: int, seed: int | Sequence[int], bits: int = 30
) -> Float[np.ndarray, "count dimension"]:
    """The first `count` points of a scrambled Sobol sequence in the unit cube; point i depends on i and seed alone.

    Coordinates are multiples of 2^-bits.
    """
    exponent = max(0, int(np.ceil(np.log2(count))))
    random = np.random.default_rng(seed)
    return qmc.Sobol(dimension, scramble=True, bits=bits, rng=random).random_base2(exponent)[:count]
