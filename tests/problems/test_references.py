"""References that are no expression, against the equations themselves and against methods of another kind."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

from tangrax.problems import allen_cahn, burgers


def at_grid(times, count=41):
    x, t = np.meshgrid(np.linspace(-0.97, 0.97, count), times)
    return x.ravel(), t.ravel()


def test_burgers_satisfies_its_equation():
    x, t = at_grid([0.1, 0.25, 0.5, 0.9])
    h, k = 2e-4, 1e-4  # central differences of sixth and of fourth order
    along = [burgers.solution(x + i * h, t) for i in range(-3, 4)]
    u_x = (np.array([-1, 9, -45, 0, 45, -9, 1]) @ along) / (60 * h)
    u_xx = (np.array([2, -27, 270, -490, 270, -27, 2]) @ along) / (180 * h**2)
    later = [burgers.solution(x, t + i * k) for i in range(-2, 3)]
    u_t = (np.array([1, -8, 0, 8, -1]) @ later) / (12 * k)
    advection = burgers.solution(x, t) * u_x
    scale = np.abs(advection).max()
    np.testing.assert_allclose(u_t + advection - burgers.VISCOSITY * u_xx, 0, atol=1e-6 * scale)


def test_burgers_meets_its_conditions():
    x = np.linspace(-1, 1, 101)
    np.testing.assert_allclose(burgers.solution(x, np.zeros(101)), -np.sin(np.pi * x), atol=1e-14)
    np.testing.assert_allclose(burgers.solution(np.array([-1.0, 0.0, 1.0]), np.full(3, 0.7)), 0, atol=1e-14)


@pytest.mark.parametrize(("x", "t"), [(0.003, 1.0), (-0.05, 0.4), (0.6, 0.8)])
def test_burgers_against_adaptive_quadrature(x, t):
    def weight(z):
        bend = (np.cos(np.pi * (x - z)) - 1) / (2 * np.pi * burgers.VISCOSITY)
        return np.exp(-bend - z**2 / (4 * burgers.VISCOSITY * t) - 100)

    def part(f):
        pieces = np.linspace(-1, 1, 41)
        return sum(quad(f, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in itertools.pairwise(pieces))

    actual = -part(lambda z: weight(z) * np.sin(np.pi * (x - z))) / part(weight)
    np.testing.assert_allclose(burgers.solution(np.array([x]), np.array([t])), actual, rtol=1e-9)


@pytest.mark.slow
def test_allen_cahn_satisfies_its_equation():
    h, k, every = 5e-4, 1e-3, np.linspace(-0.98, 0.98, 99)
    for time in (0.1, 0.5, 0.99):
        t = np.full(99, time)
        along = [allen_cahn.solution(every + i * h, t, modes=512) for i in range(-3, 4)]
        u_xx = (np.array([2, -27, 270, -490, 270, -27, 2]) @ along) / (180 * h**2)
        later = [allen_cahn.solution(every, t + i * k, modes=512) for i in range(-2, 3)]
        u_t = (np.array([1, -8, 0, 8, -1]) @ later) / (12 * k)
        u = along[3]
        np.testing.assert_allclose(u_t, allen_cahn.DIFFUSION * u_xx + 5 * (u - u**3), atol=1e-6)


def test_allen_cahn_starts_with_its_initial_value():
    x = np.linspace(-1, 1, 101)
    actual, expected = allen_cahn.solution(x, np.zeros(101), modes=512), x**2 * np.cos(np.pi * x)
    # The sum of a tail of 4/(πk)²: at the kink at x = ±1 the series converges no faster.
    np.testing.assert_allclose(actual, expected, atol=4 / np.pi**2 / 512 * 1.01)
    inside = abs(x) < 0.9
    np.testing.assert_allclose(actual[inside], expected[inside], atol=1e-5)


@pytest.mark.slow
def test_allen_cahn_converges_in_steps_and_modes():
    best = allen_cahn.cosines(512, 1000)
    times = [1, 10, 100, 1000]
    halved = allen_cahn.cosines(512, 500)[[0, 5, 50, 500]]
    np.testing.assert_allclose(halved[1:], best[times[1:]], atol=1e-9)
    fewer = allen_cahn.cosines(256, 1000)
    np.testing.assert_allclose(fewer[[500, 1000]], best[[500, 1000], :257], atol=1e-5)


def test_allen_cahn_against_collocation_in_another_integrator():
    count = 1024
    x = -1 + 2 * np.arange(count) / count
    k = np.pi * np.arange(count // 2 + 1)

    def rate(_, u):
        return np.fft.irfft(-allen_cahn.DIFFUSION * k**2 * np.fft.rfft(u), count) + 5 * (u - u**3)

    # From a time at which the kink of the initial value is smooth.
    start = allen_cahn.solution(x, np.full(count, 0.25), modes=512)
    solved = solve_ivp(rate, (0.25, 1.0), start, method="DOP853", rtol=1e-11, atol=1e-12)
    actual = allen_cahn.solution(x, np.ones(count), modes=512)
    np.testing.assert_allclose(actual, solved.y[:, -1], atol=1e-8)
