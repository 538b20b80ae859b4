"""Residuals of Burgers and Allen-Cahn in stretched coordinates, against finite differences of u in x and t."""

import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax.problems import allen_cahn, burgers


def stretched(x, width):
    """s of x = width sinh(a s)."""
    return np.arcsinh(x / width) / np.arcsinh(1 / width)


def rows(name, x, t):
    return np.column_stack([stretched(x, 0.02) if name == "burgers" else stretched(2 * abs(x) - 1, 0.06), t])


@pytest.fixture(scope="module", params=["burgers", pytest.param("allen-cahn", marks=pytest.mark.slow)])
def case(request):
    """Its name, the task, and a function that evaluates expressions of it at points (x, t)."""
    task = tx.problems.get(request.param).build(0)
    solver = tx.core(dict(task.terms), optimizer=optax.adam(1e-3), devices=1)
    return request.param, task, lambda node, x, t: solver.eval(node, points={"interior": rows(request.param, x, t)})


def test_residual_is_that_of_the_equation(case):
    name, task, value = case
    u_node = task.answers["u"].unknown
    at = np.random.default_rng(0).uniform((-0.95, 0.2), (0.95, 0.95), (50, 2))
    x, t = at[abs(at[:, 0]) > 0.02].T  # away from x = 0, where |x| has a kink
    h = 2e-4
    along = [value(u_node, x + i * h, t) for i in range(-3, 4)]
    later = [value(u_node, x, t + i * h) for i in range(-2, 3)]
    u = along[3]
    u_x = (np.array([-1, 9, -45, 0, 45, -9, 1]) @ along) / (60 * h)
    u_xx = (np.array([2, -27, 270, -490, 270, -27, 2]) @ along) / (180 * h**2)
    u_t = (np.array([1, -8, 0, 8, -1]) @ later) / (12 * h)
    if name == "burgers":
        width, expected = 0.02, u_t + u * u_x - burgers.VISCOSITY * u_xx
        weight = np.arcsinh(1 / width) * np.hypot(x, width)  # dx/ds
    else:
        width, expected = 0.06, u_t - allen_cahn.DIFFUSION * u_xx + 5 * (u**3 - u)
        weight = np.exp(-5 * t) * np.sqrt(np.arcsinh(1 / width) * np.hypot(2 * abs(x) - 1, width) / 2)
    (pde,) = task.terms["pde"].args
    np.testing.assert_allclose(value(pde, x, t) / weight, expected, atol=1e-5 * abs(expected).max())


def test_conditions_hold_by_the_form(case):
    name, task, value = case
    u_node = task.answers["u"].unknown
    x, t = np.linspace(-0.99, 0.99, 51), np.linspace(0.01, 1, 51)
    ends = value(u_node, np.ones(51), t), value(u_node, -np.ones(51), t)
    if name == "burgers":
        np.testing.assert_allclose(ends, 0, atol=1e-12)
        np.testing.assert_allclose(value(u_node, x, 0 * x), -np.sin(np.pi * x), atol=1e-12)
        return
    np.testing.assert_allclose(value(u_node, x, 1e-12 + 0 * x), x**2 * np.cos(np.pi * x), atol=1e-6)
    # u is even, so that u_x = 0 at x = 1 makes it periodic with its slope.
    h = 1e-5
    near = [value(u_node, 1 - i * h + 0 * t, t) for i in range(4)]
    np.testing.assert_allclose((np.array([-11, 18, -9, 2]) @ near) / (6 * h), 0, atol=1e-6)


def test_exact_values_lie_at_the_points_held_out(case):
    name, task, _ = case
    answer = task.answers["u"]
    s, t = answer.at.T
    if name == "burgers":
        x = 0.02 * np.sinh(np.arcsinh(50) * s)
        result = burgers.solution(x, t, nodes=150)
    else:
        x = 0.5 + 0.03 * np.sinh(np.arcsinh(1 / 0.06) * s)
        result = allen_cahn.solution(x, t)
    assert answer.exact.shape == (2000,)
    assert x.max() > 0.99
    np.testing.assert_allclose(answer.exact, result, atol=1e-9)
