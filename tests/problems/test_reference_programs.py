"""References that benchmarks/references computes: converging to what is kept, and against methods of another kind."""

import numpy as np
import pytest
from references import bistable_heat, burgers_2d, dispersive, gray_scott, regular_cavity
from references.reference import difference, nodes
from scipy.integrate import solve_ivp

from tangrax.problems.stored import stored

π = np.pi
# Central differences of sixth order at -3 … 3.
FIRST = np.array([-1, 9, -45, 0, 45, -9, 1]) / 60
SECOND = np.array([2, -27, 270, -490, 270, -27, 2]) / 180


def difference_quotient(values, weights, spacing, axis):
    """A derivative of values on an even grid of a period."""
    return sum(w * np.roll(values, 3 - i, axis) for i, w in enumerate(weights)) / spacing


def kept_at(name, time):
    """Rows of coordinates and values of a kept reference at one time."""
    reference = stored(name)
    now = abs(reference.at[:, -1] - time) < 1e-6
    return reference.at[now], reference.values[now]


@pytest.mark.parametrize("name", ["pinnacle/ks", "dsgnar/korteweg-de-vries"])
def test_waves_converge_to_what_is_kept(name):
    """By a factor of 8 or more, as half the steps are taken; 16 in the end."""
    ks = name.endswith("ks")
    series, first = (dispersive.kuramoto_sivashinsky, 0.0) if ks else (dispersive.korteweg_de_vries, -0.5)
    rough, fine = (dispersive.on_nodes(series(160, steps, 10), 64, first)[1:6] for steps in (1000, 2000))
    reference = stored(name).values.reshape(50, 64)[4:25:5]
    assert 1e-9 < difference(fine, reference) < difference(rough, reference) / 8


@pytest.mark.slow
def test_kuramoto_sivashinsky_by_another_integrator():
    """Collocation, u u_x as it stands, Radau."""
    n = 192
    k = np.arange(n // 2 + 1)
    x = 2 * π * np.arange(n) / n

    def rate(_, u):
        c = np.fft.rfft(u)
        u_x, rest = (np.fft.irfft(weight * c, n) for weight in (1j * k, -(k**2) / 2.56 + k**4 / 655.36))
        return -6.25 * u * u_x - rest

    solved = solve_ivp(rate, (0, 0.1), np.cos(x) * (1 + np.sin(x)), method="Radau", rtol=1e-8, atol=1e-9)
    at, values = kept_at("pinnacle/ks", 0.1)
    np.testing.assert_allclose(at[:, 0], x[::3], atol=1e-14)
    np.testing.assert_allclose(values[:, 0], solved.y[::3, -1], atol=1e-5)


def test_korteweg_de_vries_by_finite_differences():
    """Of sixth and fourth order on 256 nodes; Runge and Kutta's method of order 8."""
    x, h = -1 + np.arange(256) / 128, 1 / 128
    third = np.array([1, -8, 13, 0, -13, 8, -1]) / 8

    def rate(_, u):
        return -u * difference_quotient(u, FIRST, h, 0) - 0.022**2 * difference_quotient(u, third, h**3, 0)

    solved = solve_ivp(rate, (0, 0.1), np.cos(π * x), method="DOP853", rtol=1e-8, atol=1e-9)
    at, values = kept_at("dsgnar/korteweg-de-vries", 0.1)
    np.testing.assert_allclose(at[:, 0], x[::4], atol=1e-14)
    np.testing.assert_allclose(values[:, 0], solved.y[::4, -1], atol=5e-5)


def test_gray_scott_by_finite_differences():
    x, h = -1 + np.arange(128) / 64, 1 / 64

    def rate(_, w):
        u, v = w.reshape(2, 128, 128)
        Δu, Δv = (
            difference_quotient(each, SECOND, h**2, 0) + difference_quotient(each, SECOND, h**2, 1) for each in (u, v)
        )
        return np.stack([1e-5 * Δu + 0.04 * (1 - u) - u * v**2, 5e-6 * Δv - 0.1 * v + u * v**2]).ravel()

    start = gray_scott.start(x[:, None], x[None]).ravel()
    solved = solve_ivp(rate, (0, 4), start, rtol=1e-6, atol=1e-8).y[:, -1].reshape(2, 128, 128)
    at, values = kept_at("pinnacle/gs", 4.0)
    i, j = np.rint((at[:, :2] + 1) * 64).astype(int).T
    assert len(at) > 20
    np.testing.assert_allclose(values, solved[:, i, j].T, atol=2e-5)


def test_gray_scott_converges_to_what_is_kept():
    """Of the pattern's first half; the finer one is as good as 128² points are."""
    reference = stored("pinnacle/gs")
    early = reference.at[:, 2] <= 50
    i, j, time = np.rint((reference.at[early] + (1, 1, 0)) * (32, 32, 1 / 2)).astype(int).T
    errors = []
    for n in (64, 128):
        values = gray_scott.pattern(n, 100, 50.0, 25)[time, :, i, j]
        errors.append(difference(values, reference.values[early]))
    assert errors[1] < errors[0] / 5 and errors[1] < 1e-3


def test_bistable_heat_by_finite_differences():
    """On the whole square, whatever symmetry there is."""
    n = 96
    x = np.arange(n + 1)[:, None] / n
    y = x.T
    shape = np.sin(4 * π * x) * np.sin(2 * π * y)

    def rate(t, inner):
        u = np.zeros((n + 1, n + 1))
        u[1:-1, 1:-1] = inner.reshape(n - 1, n - 1)
        Δu = (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]) * n**2
        return (0.001 * Δu + (5 * np.sin(u**2) * (1 + 2 * np.sin(π * t / 4)) * shape)[1:-1, 1:-1]).ravel()

    start = (np.sin(4 * π * x) * np.sin(3 * π * y))[1:-1, 1:-1].ravel()
    solved = solve_ivp(rate, (0, 1), start, rtol=1e-5, atol=1e-7).y[:, -1].reshape(n - 1, n - 1)
    at, values = kept_at("pinnacle/heat2d-lt", 1.0)
    cells = at[:, :2] * n
    i, j = np.rint(cells).astype(int).T
    on = np.all(abs(cells - np.rint(cells)) < 1e-4, axis=1)
    assert on.sum() > 5
    assert difference(solved[i - 1, j - 1][on], values[on, 0]) < 5e-3


