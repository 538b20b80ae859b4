"""Burgers' equation, whose sine becomes a shock."""

import math

import numpy as np
from numpy.polynomial.hermite import hermgauss

from .. import domain, nn, numpy as tnp
from .coordinates import evenly, gathered, spread
from .problem import Answer, LibraryProblem, Task

π = math.pi
VISCOSITY = 0.01 / π


def solution(x: np.ndarray, t: np.ndarray, nodes: int = 200, viscosity: float = VISCOSITY) -> np.ndarray:
    """u_t + u u_x = ν u_xx, u(x, 0) = -sin(πx), ν = 0.01/π unless said, at points (x, t).

    Cole-Hopf: u is the mean of -sin(πy), y = x - z, over the heat kernel in z times exp(-cos(πy)/(2πν)). Gauss and
    Hermite's rule, as in Basdevant et al., Computers and Fluids 14 (1986), 23-41.
    """
    if np.min(t, initial=0) < 0:
        raise ValueError(f"t = {np.min(t):g}: the solution starts at t = 0, and its formula has no meaning before")
    z, weights = hermgauss(nodes)
    y = x[:, None] - np.sqrt(4 * viscosity * t)[:, None] * z
    # The largest exponent is zero, so that nothing overflows.
    heat = weights * np.exp(-(1 + np.cos(math.pi * y)) / (2 * math.pi * viscosity))
    return -np.sum(heat * np.sin(math.pi * y), axis=1) / np.sum(heat, axis=1)


def shock(seed: int) -> Task:
    """u_t + u u_x = ν u_xx, u(x, 0) = -sin(πx), u = 0 at x = ±1: a shock of width ν = 0.01/π stands at x = 0.

    u is odd by its form, so that half of the line is enough; starting value and ends are hard constraints too.
    Points gather round the shock, and the coordinate in which they are even is an input of the net beside x.
    """
    s, t = domain.line(n=2000).over_time(0.0, 1.0).variable("interior")
    x, stretch = gathered(s, 0.02)
    u = -tnp.sin(π * x) + t * s * (1 - s**2) * nn.mlp(3, width=24, depth=3, key=seed)(s**2, x**2, t)
    u_x = u.d(s) / stretch
    pde = u.d(t) + u * u_x - VISCOSITY * u_x.d(s) / stretch
    at = evenly(seed)
    exact = solution(at[:, 0], at[:, 1])
    at[:, 0] = spread(at[:, 0], 0.02)
    return Task({"pde": (stretch * pde).mse}, {"u": Answer(u, exact, at, {"x": x, "t": t})})


PROBLEMS = (
    LibraryProblem("burgers", "u_t + u u_x = 0.01/π u_xx", "integral of Cole and Hopf", shock, 300, 1e-7, 20, 1e-1),
)
