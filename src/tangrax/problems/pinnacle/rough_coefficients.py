"""Coefficients that jump: two values by the sign of a random field, and a value for each of 5 x 5 blocks."""

import functools

import jax.numpy as jnp
import numpy as np

from ... import numpy as tnp
from ...expr import Node

PIXELS = 256  # along each axis, the first and the last on the sides
FIELD_SEED, BLOCK_SEED = 20220722, 5


@functools.cache
def positive() -> np.ndarray:
    """Return where a random field is above 0, (256, 256), the first index along y.

    Complex normal numbers, real parts drawn first, times 1/k² of integer frequencies, transformed back: PINNacle's
    recipe and seed.
    """
    draw = np.random.RandomState(FIELD_SEED)
    noise = draw.normal(size=(PIXELS, PIXELS)) + 1j * draw.normal(size=(PIXELS, PIXELS))
    k = np.fft.fftfreq(PIXELS, 1 / PIXELS)
    square = k[:, None] ** 2 + k[None] ** 2
    square[0, 0] = np.inf
    return np.fft.ifft2(noise / square).real > 0


def two_valued(x: Node, y: Node, low: float, high: float, lower: float, upper: float) -> Node:
    """Return `high` where the random field over [lower, upper]² is positive at the nearest pixel, else `low`."""
    table = np.where(positive(), high, low)

    def nearest(x, y):
        row, column = (jnp.rint((PIXELS - 1) * (each - lower) / (upper - lower)).astype(int) for each in (y, x))
        return jnp.asarray(table)[jnp.clip(row, 0, PIXELS - 1), jnp.clip(column, 0, PIXELS - 1)]

    return tnp.function(nearest, [x, y], pointwise=True)


def blocks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a, from 0.1 to 100 with an even logarithm, f₀ and f₁, even from -1 to 1, of 5 x 5 blocks, x first."""
    draw = np.random.default_rng(BLOCK_SEED)
    return 10 ** draw.uniform(-1, 2, (5, 5)), draw.uniform(-1, 1, (5, 5)), draw.uniform(-1, 1, (5, 5))


def blockwise(x: Node, y: Node) -> tuple[Node, Node, Node]:
    """Return a, f₀ and f₁ of the block of [-10, 10]² that a point lies in."""
    tables = blocks()

    def of_block(x, y):
        column, row = (jnp.clip(jnp.floor((each + 10) / 4).astype(int), 0, 4) for each in (x, y))
        return jnp.stack([jnp.asarray(table)[column, row] for table in tables])

    values = tnp.function(of_block, [x, y], pointwise=True)
    return values[0], values[1], values[2]
