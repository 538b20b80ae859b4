"""The spectrum of the tangent kernel against NumPy, known singular values, and formulas worked out by hand."""

import jax
import numpy as np
import optax
import pytest
from marks import slow_but
from spectral import matrix_of, sharded

import tangrax as tx
from tangrax.jacobian import Spectrum
from tangrax.parallel import singular_values

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("rows, columns", [(41, 7), (7, 41), (13, 13), (1, 5), (5, 1), (2, 30), (97, 96)])
def test_singular_values(rows, columns, devices):
    """Tall, wide and square; shards with fewer rows than columns, and with none of their own."""
    values = np.geomspace(1, 1e-12, min(rows, columns))
    actual = singular_values(sharded(matrix_of(values, rows, columns), devices))
    assert actual.shape == values.shape
    np.testing.assert_allclose(actual, values, rtol=1e-10, atol=8 * EPS)


def test_small_singular_values_survive(devices):
    """κ(K) = 1e28 is detectable, where K itself in float64 resolves 1e16."""
    values = np.geomspace(1, 1e-14, 40)
    matrix = matrix_of(values, 60, 80)
    actual = Spectrum(singular_values(sharded(matrix, devices)), 60, 80, EPS)
    np.testing.assert_allclose(actual.eigenvalues[:40], values**2, rtol=0.2)
    assert actual.detectable == 40
    right = np.abs(actual.eigenvalues[:40] / values**2 - 1) <= 0.01
    assert np.all(right[: actual.resolved]) and 30 < actual.resolved < 40
    squared = np.linalg.eigvalsh(matrix @ matrix.T)[::-1]
    assert np.abs(squared[39] / values[39] ** 2 - 1) > 100, "forming K loses them"


def test_what_is_not_resolved_is_said():
    """Noise below the floor is counted as such, on several sizes and seeds."""
    for seed, (rows, columns) in enumerate([(30, 50), (200, 100), (128, 300)]):
        values = np.geomspace(1, 1e-9, 20)
        matrix = matrix_of(values, rows, columns, seed)
        actual = Spectrum(singular_values(sharded(matrix, 3)), rows, columns, EPS)
        assert actual.resolved == 20
        assert not actual.condition.exact or rows > columns
        if rows <= columns:
            assert f"{rows - 20} of {rows} eigenvalues" in str(actual.condition)
            # The smallest computed one is noise, and may be as much larger as its error.
            assert 1 / (6 * EPS) ** 2 < actual.condition.value <= 1 / (4 * EPS) ** 2
        else:
            assert actual.condition.value == np.inf and "rank 100 at most" in str(actual.condition)


def test_resolved_and_detectable_are_two_counts():
    """σ = 1e-14 has an error of 4 ε, 9 %: its square is no zero, and known to 20 % alone. The text says so."""
    actual = Spectrum(np.array([1.0, 0.1, 1e-14]), 3, 9, EPS)
    text = str(actual)
    assert "resolved to 1 %     2 of 3 eigenvalues" in text and "detectable          3 of 3," in text
    assert "(1 of 3 eigenvalues are not resolved to 1 %)" in text and not actual.condition.exact


def test_formulas():
    """Eigenvalues 4, 2, 1, 1 of a kernel of four points."""
    actual = Spectrum(np.sqrt([4.0, 2.0, 1.0, 1.0]), 4, 9, EPS)
    assert actual.largest == pytest.approx(4) and actual.trace == pytest.approx(8)
    assert actual.effective_rank == pytest.approx(64 / 22)
    # p = 1/2, 1/4, 1/8, 1/8: an entropy of 1.75 bits.
    assert actual.entropy_rank == pytest.approx(2**1.75)
    assert actual.effective_dimension(1.0) == pytest.approx(4 / 5 + 2 / 3 + 1 / 2 + 1 / 2)
    assert actual.damped_condition(2.0) == pytest.approx(6 / 3)
    assert actual.condition.exact and float(actual.condition) == pytest.approx(4)
    assert [actual.numerical_rank(t) for t in (0.9, 0.4, 0.2)] == [1, 2, 4]
    assert actual.numerical_rank() == 4
    # Five points and three parameters: two more eigenvalues, which are zero.
    tall = Spectrum(np.sqrt([4.0, 2.0, 1.0]), 5, 3, EPS)
    assert tall.damped_condition(2.0) == pytest.approx(3)
    assert tall.condition.value == np.inf


def test_a_jacobian_of_zeros():
    actual = Spectrum(np.zeros(3), 3, 5, EPS)
    assert (actual.effective_rank, actual.entropy_rank, actual.resolved) == (0.0, 0.0, 0)
    assert "at least inf" in str(actual)


@pytest.mark.parametrize("call", [lambda s: s.effective_dimension(0.0), lambda s: s.damped_condition(-1.0)])
def test_damping_is_positive(call):
    with pytest.raises(ValueError, match="damping="):
        call(Spectrum(np.ones(2), 2, 2, EPS))


