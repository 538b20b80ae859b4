"""Steps and predicted reductions against NumPy's dense solves; which step is taken."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from tangrax.optim.second_order.trust_region import Model, damping_grid, largest_acceptable_step


def model_of(J, r):
    left, values, directions = np.linalg.svd(J, full_matrices=False)
    return Model(jnp.asarray(values), jnp.asarray(values * (left.T @ r)), jnp.asarray(directions))


@pytest.mark.parametrize("shape", [(12, 5), (4, 9)])
def test_steps(shape):
    """(JᵀJ + λ)⁻¹ Jᵀr, and what the linear model says it takes off."""
    draw = np.random.default_rng(0)
    J, r = draw.standard_normal(shape), draw.standard_normal(shape[0])
    λs = jnp.asarray([1e-3, 0.5, 40.0])
    model = model_of(J, r)
    expected = np.stack([-np.linalg.solve(J.T @ J + λ * np.eye(shape[1]), J.T @ r) for λ in λs])
    np.testing.assert_allclose(model.steps(λs), expected, rtol=1e-9, atol=1e-12)
    taken = r @ r - np.sum((r + expected @ J.T) ** 2, axis=1)
    np.testing.assert_allclose(model.predicted(λs), taken, rtol=1e-9)


@pytest.mark.parametrize("shape", [(12, 5), (4, 9)])
def test_corrections(shape):
    """They go to Jᵀ r(p) + λ p = 0, J being that of p = 0, where SciPy finds it; the first steps are elsewhere."""
    draw = np.random.default_rng(1)
    J, r, bend = draw.standard_normal(shape), draw.standard_normal(shape[0]), 0.05 * draw.standard_normal(shape)
    residuals = lambda p: r + J @ p + bend @ p**2
    λs = jnp.asarray([0.5, 40.0])
    model = model_of(J, r)
    steps = first = model.steps(λs)
    for _ in range(60):
        slopes = jnp.stack([jnp.asarray(J.T @ residuals(np.asarray(p))) for p in steps])
        steps = model.corrected(steps, slopes, λs)
    for λ, p, before in zip(np.asarray(λs), np.asarray(steps), np.asarray(first), strict=True):
        actual = scipy.optimize.root(lambda p, λ=λ: J.T @ residuals(p) + λ * p, before, tol=1e-13)
        assert actual.success
        np.testing.assert_allclose(p, actual.x, rtol=1e-8, atol=1e-10)
        assert np.linalg.norm(before - actual.x) > 1e-4 * np.linalg.norm(actual.x)


def test_singular_jacobians():
    """Zeros and numbers whose squares underflow: no step along them, and nothing that is not a number."""
    model = Model(jnp.asarray([2.0, 1e-200, 0.0]), jnp.asarray([2.0, 0.0, 0.0]), jnp.eye(3))
    steps = np.asarray(model.steps(jnp.asarray([1e-300, 1e-30])))
    np.testing.assert_allclose(steps, [[-0.5, 0, 0], [-0.5, 0, 0]])
    np.testing.assert_allclose(model.predicted(jnp.asarray([1e-300])), [1.0])


@pytest.mark.parametrize(
    "losses, predicted, index",
    [
        ([3.0, 0.95, 0.5, 0.7], [1.0, 0.9, 0.8, 0.5], 2),  # the farthest that does 0.075 of its promise
        ([0.9, 0.1, 0.2, 0.5], [1.0, 0.9, 0.8, 0.5], 0),  # though others are better
        ([np.nan, np.inf, 0.99, 0.98], [9.0, 9.0, 9.0, 9.0], 3),  # none does: the best
        ([1.0, 1.1, np.nan, 2.0], [1.0, 1.0, 1.0, 1.0], -1),  # none is better
    ],
)
def test_the_farthest(losses, predicted, index):
    chosen = largest_acceptable_step(jnp.asarray(1.0), jnp.asarray(losses), jnp.asarray(predicted), 0.075)
    assert int(chosen.index) == index
    if index >= 0:
        assert float(chosen.ratio) == pytest.approx((1 - losses[index]) / predicted[index])


def test_dampings():
    actual = damping_grid(1e-3, (-2.0, 1.0), 4, 5e-5)
    np.testing.assert_allclose(actual, [5e-5, 1e-4, 1e-3, 1e-2])
