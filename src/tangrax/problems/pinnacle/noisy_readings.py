"""Unknown coefficients from noisy readings of what they conduct."""

import math
from typing import Any

import numpy as np

from ... import domain, numpy as tnp
from ...expr import Node
from ..field_operators import diffusion
from ..problem import Answer, BenchmarkProblem, Task
from .setting import BOUNDARY, EPOCHS, INTERIOR, network

π = math.pi
sin, cos = tnp.sin, tnp.cos
NOISE = 0.1  # standard deviation of the readings' errors


def product(x: Any, y: Any, of: Any = tnp) -> Any:
    """Return sin(πx) sin(πy)."""
    return of.sin(π * x) * of.sin(π * y)


def bump(x: Node, y: Node) -> Node:
    """Return the coefficient of the steady case."""
    return 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)


def steady(seed: int, *, sign: float = -1.0) -> Task:
    """div(a ∇u) + f = 0 on [0, 1]², u and a unknown: u read at 50 x 50 nodes with noise of 0.1, a given on the sides.

    u = sin(πx) sin(πy), a = 1/(1 + x² + y² + (x - 1)² + (y - 1)²). With `sign` 1, f is PINNacle's, which has 2x + 1 and
    2y + 1 where these u and a need 2x - 1 and 2y - 1.
    """
    plate = domain.rect(n=INTERIOR, boundary=BOUNDARY)
    x, y, _ = plate.variable("interior")
    xb, yb, _ = plate.variable("boundary")
    nodes = np.stack(np.meshgrid(np.linspace(0, 1, 50), np.linspace(0, 1, 50), indexing="ij"), -1).reshape(-1, 2)
    read_x, read_y, _ = plate.points("readings", nodes)
    noise = np.random.default_rng(0).normal(scale=NOISE, size=len(nodes))
    readings = plate.values("readings", product(nodes[:, 0], nodes[:, 1], np) + noise)
    net = network(2, 2, seed)
    out = net(x, y)
    u, a = out[0], out[1]
    exact = bump(x, y)
    along = (2 * x + sign) * cos(π * x) * sin(π * y) + (2 * y + sign) * sin(π * x) * cos(π * y)
    source = 2 * π**2 * exact * product(x, y) + 2 * π * exact**2 * along
    terms = {
        "pde": (diffusion(a, u, x, y) + source).mse,
        "readings": (net(read_x, read_y)[0] - readings).mse,
        "sides": (net(xb, yb)[1] - bump(xb, yb)).mse,
    }
    return Task(terms, {"u": Answer(u, product(x, y)), "a": Answer(a, exact)})


def inconsistent(seed: int) -> Task:
    """The steady case as PINNacle states it: u and a do not solve its equation."""
    return steady(seed, sign=1.0)


def fading(seed: int) -> Task:
    """u_t - div(a ∇u) = f on [-1, 1]² until t = 1, u and a unknown: u read at 2500 places with noise of 0.1.

    u = exp(-t) S, a = 2 + S, S = sin(πx) sin(πy); a is given on the sides, and has no input t. The places are random
    and even, as PINNacle's are, drawn by a seed of our own.
    """
    plate = domain.rect((-1.0, -1.0), (1.0, 1.0), n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 1.0)
    x, y, t = plate.variable("interior")
    xb, yb, _ = plate.variable("boundary")
    draw = np.random.default_rng(0)
    rows = draw.uniform((-1.0, -1.0, 0.0), (1.0, 1.0, 1.0), (2500, 3))
    place = plate.points("readings", rows)
    clean = np.exp(-rows[:, 2]) * product(rows[:, 0], rows[:, 1], np)
    readings = plate.values("readings", clean + draw.normal(scale=NOISE, size=len(rows)))
    temperature, conductivity = network(3, 1, seed, name="u"), network(2, 1, seed + 1, name="a")
    u, a = temperature(x, y, t), conductivity(x, y)
    squares = (cos(π * x) * sin(π * y)) ** 2 + (sin(π * x) * cos(π * y)) ** 2
    source = tnp.exp(-t) * ((4 * π**2 - 1) * product(x, y) + π**2 * (2 * product(x, y) ** 2 - squares))
    terms = {
        "pde": (u.d(t) - diffusion(a, u, x, y) - source).mse,
        "readings": (temperature(*place) - readings).mse,
        "sides": (conductivity(xb, yb) - 2 - product(xb, yb)).mse,
    }
    return Task(terms, {"u": Answer(u, tnp.exp(-t) * product(x, y)), "a": Answer(a, 2 + product(x, y))})


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/pinv",
        "div(a ∇u) + f = 0, a unknown",
        "closed form",
        steady,
        EPOCHS,
        reference_error=0.0,
        published=0.0196,
        published_by="vPINN",
    ),
    BenchmarkProblem(
        "pinnacle/pinv-literal",
        "div(a ∇u) + f = 0, a unknown",
        "their formula, no solution",
        inconsistent,
        EPOCHS,
        reference_error=math.nan,
        published=0.0196,
        published_by="vPINN",
    ),
    BenchmarkProblem(
        "pinnacle/hinv",
        "u_t - div(a ∇u) = f, a unknown",
        "closed form",
        fading,
        EPOCHS,
        reference_error=0.0,
        published=0.0119,
        published_by="vPINN",
    ),
)