def test_ranks_of_rounding_are_refused():
    with pytest.raises(ValueError, match="what lies below is rounding"):
        Spectrum(np.ones(2), 2, 2, EPS).numerical_rank(1e-40)


def problem(width):
    x, _ = tx.domain.line(mesh_size=1 / 30).variable("interior")
    net = tx.nn.mlp(1, width=width, depth=2, key=0)
    u = net(x) * x
    return x, net, u, -u.d2(x) - tx.np.sin(np.pi * x)


@pytest.mark.parametrize("width", slow_but([3, 9], 3), ids=["more points", "more parameters"])
def test_of_a_problem(width, devices):
    """By `solver.eval`: fields and residuals, groups, masks, among other nodes and at other points."""
    x, net, u, pde = problem(width)
    solver = tx.core([pde.mse], optimizer=optax.adam(1e-3), devices=devices, dtype="float64")
    J, some = u.grad(net), x < 0.35
    residual = pde.grad(net)
    whole, rows, group, of_residual, values = solver.eval(
        [J.spectrum(), J, J[some].spectrum(), residual.spectrum(), residual]
    )
    np.testing.assert_allclose(whole.singular_values, np.linalg.svd(rows, compute_uv=False), atol=1e-13)
    assert (whole.rows, whole.columns) == rows.shape
    chosen = rows[solver.eval(some)]
    assert group.rows == len(chosen) < 29
    np.testing.assert_allclose(group.singular_values, np.linalg.svd(chosen, compute_uv=False), atol=1e-13)
    expected = np.linalg.svd(values, compute_uv=False)
    np.testing.assert_allclose(of_residual.singular_values, expected, atol=1e-13 * expected[0])
    K = rows @ rows.T
    assert whole.effective_rank == pytest.approx(np.trace(K) ** 2 / np.sum(K**2))

    tree = jax.tree.map(lambda leaf: leaf.ndim == 2, net.params)
    masked, masked_rows = solver.eval([u.grad(net.mask(tree)).spectrum(), u.grad(net.mask(tree))])
    np.testing.assert_allclose(masked.singular_values, np.linalg.svd(masked_rows, compute_uv=False), atol=1e-13)
    new = {"interior": np.linspace(0, 1, 5)[:, None]}
    elsewhere = solver.eval(J.spectrum(), points=new)
    np.testing.assert_allclose(
        elsewhere.singular_values, np.linalg.svd(solver.eval(J, points=new), compute_uv=False), atol=1e-13
    )


def test_components_are_rows(devices):
    x, _ = tx.domain.line(mesh_size=1 / 8).variable("interior")
    net = tx.nn.mlp(1, outputs=2, width=4, depth=1, key=0)
    solver = tx.core([net(x).mse], optimizer=optax.adam(1e-3), devices=devices, dtype="float64")
    actual, rows = solver.eval([net(x).grad(net).spectrum(), net(x).grad(net)])
    assert rows.shape[:2] == (7, 2) and actual.rows == 14
    expected = np.linalg.svd(rows.reshape(14, -1), compute_uv=False)
    np.testing.assert_allclose(actual.singular_values, expected, atol=1e-13)


def test_float32_says_what_it_resolves():
    x, _ = tx.domain.line(mesh_size=1 / 60).variable("interior")
    net = tx.nn.mlp(1, width=8, depth=2, key=0)
    J = net(x).grad(net)
    low, high = (
        tx.core([net(x).mse], optimizer=optax.adam(1e-3), devices=2, dtype=dtype).eval(J.spectrum())
        for dtype in ("float32", "float64")
    )
    assert low.resolved < high.resolved < 59
    np.testing.assert_allclose(low.eigenvalues[: low.resolved], high.eigenvalues[: low.resolved], rtol=0.5)
    assert low.effective_rank == pytest.approx(high.effective_rank, rel=1e-4)
    assert low.condition.value < high.condition.value and not low.condition.exact


def test_refusals():
    x, net, u, _ = problem(4)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1, dtype="float64")
    with pytest.raises(TypeError, match="only a Jacobian has one"):
        u.spectrum()
    with pytest.raises(ValueError, match=r"spectrum\(\) of 29 rows and 33 parameters takes .* higher limit="):
        solver.eval(u.grad(net).spectrum(), limit=1000)
    with pytest.raises(ValueError, match="holds none of the 29 points"):
        solver.eval(u.grad(net)[x > 2].spectrum())


@pytest.mark.parametrize("error", [0.0, 1e-13])
def test_the_floor_is_where_rounding_may_be_one_percent(error):
    """The eigenvalue s² that is wrong by 1 % where s is off by four ulps of the largest, and K by `error`."""
    actual = Spectrum(np.array([3.0, 1.0]), 2, 2, EPS, error)
    s, rounding = np.sqrt(actual.floor), 4 * EPS * 3.0
    assert (2 * s * rounding + rounding**2 + error) / actual.floor == pytest.approx(0.01, rel=1e-9)
