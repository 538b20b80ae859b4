"""Plates with round holes and a cube with balls taken out: Poisson's and Helmholtz's equations, and heat."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

from ... import domain, numpy as tnp
from ...domain import Domain
from ..problem import BenchmarkProblem, Task
from ..stored import stored_answers
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

π = math.pi
sin = tnp.sin


class Hole(NamedTuple):
    """A disk that is taken out of a plate."""

    x: float
    y: float
    radius: float


COOLED = tuple(Hole(x, y, 0.1) for x in (0.3, -0.3) for y in (0.3, -0.3))
CHARGED = Hole(0.5, 0.5, 0.2), Hole(0.4, -0.4, 0.4), Hole(-0.2, -0.7, 0.1), Hole(-0.6, 0.5, 0.3)
HEATED = tuple(Hole(*at, 1.0) for at in (
    (4.0, 3.0), (4.0, -3.0), (-4.0, 3.0), (-4.0, -3.0), (4.0, 9.0), (4.0, -9.0), (-4.0, 9.0), (-4.0, -9.0), (0.0, 0.0),
    (0.0, 6.0), (0.0, -6.0),
))  # fmt: skip
WARMED = tuple(Hole(x, y, 0.4) for x in (3.2, -3.2) for y in (6.0, -6.0, 0.0))
BALLS = (0.4, 0.3, 0.6, 0.2), (0.6, 0.7, 0.6, 0.2), (0.2, 0.8, 0.7, 0.1), (0.6, 0.2, 0.3, 0.1)  # center, radius


def plate(half_width: float, half_height: float, **holes: Sequence[Hole]) -> Domain:
    """Return a rectangle round 0 without the holes, each kind under its name; the outer boundary is `sides`."""
    shape = domain.rect((-half_width, -half_height), (half_width, half_height)).named("sides")
    for name, kind in holes.items():
        disks = [domain.disk(each[:2], each.radius) for each in kind]
        shape = shape - functools.reduce(operator.or_, disks).named(name)
    return shape


def cooled(seed: int) -> Task:
    """Δu = 0 on [-1/2, 1/2]² without four disks: u = 1 on the sides, u = 0 on the holes."""
    area = plate(0.5, 0.5, holes=COOLED).sample(n=INTERIOR, boundary=BOUNDARY)
    x, y, _ = area.variable("interior")
    net = network(2, 1, seed)
    u = net(x, y)
    terms = {
        "pde": u.laplacian(x, y).mse,
        "sides": (net(*area.variable("sides")[:2]) - 1).mse,
        "holes": net(*area.variable("holes")[:2]).mse,
    }
    return Task(terms, stored_answers("pinnacle/poisson2d-c", u=u))


def charged(seed: int) -> Task:
    """-Δu + 64u = 10 (17 + x² + y²) sin(πx) sin(4πy) on [-1, 1]² without four disks: 1/5 on the sides, 1 on the holes.

    The linear equation of Poisson and Boltzmann.
    """
    area = plate(1.0, 1.0, holes=CHARGED).sample(n=INTERIOR, boundary=BOUNDARY)
    x, y, _ = area.variable("interior")
    net = network(2, 1, seed)
    u = net(x, y)
    source = 10 * (17 + x**2 + y**2) * sin(π * x) * sin(4 * π * y)
    terms = {
        "pde": (64 * u - u.laplacian(x, y) - source).mse,
        "sides": (net(*area.variable("sides")[:2]) - 0.2).mse,
        "holes": (net(*area.variable("holes")[:2]) - 1).mse,
    }
    return Task(terms, stored_answers("pinnacle/poisson2d-cg", u=u))


def heated(seed: int) -> Task:
    """u_t = Δu on [-8, 8] x [-12, 12] without 17 disks until t = 3, u = 0 at the start.

    u_n = 5 - u on the 11 holes of radius 1, 1 - u on the 6 of radius 2/5, 1/10 - u on the sides; n points out of the
    plate, into the holes.
    """
    area = plate(8.0, 12.0, large=HEATED, small=WARMED).sample(n=INTERIOR, boundary=BOUNDARY)
    area = area.over_time(0.0, 3.0, initial=INITIAL)
    x, y, t = area.variable("interior")
    net = network(3, 1, seed)
    u = net(x, y, t)
    terms = {"pde": (u.d(t) - u.laplacian(x, y)).mse, "start": net(*area.variable("initial")).mse}
    for tag, name, value in (("large", "large holes", 5.0), ("small", "small holes", 1.0), ("sides", "sides", 0.1)):
        xs, ys, ts = area.variable(tag)
        nx, ny = area.normal(tag)
        rim = net(xs, ys, ts)
        terms[name] = (nx * rim.d(xs) + ny * rim.d(ys) + rim - value).mse
    return Task(terms, stored_answers("pinnacle/heat2d-cg", u=u))


def layered_cube(seed: int) -> Task:
    """-Δu + k²u = f on [0, 1]³ without four balls, k = 8 where z < 1/2, else 10; u_n = 0 on the faces and the balls.

    f = 20 exp(sin πx + sin 10πy + sin 5πz) (r² - 1)/(r² + 1) + 100 sin(πx) sin(10πy) sin(5πz), r² = x² + y² + z².
    """
    balls = functools.reduce(operator.or_, [domain.ball(each[:3], each[3]) for each in BALLS]).named("balls")
    area = domain.box((0.0,) * 3, (1.0,) * 3).named("faces") - balls
    area = area.sample(n=INTERIOR, boundary=BOUNDARY)
    x, y, z, _ = area.variable("interior")
    net = network(3, 1, seed)
    u = net(x, y, z)
    square, waves = x**2 + y**2 + z**2, (sin(π * x), sin(10 * π * y), sin(5 * π * z))
    source = 20 * tnp.exp(waves[0] + waves[1] + waves[2]) * (square - 1) / (square + 1)
    source = source + 100 * waves[0] * waves[1] * waves[2]
    terms = {"pde": (tnp.where(z < 0.5, 64.0, 100.0) * u - u.laplacian(x, y, z) - source).mse}
    for tag in ("faces", "balls"):
        *rim, _ = area.variable(tag)
        side = net(*rim)
        nx, ny, nz = area.normal(tag)
        terms[tag] = (nx * side.d(rim[0]) + ny * side.d(rim[1]) + nz * side.d(rim[2])).mse
    return Task(terms, stored_answers("pinnacle/poisson3d-cg", u=u))


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
        reference_error=4.5e-12,
        published=0.0143,
        published_by="NTK",
    ),
    BenchmarkProblem(
        "pinnacle/heat2d-cg",
        "u_t = Δu, 17 holes, u_n = g - u",
        "quadratic finite elements",
        heated,
        EPOCHS,
        reference_error=1.5e-5,
        published=0.0239,
        published_by="LAAF",
    ),
    BenchmarkProblem(
        "pinnacle/poisson3d-cg",
        "-Δu + k²u = f, four balls, k of two layers",
        "quadratic finite elements",
        layered_cube,
        EPOCHS,
        reference_error=4.7e-4,
        published=0.102,
        published_by="LRA",
    ),
)
