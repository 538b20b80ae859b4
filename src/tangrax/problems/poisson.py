"""Poisson's equation: on a line, a square, an L-shape, cubes of many dimensions; with a coefficient that varies."""

import functools
import math

from .. import domain, nn, numpy as tnp
from ..expr import Node
from .field_operators import diffusion, total
from .problem import Answer, LibraryProblem, Task

π = math.pi
sin, cos = tnp.sin, tnp.cos


def line(seed: int) -> Task:
    """-u'' = sin(πx), u = 0 at both ends by its form."""
    x, _ = domain.line(n=256).variable("interior")
    u = nn.mlp(1, width=24, depth=2, key=seed)(x) * x * (1 - x)
    return Task({"pde": (u.d2(x) + sin(π * x)).mse}, {"u": Answer(u, sin(π * x) / π**2)})


def square(seed: int) -> Task:
    """-Δu = 2π² sin(πx) sin(πy), u = 0 on the boundary by its form."""
    x, y, _ = domain.rect(n=1500).variable("interior")
    u = nn.mlp(2, width=24, depth=3, key=seed)(x, y) * x * (1 - x) * y * (1 - y)
    exact = sin(π * x) * sin(π * y)
    return Task({"pde": (u.laplacian(x, y) + 2 * π**2 * exact).mse}, {"u": Answer(u, exact)})


def varying(seed: int) -> Task:
    """-div(k ∇u) = f with k = exp(sin(2πx) cos(πy)), between 1/e and e; f from u = sin(πx) sin(2πy)."""
    x, y, _ = domain.rect(n=1500).variable("interior")
    u = nn.mlp(2, width=24, depth=2, key=seed)(x, y) * x * (1 - x) * y * (1 - y)
    k = tnp.exp(sin(2 * π * x) * cos(π * y))
    exact = sin(π * x) * sin(2 * π * y)
    return Task({"pde": (diffusion(k, u, x, y) - diffusion(k, exact, x, y)).mse}, {"u": Answer(u, exact)})


def cube(seed: int, dimensions: int, width: int) -> Task:
    """-Δu = (π²/4) Σ sin(πxᵢ/2), u given on the boundary.

    A sum of functions of one coordinate each needs one layer, and of few enough parameters J is decomposed as it is.
    """
    box = domain.box((0.0,) * dimensions, (1.0,) * dimensions, n=3000, boundary=1000)
    *x, _ = box.variable("interior")
    *xb, _ = box.variable("boundary")
    net = nn.mlp(dimensions, width=width, depth=1, key=seed)

    def solution(x: list[Node]) -> Node:
        return total([sin(π / 2 * each) for each in x])

    u = net(*x)
    terms = {"pde": (u.laplacian(*x) + π**2 / 4 * solution(x)).mse, "boundary": 10 * (net(*xb) - solution(xb)).mse}
    return Task(terms, {"u": Answer(u, solution(x))})


def l_shape(seed: int) -> Task:
    """Δu = -2π² sin(πx) sin(πy) on an L, u given on its edges: sin(πx) sin(πy) + S.

    S = r^(2/3) sin(2θ/3), of the inner corner, has a slope without bound. The network has it beside it, times a number.
    """
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (0.0, -1.0))
    shape = domain.polygon(corners).sample(n=800, boundary=400)
    x, y, _ = shape.variable("interior")
    xb, yb, _ = shape.variable("boundary")
    net, strength = nn.mlp(2, width=20, depth=2, key=seed), nn.parameter(0.0, name="strength")

    def rough(x: Node, y: Node) -> Node:
        # The edges of the corner are at θ = 0 and 3π/2; where arctan2 jumps is outside the L.
        θ = 3 * π / 4 - tnp.arctan2(x + y, y - x)
        return (x**2 + y**2) ** (1 / 3) * sin(2 * θ / 3)

    smooth = sin(π * x) * sin(π * y)
    u = net(x, y) + strength * rough(x, y)
    edges = net(xb, yb) + strength * rough(xb, yb) - sin(π * xb) * sin(π * yb) - rough(xb, yb)
    terms = {"inside": (net(x, y).laplacian(x, y) + 2 * π**2 * smooth).mse, "edges": 100 * edges.mse}
    return Task(terms, {"u": Answer(u, smooth + rough(x, y)), "strength": Answer(strength, 1.0)})


PROBLEMS = (
    LibraryProblem("poisson-1d", "-u'' = sin(πx)", "closed form", line, 300, 1e-14, 60, 1e-9),
    LibraryProblem("poisson-2d", "-Δu = 2π² sin(πx) sin(πy)", "closed form", square, 200, 1e-13, 20, 1e-1),
    LibraryProblem(
        "poisson-varying", "-div(k ∇u) = f, k = exp(sin(2πx) cos(πy))", "manufactured", varying, 160, 1e-9, 20, 5e-1
    ),
    LibraryProblem("poisson-l-shape", "-Δu = f on an L-shape", "closed form", l_shape, 200, 1e-8, 20, 2e-1),
    LibraryProblem(
        "poisson-5d",
        "-Δu = (π²/4) Σ sin(πxᵢ/2), 5 dimensions",
        "closed form",
        functools.partial(cube, dimensions=5, width=96),
        200,
        1e-8,
        10,
        5e-1,
    ),
    LibraryProblem(
        "poisson-10d",
        "-Δu = (π²/4) Σ sin(πxᵢ/2), 10 dimensions",
        "closed form",
        functools.partial(cube, dimensions=10, width=60),
        100,
        1e-5,
        10,
        2e-1,
    ),
)
