"""Equations that make patterns: Gray and Scott's, and Kuramoto and Sivashinsky's."""

import math

from ... import domain, numpy as tnp
from ..problem import BenchmarkProblem, Task
from ..stored import stored_answers
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network


def gray_scott(seed: int) -> Task:
    """u_t = 1e-5 Δu + 0.04 (1 - u) - u v², v_t = 5e-6 Δv - 0.1 v + u v² on [-1, 1]² until t = 200.

    A hole in u and a spot of v at the start. PINNacle has no condition on the sides: here nothing flows through them,
    which the pattern does not reach.
    """
    dish = domain.rect((-1.0, -1.0), (1.0, 1.0), n=INTERIOR, boundary=BOUNDARY)
    dish = dish.over_time(0.0, 200.0, initial=INITIAL)
    x, y, t = dish.variable("interior")
    x0, y0, t0 = dish.variable("initial")
    xb, yb, tb = dish.variable("boundary")
    nx, ny = dish.normal("boundary")
    net = network(3, 2, seed)
    out, start, side = net(x, y, t), net(x0, y0, t0), net(xb, yb, tb)
    u, v = out[0], out[1]
    hole = tnp.exp(-80 * ((x0 + 0.05) ** 2 + (y0 + 0.02) ** 2))
    spot = tnp.exp(-80 * ((x0 - 0.05) ** 2 + (y0 - 0.02) ** 2))
    terms = {
        "u": (u.d(t) - 1e-5 * u.laplacian(x, y) - 0.04 * (1 - u) + u * v**2).mse,
        "v": (v.d(t) - 5e-6 * v.laplacian(x, y) + 0.1 * v - u * v**2).mse,
        "start": (start[0] - 1 + hole).mse + (start[1] - spot).mse,
        "sides": (nx * side.d(xb) + ny * side.d(yb)).mse,
    }
    return Task(terms, stored_answers("pinnacle/gs", u=u, v=v), ("u", "v"))


def kuramoto_sivashinsky(seed: int) -> Task:
    """u_t + α u u_x + β u_xx + γ u_xxxx = 0, α = 100/16, β = 100/16², γ = 100/16⁴, on [0, 2π] until t = 1.

    u(x, 0) = cos(x) (1 + sin(x)). PINNacle has no condition at the ends: here u is periodic, with three derivatives.
    """
    line = domain.line(0.0, 2 * math.pi, n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 1.0, initial=INITIAL)
    x, t = line.variable("interior")
    x0, t0 = line.variable("initial")
    xb, tb = line.variable("left")
    net = network(2, 1, seed)
    u, jump = net(x, t), net(xb, tb) - net(xb + 2 * math.pi, tb)
    terms = {
        "pde": (u.d(t) + 100 / 16 * u * u.d(x) + 100 / 16**2 * u.d2(x) + 100 / 16**4 * u.d(x, 4)).mse,
        "start": (net(x0, t0) - tnp.cos(x0) * (1 + tnp.sin(x0))).mse,
        "periodic": jump.mse,
        "periodic slopes": jump.d(xb).mse + jump.d2(xb).mse + jump.d(xb, 3).mse,
    }
    return Task(terms, stored_answers("pinnacle/ks", u=u))


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/gs",
        "u_t = 1e-5 Δu + 0.04 (1 - u) - u v², v_t = 5e-6 Δv - 0.1 v + u v²",
        "Fourier series, ETDRK4",
        gray_scott,
        EPOCHS,
        reference_error=1.2e-5,
        published=0.0799,
        published_by="FBPINN",
    ),
    BenchmarkProblem(
        "pinnacle/ks",
        "u_t + 6.25 u u_x + 0.39 u_xx + 1.5e-3 u_xxxx = 0",
        "Fourier series, ETDRK4",
        kuramoto_sivashinsky,
        EPOCHS,
        reference_error=7.3e-11,
        published=0.957,
        published_by="LRA",
    ),
)
