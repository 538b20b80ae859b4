"""Matrices whose singular values are known, and their rows on devices."""

import numpy as np

from tangrax.parallel import Layout, ShardedRows, make_transport


def sharded(matrix, devices):
    transport = make_transport(devices)
    layout = Layout(len(matrix), devices)
    # Two arrays side by side, as of two weights.
    blocks = [transport.place(layout.pad(part)) for part in np.split(matrix, [matrix.shape[1] // 3], axis=1)]
    return ShardedRows(blocks, layout, transport)


def matrix_of(values, rows, columns, seed=0):
    """A matrix with these singular values."""
    draw = np.random.default_rng(seed)
    left = np.linalg.qr(draw.standard_normal((rows, len(values))))[0]
    right = np.linalg.qr(draw.standard_normal((columns, len(values))))[0]
    return (left * values) @ right.T
