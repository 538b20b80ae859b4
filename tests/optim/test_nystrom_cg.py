"""Preconditioned conjugate gradients and the sketch behind them against NumPy's dense solves."""

import jax.numpy as jnp
import numpy as np
import pytest

from tangrax.optim.second_order.nystrom_cg import Nystrom, conjugate_gradients
from tangrax.parallel import Local

draw = np.random.default_rng(0)
SIZE = 60


def matrix(decades):
    """Positive definite, with eigenvalues evenly spread over so many powers of ten."""
    basis, _ = np.linalg.qr(draw.standard_normal((SIZE, SIZE)))
    return (basis * np.logspace(0, -decades, SIZE)) @ basis.T


def test_low_rank_is_exact():
    """A matrix of rank 7 from its products with 12 vectors."""
    half = draw.standard_normal((SIZE, 7))
    A = half @ half.T
    draws = draw.standard_normal((12, SIZE))
    actual = Nystrom.of(jnp.asarray(draws), jnp.asarray(draws @ A))
    vectors, values = np.asarray(actual.vectors), np.asarray(actual.values)
    np.testing.assert_allclose((vectors * values) @ vectors.T, A, atol=1e-10 * np.linalg.norm(A))
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(12), atol=1e-12)
    np.testing.assert_allclose(values[:7], np.linalg.eigvalsh(A)[::-1][:7], rtol=1e-9)


def solve(A, b, damping, rank, iterations=1000):
    draws = draw.standard_normal((rank, SIZE))
    numbers = map(jnp.asarray, (b, damping, draws, draws @ A))
    return conjugate_gradients(lambda v: jnp.asarray(A) @ v, *numbers, 1e-12, iterations, Local())


@pytest.mark.parametrize("damping", [1e-2, 1e-7])
def test_solution(damping):
    """The preconditioner spares most iterations."""
    A, b = matrix(10), draw.standard_normal(SIZE)
    actual, plain = solve(A, b, damping, 40), solve(A, b, damping, 1)
    expected = np.linalg.solve(A + damping * np.eye(SIZE), b)
    assert bool(actual.converged) and int(actual.iterations) < int(plain.iterations) / 2
    np.testing.assert_allclose(actual.vector, expected, rtol=1e-7, atol=1e-9 * np.linalg.norm(expected))


def test_too_few_iterations():
    actual = solve(matrix(6), draw.standard_normal(SIZE), 1e-7, 2, iterations=3)
    assert not bool(actual.converged) and int(actual.iterations) == 3 and np.all(np.isfinite(actual.vector))
