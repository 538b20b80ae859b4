"""Heat in a square whose sides are kept at zero: conduction that differs by direction, and a source with two states."""

import math

from ... import domain, numpy as tnp
from ...expr import Node
from ..problem import Answer, BenchmarkProblem, Task
from ..stored import stored_answers
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

π = math.pi
sin = tnp.sin


def anisotropic(seed: int) -> Task:
    """u_t = u_xx / (500π)² + u_yy / π² on [0, 1]² until t = 5, u(x, y, 0) = sin(20πx) sin(πy), u = 0 on the sides."""
    plate = domain.rect(n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 5.0, initial=INITIAL)
    x, y, t = plate.variable("interior")
    x0, y0, t0 = plate.variable("initial")
    net = network(3, 1, seed)
    u = net(x, y, t)
    terms = {
        "pde": (u.d(t) - u.d2(x) / (500 * π) ** 2 - u.d2(y) / π**2).mse,
        "start": (net(x0, y0, t0) - sin(20 * π * x0) * sin(π * y0)).mse,
        "sides": net(*plate.variable("boundary")).mse,
    }
    exact = sin(20 * π * x) * sin(π * y) * tnp.exp(-(1 + 0.04**2) * t)
    return Task(terms, {"u": Answer(u, exact)})


def bistable(seed: int) -> Task:
    """u_t = 0.001 Δu + 5 sin(u²) (1 + 2 sin(πt/4)) sin(4πx) sin(2πy) on [0, 1]² until t = 100.

    u(x, y, 0) = sin(4πx) sin(3πy), u = 0 on the sides.
    """
    plate = domain.rect(n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 100.0, initial=INITIAL)
    x, y, t = plate.variable("interior")
    x0, y0, t0 = plate.variable("initial")
    net = network(3, 1, seed)
    u = net(x, y, t)

    def source(u: Node) -> Node:
        return 5 * sin(u**2) * (1 + 2 * sin(π * t / 4)) * sin(4 * π * x) * sin(2 * π * y)

    terms = {
        "pde": (u.d(t) - 0.001 * u.laplacian(x, y) - source(u)).mse,
        "start": (net(x0, y0, t0) - sin(4 * π * x0) * sin(3 * π * y0)).mse,
        "sides": net(*plate.variable("boundary")).mse,
    }
    return Task(terms, stored_answers("pinnacle/heat2d-lt", u=u))


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/heat2d-ms",
        "u_t = u_xx / (500π)² + u_yy / π²",
        "closed form",
        anisotropic,
        EPOCHS,
        reference_error=0.0,
        published=0.0173,
        published_by="LBFGS",
    ),
    BenchmarkProblem(
        "pinnacle/heat2d-lt",
        "u_t = 0.001 Δu + 5 sin(u²) g(x, y, t)",
        "series of sines, ETDRK4",
        bistable,
        EPOCHS,
        reference_error=2.3e-6,
        published=0.999,
        published_by="PINN and five others",
    ),
)
