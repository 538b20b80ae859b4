"""Where points come from: low-discrepancy sequences, the same for every layout of devices."""

import numpy as np
from jaxtyping import Float
from scipy.stats import qmc


def sobol(count: int, dimension: int, seed: int) -> Float[np.ndarray, "count dimension"]:
    """The first `count` points of a scrambled Sobol sequence in the unit cube; point i depends on i and seed alone."""
    exponent = max(0, int(np.ceil(np.log2(count))))
    return qmc.Sobol(dimension, scramble=True, rng=seed).random_base2(exponent)[:count]
