"""Plates with round holes and a cube with balls taken out: Poisson's and Helmholtz's equations, and heat."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

from ... import domain, numpy as tnp
from ...domain import Domain
from ..problem import Answer, BenchmarkProblem, Task
from ..stored import stored
from .setting import BOUNDARY, EPOCHS, INTERIOR, network

π = math.pi
sin = tnp.sin


class Hole(NamedTuple):
    """A disk that is taken out of a plate."""

    x: float
    y: float
    radius: float


COOLED = tuple(Hole(x, y, 0.1) for x in (0.3, -0.3) for y in (0.3, -0.3))
CHARGED = Hole(0.5, 0.5, 0.2), Hole(0.4, -0.4, 0.4), Hole(-0.2, -0.7, 0.1), Hole(-0.6, 0.5, 0.3)


def plate(half_width: float, half_height: float, **holes: Sequence[Hole]) -> Domain:
    """Return a rectangle round 0 without the holes, each kind under its name; the outer boundary is `sides`."""
    shape = domain.rect((-half_width, -half_height), (half_width, half_height)).named("sides")
    for name, kind in holes.items():
        disks = [domain.disk(each[:2], each.radius) for each in kind]
        shape = shape - functools.reduce(operator.or_, disks).named(name)
    return shape


def cooled(seed: int) -> Task:
    """Δu = 0 on [-1/2, 1/2]² without four disks: u = 1 on the sides, u = 0 on the holes."""
    area = plate(0.5, 0.5, holes=COOLED).sample(n=INTERIOR[2], boundary=BOUNDARY[2])
    x, y, _ = area.variable("interior")
    net = network(2, 1, seed)
    u = net(x, y)
    terms = {
        "pde": u.laplacian(x, y).mse,
        "sides": (net(*area.variable("sides")[:2]) - 1).mse,
        "holes": net(*area.variable("holes")[:2]).mse,
    }
    kept = stored("pinnacle/poisson2d-c")
    return Task(terms, {"u": Answer(u, kept.values[:, 0], kept.at)})


def charged(seed: int) -> Task:
    """-Δu + 64u = 10 (17 + x² + y²) sin(πx) sin(4πy) on [-1, 1]² without four disks: 1/5 on the sides, 1 on the holes.

    The linear equation of Poisson and Boltzmann.
    """
    area = plate(1.0, 1.0, holes=CHARGED).sample(n=INTERIOR[2], boundary=BOUNDARY[2])
    x, y, _ = area.variable("interior")
    net = network(2, 1, seed)
    u = net(x, y)
    source = 10 * (17 + x**2 + y**2) * sin(π * x) * sin(4 * π * y)
    terms = {
        "pde": (64 * u - u.laplacian(x, y) - source).mse,
        "sides": (net(*area.variable("sides")[:2]) - 0.2).mse,
        "holes": (net(*area.variable("holes")[:2]) - 1).mse,
    }
    kept = stored("pinnacle/poisson2d-cg")
    return Task(terms, {"u": Answer(u, kept.values[:, 0], kept.at)})


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/poisson2d-c",
        "Δu = 0, four holes",
        "multipoles and their images",
        cooled,
        EPOCHS,
        reference_error=5e-14,
        published=0.0123,
        published_by="NTK",
    ),
    BenchmarkProblem(
        "pinnacle/poisson2d-cg",
        "-Δu + 64u = f, four holes",
        "multipoles and their images",
        charged,
        EPOCHS,
        reference_error=5e-12,
        published=0.0143,
        published_by="NTK",
    ),
)
