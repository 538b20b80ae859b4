"""`eval` beyond what it is meant for: refused in words of the user's, or right; NumPy is the oracle."""

import numpy as np
import optax
import pytest

import tangrax as tx


@pytest.fixture(scope="module")
def problem(devices):
    x, _ = tx.domain.line(n=10, seed=1).variable("interior")
    net = tx.nn.mlp(1, width=4, depth=1, key=1)
    u = net(x) * 3
    settings = {"optimizer": optax.adam(1e-2), "devices": devices, "memory_limit": 2**20}
    double, single = (tx.core({"fit": u.mse}, dtype=dtype, **settings) for dtype in ("float64", "float32"))
    return double, single, x, u, net


REFUSED = {
    "no points": (np.zeros((0, 1)), ValueError, "at least one"),
    "an empty list": ([], ValueError, "at least one"),
    "NaN": ([[0.5], [np.nan]], ValueError, "not finite, the first in row 1"),
    "infinity": ([[np.inf]], ValueError, "not finite"),
    "a masked entry": (np.ma.masked_array([[0.5]], [[True]]), ValueError, "masked"),
    "complex numbers": (np.array([[0.5j]]), TypeError, "complex"),
    "dates": (np.array([["2026-01-01"]], "datetime64[D]"), TypeError, "times with a unit"),
    "text": (np.array([["left"]]), ValueError, "points for 'interior': give real numbers"),
    "an integer beyond float64": ([[10**400]], ValueError, "points for 'interior': give real numbers"),
    "rows of several lengths": ([[0.5], [0.5, 0.5]], ValueError, "points for 'interior': give real numbers"),
    "objects": (np.array([[object()]]), ValueError, "points for 'interior': give real numbers"),
    "three axes": (np.zeros((2, 1, 1)), ValueError, "one row per point"),
    "a number": (0.5, ValueError, "one row per point"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_points_is_refused(what, problem):
    solver, _, _, u, _ = problem
    points, kind, words = REFUSED[what]
    with pytest.raises(kind, match=words):
        solver.eval(u, points={"interior": points})


def forward(solver, points):
    """The network in NumPy, float64."""
    (tree,) = solver.training.parameters.values()
    (hidden,), last = tree.layers, tree.output_layer
    array = lambda leaf: np.asarray(leaf, np.float64)
    inside = np.tanh(points @ array(hidden.weight).T + array(hidden.bias))
    return 3 * (inside @ array(last.weight).T + array(last.bias))[:, 0]


def test_points_outside_and_of_other_types_are_evaluated_as_numbers(problem):
    """The domain is (0, 1); a field is a formula, and has values everywhere."""
    solver, _, _, u, _ = problem
    for points in (np.array([[-5.0], [7.0]]), np.array([[3], [-2]]), np.float16([[0.5]]), np.longdouble([[0.25]])):
        actual = solver.eval(u, points={"interior": points})
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, forward(solver, np.float64(points)), rtol=1e-12)


def test_numbers_beyond_float32_are_refused_there_alone(problem):
    """1e39 is a number of float64; in float32 it would become infinite."""
    double, single, x, *_ = problem
    points = {"interior": [[0.5], [1e39]]}
    np.testing.assert_array_equal(double.eval(2 * x, points=points), [1, 2e39])
    with pytest.raises(ValueError, match=r"points of 'interior'.*beyond those of float32"):
        single.eval(2 * x, points=points)


def test_measured_numbers_beyond_float32_are_refused():
    cloud = tx.domain.cloud({"here": [[0.5], [0.7]]})
    x = cloud.variable("here")[0]
    measured = cloud.values("here", [1.0, 1e300])
    net = tx.nn.mlp(1, width=4, depth=1, key=1)
    with pytest.raises(ValueError, match="what was measured there, hold a number beyond those of float32"):
        tx.core({"fit": (net(x) - measured).mse}, optimizer=optax.adam(1e-2), dtype="float32").solve(1, progress=False)


def test_many_points_are_evaluated_in_chunks(problem):
    """A million at once would take 32 MB in the hidden layer alone; a megabyte is allowed."""
    solver, _, _, u, _ = problem
    points = np.linspace(-1, 2, 1_000_001)[:, None]
    actual = solver.eval(u, points={"interior": points})
    some = slice(None, None, 997)
    np.testing.assert_allclose(actual[some], forward(solver, points[some]), rtol=1e-12)


def test_results_too_large_are_refused_before_they_are_computed(problem):
    """By default more than 1 GiB; here in NumPy's bytes: 10,001 rows of 13 parameters, or of 10,001 points."""
    solver, _, _, u, net = problem
    J, points = u.grad(net), {"interior": np.linspace(0, 1, 10_001)[:, None]}
    with pytest.raises(ValueError, match=r"array of \(10001, 13\).*results up to"):
        solver.eval(J, points=points, limit=10_001 * 13 * 8 - 1)
    assert solver.eval(J, points=points, limit=10_001 * 13 * 8).shape == (10_001, 13)
    with pytest.raises(ValueError, match=r"array of \(20001, 20001\).*results up to 1.00 GiB"):
        solver.eval(J.gram(), points={"interior": np.linspace(0, 1, 20_001)[:, None]})
    with pytest.raises(ValueError, match=r"spectrum.* of 10001 rows and 13 parameters takes on each of .* more than"):
        solver.eval(J.spectrum(), points=points, limit=1000)
    with pytest.raises(ValueError, match="from 1 to P = 13"):
        solver.eval(J.spectrum(k=10**9))
