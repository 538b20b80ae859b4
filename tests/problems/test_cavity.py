"""The published values of the cavity against finite differences, and the hard constraints of ψ on the walls."""

import numpy as np
import optax
import pytest
from scipy.interpolate import CubicSpline

import tangrax as tx
from tangrax.problems import cavity

# Ghia, Ghia and Shin, J. Comput. Phys. 48 (1982), 387-411, tables I and II: u on x = 1/2 and v on y = 1/2.
U = np.array(
    [
        (0.0547, -0.03717), (0.0625, -0.04192), (0.0703, -0.04775), (0.1016, -0.06434), (0.1719, -0.10150),
        (0.2813, -0.15662), (0.4531, -0.21090), (0.5000, -0.20581), (0.6172, -0.13641), (0.7344, 0.00332),
        (0.8516, 0.23151), (0.9531, 0.68717), (0.9609, 0.73722), (0.9688, 0.78871), (0.9766, 0.84123),
    ]
)  # fmt: skip
V = np.array(
    [
        (0.0625, 0.09233), (0.0703, 0.10091), (0.0781, 0.10890), (0.0938, 0.12317), (0.1563, 0.16077),
        (0.2266, 0.17507), (0.2344, 0.17527), (0.5000, 0.05454), (0.8047, -0.24533), (0.8594, -0.22445),
        (0.9063, -0.16914), (0.9453, -0.10313), (0.9531, -0.08864), (0.9609, -0.07391), (0.9688, -0.05906),
    ]
)  # fmt: skip


def on_tables(n):
    u, v = cavity.flow(n)
    s = np.linspace(0, 1, n + 1)
    return np.concatenate([CubicSpline(s, u[:, n // 2])(U[:, 0]), CubicSpline(s, v[n // 2])(V[:, 0])])


def test_published_values():
    """The tables, of a grid of 129 x 129, are within one percent of the lid's speed."""
    coarse, fine = on_tables(48), on_tables(96)
    np.testing.assert_allclose((4 * fine - coarse) / 3, np.concatenate([U[:, 1], V[:, 1]]), atol=1e-2)


@pytest.mark.slow
def test_differences_converge():
    """Halving the cells takes off three quarters of the error; what is extrapolated changes little."""
    nodes = slice(2, -1, 2), slice(4, -1, 4), slice(8, -1, 8)
    coarse, middle, fine = (np.array(cavity.flow(16 * k))[:, at, at] for k, at in zip((2, 4, 8), nodes, strict=True))
    ratio = np.linalg.norm(middle - coarse) / np.linalg.norm(fine - middle)
    assert 3 < ratio < 5
    before, after = (4 * middle - coarse) / 3, (4 * fine - middle) / 3
    assert np.linalg.norm(after - before) < 3e-3 * np.linalg.norm(after)
    at, u, v = cavity.reference()
    np.testing.assert_array_equal(np.concatenate([u, v]), after.ravel())
    np.testing.assert_allclose(at[17], [3 / 16, 2 / 16, 0])


@pytest.fixture(scope="module")
def values():
    """A function that evaluates u or v at rows (x, y), before any training."""
    task = tx.problems.get("cavity").build(0)
    solver = tx.core(dict(task.terms), optimizer=optax.adam(1e-3), devices=1)

    def at(name, x, y):
        rows = np.column_stack(np.broadcast_arrays(x, y, 0.0))
        return solver.eval(task.answers[name].unknown, points={"interior": rows})

    return at


@pytest.mark.slow
def test_velocities_on_the_walls(values):
    s = np.linspace(0.05, 0.95, 19)
    for name in "uv":
        np.testing.assert_allclose(values(name, s, 0.0), 0, atol=1e-12)
        np.testing.assert_allclose(values(name, 0.0, s), 0, atol=1e-12)
        np.testing.assert_allclose(values(name, 1.0, s), 0, atol=1e-12)
        np.testing.assert_allclose(values(name, s, 1.0), float(name == "u"), atol=1e-12)


def test_no_divergence(values):
    x, y = np.random.default_rng(0).uniform(0.1, 0.9, (2, 30))
    h = 1e-4
    u_x = (values("u", x + h, y) - values("u", x - h, y)) / (2 * h)
    v_y = (values("v", x, y + h) - values("v", x, y - h)) / (2 * h)
    np.testing.assert_allclose(u_x + v_y, 0, atol=1e-5)