def test_bistable_heat_converges_to_what_is_kept():
    reference = stored("pinnacle/heat2d-lt")
    early = (reference.at[:, 2] <= 5) & (reference.at[:, 0] < 0.25)
    i, j, time = np.rint(reference.at[early] * (64, 32, 2) - (1, 1, 0)).astype(int).T
    errors = []
    for n, steps in ((16, 250), (32, 500)):
        values = bistable_heat.patches(n, steps, 5.0, 10)[time, i, j]
        errors.append(difference(values, reference.values[early, 0]))
    assert errors[1] < errors[0] / 5 and errors[1] < 2e-3


def test_burgers_in_two_dimensions_by_finite_differences():
    """Before there are fronts."""
    n, h = 256, 1 / 256
    x = np.arange(n) / n

    def rate(_, w):
        u, v = w.reshape(2, n, n)
        rates = [
            -u * difference_quotient(each, FIRST, h, 0)
            - v * difference_quotient(each, FIRST, h, 1)
            + 0.001 * (difference_quotient(each, SECOND, h**2, 0) + difference_quotient(each, SECOND, h**2, 1))
            for each in (u, v)
        ]
        return np.stack(rates).ravel()

    start = np.stack(burgers_2d.start(x[:, None], x[None])).ravel()
    solved = solve_ivp(rate, (0, 0.02), start, rtol=1e-5, atol=1e-6).y[:, -1].reshape(2, n, n)
    at, values = kept_at("pinnacle/burgers2d-c", 0.02)
    i, j = (np.rint(at[:, :2] * n).astype(int) % n).T
    assert len(at) > 50
    np.testing.assert_allclose(values, solved[:, i, j].T, atol=2e-3)


@pytest.mark.slow
def test_cavity_converges_to_what_is_kept():
    reference = stored("dsgnar/cavity")
    x, y = reference.at[:, :2].T
    errors = [difference(np.column_stack(regular_cavity.flow(n, x, y)), reference.values) for n in (8, 14)]
    assert errors[1] < errors[0] / 10 and errors[1] < 2e-4


def test_cavity_balances_its_vorticity():
    """By differences of u and v alone, away from the corners."""
    h, at = 5e-3, np.linspace(0.2, 0.8, 5)
    x, y = (each.ravel() for each in np.meshgrid(at, at))
    steps = h * np.arange(-2, 3)
    shifts = np.stack(np.meshgrid(steps, steps, indexing="ij")).reshape(2, -1, 1)
    result = regular_cavity.flow(20, (x + shifts[0]).ravel(), (y + shifts[1]).ravel())
    u, v = (each.reshape(5, 5, -1) for each in result)
    slope = np.array([-1, 0, 1]) / (2 * h)
    second = np.array([1, -2, 1]) / h**2
    v_x = sum(w * v[i : i + 3, 1:4] for i, w in enumerate(slope))
    u_y = sum(w * u[1:4, j : j + 3] for j, w in enumerate(slope))
    ω = v_x - u_y
    ω_x, ω_y = (np.tensordot(slope, each, 1) for each in (ω[:, 1], ω[1]))
    Δω = sum(np.tensordot(second, each, 1) for each in (ω[:, 1], ω[1]))
    carried = u[2, 2] * ω_x + v[2, 2] * ω_y
    np.testing.assert_allclose(carried, Δω / 100, atol=5e-3 * abs(carried).max())


def test_score_points_are_different_nodes_spread_evenly():
    at = nodes(300, (20, 30, 10))
    assert len(np.unique(at, axis=0)) == 300 and (at >= 0).all() and (at < (20, 30, 10)).all()
    np.testing.assert_allclose(at.mean(axis=0), [9.5, 14.5, 4.5], rtol=0.1)
