"""Lorenz' equations with unknown coefficients: an inverse problem of ordinary differential equations."""

import numpy as np
import scipy

from .. import domain, nn
from .problem import Answer, LibraryProblem, Task, refuse_outside

SIGMA, RHO, BETA = 10.0, 28.0, 8 / 3
START = (-8.0, 7.0, 27.0)
END = 3.0


def trajectory(times: np.ndarray) -> np.ndarray:
    """x, y, z at times from 0 to 3, a row each: Dormand and Prince's method of order 8, errors of 1e-13 a step."""

    refuse_outside(times, END)

    def rate(_: float, state: np.ndarray) -> list[float]:
        x, y, z = state
        return [SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z]

    solved = scipy.integrate.solve_ivp(
        rate, (0.0, END), START, method="DOP853", rtol=1e-13, atol=1e-13, dense_output=True
    )
    return solved.sol(times).T


def coefficients(seed: int) -> Task:
    """x' = σ(y - x), y' = x(ρ - z) - y, z' = xy - βz: σ, ρ, β from 40 readings of x, y and z until t = 3."""
    line = domain.line(0.0, END, n=400)
    t, _ = line.variable("interior")
    times = np.linspace(0.0, END, 42)[1:-1]
    at, _ = line.points("readings", times)
    read = trajectory(times)
    net = nn.mlp(1, 3, width=24, depth=2, fourier_features=10, fourier_scale=1.0, key=seed)
    sigma, rho, beta = (nn.parameter(1.0, name=name) for name in ("σ", "ρ", "β"))
    state, readings = 10 * net(t), 10 * net(at)
    x, y, z = state[0], state[1], state[2] + 25
    predicted = readings[0], readings[1], readings[2] + 25
    terms = {
        "x'": (x.d(t) - sigma * (y - x)).mse / 100,
        "y'": (y.d(t) - x * (rho - z) + y).mse / 100,
        "z'": (z.d(t) - x * y + beta * z).mse / 100,
    }
    for i, name in enumerate("xyz"):
        terms[name] = (predicted[i] - line.values("readings", read[:, i])).mse
    later = np.linspace(0.03, END - 0.03, 500)
    rows = np.column_stack([later, np.zeros_like(later)])
    exact = trajectory(later)
    answers = {"σ": Answer(sigma, SIGMA), "ρ": Answer(rho, RHO), "β": Answer(beta, BETA)}
    answers |= {
        name: Answer(unknown, exact[:, i], rows, {"t": t})
        for i, (name, unknown) in enumerate(zip("xyz", (x, y, z), strict=True))
    }
    return Task(terms, answers)


PROBLEMS = (
    LibraryProblem(
        "lorenz",
        "x' = σ(y - x), y' = x(ρ - z) - y, z' = xy - βz; σ, ρ, β unknown",
        "Runge-Kutta of order 8",
        coefficients,
        160,
        1e-8,
        40,
        1e-2,
    ),
)
