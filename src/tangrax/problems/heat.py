"""Heat: how two modes of a rod fade, and an unknown conductivity from measured temperatures."""

import math

import numpy as np

from .. import domain, nn, numpy as tnp
from .field_operators import diffusion
from .problem import Answer, LibraryProblem, Task

π = math.pi
sin, cos, exp = tnp.sin, tnp.cos, tnp.exp


def rod(seed: int) -> Task:
    """u_t = u_xx / 10, u(x, 0) = sin(πx) + sin(3πx)/2, ends at zero; both by hard constraints."""
    x, t = domain.line(n=1500).over_time(0.0, 1.0).variable("interior")
    exact = exp(-(π**2) / 10 * t) * sin(π * x) + exp(-9 * π**2 / 10 * t) * sin(3 * π * x) / 2
    start = sin(π * x) + sin(3 * π * x) / 2
    u = start + t * x * (1 - x) * nn.mlp(2, width=24, depth=3, key=seed)(x, t)
    return Task({"pde": (u.d(t) - u.d2(x) / 10).mse}, {"u": Answer(u, exact)})


def temperature(x, y, of=np):
    """Its slope along x is never zero, without which a would not be determined."""
    return x + 0.1 * of.sin(π * x) * of.cos(π * y)


def conductivity(seed: int) -> Task:
    """-div(a ∇u) = f with a unknown: u measured at 200 places and on the boundary, a known where x = 0.

    a = 1 + sin(πx) sin(πy)/2, and f from u = x + sin(πx) cos(πy)/10. What is unknown is a field, so it is a network.
    """
    plate = domain.rect(n=800, boundary=200)
    x, y, _ = plate.variable("interior")
    edge_x, edge_y, _ = plate.variable("boundary")
    left_x, left_y, _ = plate.variable("left")
    places = np.random.default_rng(0).uniform(0.0, 1.0, (200, 2))
    sensor_x, sensor_y, _ = plate.points("sensors", places)
    reading = plate.values("sensors", temperature(*places.T))
    u, a = nn.mlp(2, width=16, depth=2, key=seed, name="u"), nn.mlp(2, width=12, depth=2, key=seed + 1, name="a")
    exact = 1 + sin(π * x) * sin(π * y) / 2
    measured = temperature(x, y, tnp)
    terms = {
        "pde": (diffusion(a(x, y), u(x, y), x, y) - diffusion(exact, measured, x, y)).mse,
        "readings": 100 * (u(sensor_x, sensor_y) - reading).mse,
        "edges": 100 * (u(edge_x, edge_y) - temperature(edge_x, edge_y, tnp)).mse,
        "known": 100 * (a(left_x, left_y) - 1).mse,
    }
    return Task(terms, {"a": Answer(a(x, y), exact), "u": Answer(u(x, y), measured)})


PROBLEMS = (
    LibraryProblem("heat", "u_t = u_xx / 10", "closed form", rod, 200, 1e-8, 40, 5e-2),
    LibraryProblem(
        "conductivity", "-div(a ∇u) = f, a unknown, u measured", "manufactured", conductivity, 160, 1e-5, 20, 5e-2
    ),
)
