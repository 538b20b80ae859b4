"""Random maps against SciPy's cosine transform and their defining properties."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

from tangrax.jacobian.gram import Chunk
from tangrax.optim.second_order.residual_gradients import BucketGradients
from tangrax.optim.second_order.sketch import CosineSketch, count_sketch


def test_cosines():
    space = CosineSketch.sample(jax.random.key(3), 17, 6, jnp.float64)
    rows = jnp.asarray(np.random.default_rng(0).standard_normal((4, 17)))
    signs, chosen = np.asarray(space.signs), np.asarray(space.indices)
    assert set(np.abs(signs)) == {1.0} and len(set(chosen)) == space.size == 6
    np.testing.assert_allclose(
        space.of(rows), scipy.fft.dct(np.asarray(rows) * signs, norm="ortho")[:, chosen], atol=1e-14
    )
    coordinates = jnp.asarray(np.random.default_rng(1).standard_normal((3, 6)))
    back = space.back(coordinates)
    np.testing.assert_allclose(space.of(back), coordinates, atol=1e-14)  # orthonormal
    np.testing.assert_allclose(back @ rows.T, coordinates @ space.of(rows).T, atol=1e-13)  # the transpose


def test_buckets():
    """One bucket and one sign a row, by the number of its point, however rows come."""
    key, index = jax.random.key(5), jnp.arange(40)
    matrix = np.asarray(count_sketch(key, index, 2, jnp.eye(80), 16))
    assert np.all(np.sum(matrix != 0, axis=0) == 1) and set(np.unique(matrix)) == {-1.0, 0.0, 1.0}
    assert np.count_nonzero(np.any(matrix != 0, axis=1)) >= 12  # of 16 buckets, nearly all are used
    rows = jnp.asarray(np.random.default_rng(0).standard_normal((80, 3)))
    whole = np.asarray(count_sketch(key, index, 2, rows, 16))
    np.testing.assert_allclose(whole, matrix @ rows, atol=1e-13)
    halves = [count_sketch(key, part, 2, rows[2 * part[0] : 2 * part[-1] + 2], 16) for part in jnp.split(index, [13])]
    np.testing.assert_allclose(sum(map(np.asarray, halves)), whole, atol=1e-13)


def test_residual_gradients():
    """(S J)ᵀ S w of the residuals of two parts, S being what sums up identities."""
    draw, key = np.random.default_rng(3), jax.random.key(6)
    sums = [np.asarray(count_sketch(jax.random.fold_in(key, k), jnp.arange(10), 2, jnp.eye(20), 9)) for k in (0, 1)]
    J, w = draw.standard_normal((2, 20, 3)), draw.standard_normal((2, 4, 20))
    gradients = BucketGradients(jnp.asarray(sums[0] @ J[0] + sums[1] @ J[1]), key, (2, 2))
    total = gradients.empty(4)
    for part in (0, 1):
        for index in jnp.split(jnp.arange(10), [4]):
            rows = slice(2 * int(index[0]), 2 * int(index[-1]) + 2)
            chunk = Chunk(None, jnp.ones(2 * len(index), bool), index)
            total = gradients.add(total, part, chunk, jnp.asarray(w[part, :, rows]))
    expected = (w[0] @ sums[0].T + w[1] @ sums[1].T) @ (sums[0] @ J[0] + sums[1] @ J[1])
    np.testing.assert_allclose(gradients.finish(total), expected, atol=1e-12)


def test_buckets_keep_lengths():
    """In the mean over draws: E‖S v‖² = ‖v‖²."""
    v = jnp.asarray(np.random.default_rng(2).standard_normal((30, 1)))
    of = jax.jit(lambda key: jnp.sum(count_sketch(key, jnp.arange(30), 1, v, 12) ** 2))
    lengths = np.asarray(jax.vmap(of)(jax.random.split(jax.random.key(0), 2000)))
    assert abs(lengths.mean() - np.sum(v**2)) < 4 * lengths.std() / np.sqrt(2000)
