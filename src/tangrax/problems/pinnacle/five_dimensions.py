"""Poisson's equation and heat in five dimensions."""

import math
from collections.abc import Sequence

import numpy as np

from ... import domain, numpy as tnp
from ...expr import Node
from ..field_operators import total
from ..problem import Answer, BenchmarkProblem, Task
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

π = math.pi


def poisson(seed: int) -> Task:
    """Δu + (π²/4) Σ sin(πxᵢ/2) = 0 on [0, 1]⁵, u = Σ sin(πxᵢ/2) on the boundary, which is the solution."""
    cube = domain.box((0.0,) * 5, (1.0,) * 5, n=INTERIOR, boundary=BOUNDARY)
    *x, _ = cube.variable("interior")
    *xb, _ = cube.variable("boundary")
    net = network(5, 1, seed)
    u = net(*x)
    exact, edge = (total([tnp.sin(π / 2 * each) for each in axes]) for axes in (x, xb))
    terms = {"pde": (u.laplacian(*x) + π**2 / 4 * exact).mse, "boundary": (net(*xb) - edge).mse}
    return Task(terms, {"u": Answer(u, exact)})


def in_ball(count: int, seed: int, *, surface: bool = False) -> np.ndarray:
    """Return even random points of the unit ball in five dimensions, or of its surface: (count, 5)."""
    draw = np.random.default_rng(seed)
    directions = draw.normal(size=(count, 5))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    return directions if surface else directions * draw.uniform(size=(count, 1)) ** (1 / 5)


def heat(seed: int) -> Task:
    """u_t = Δu/5 - |x|² exp(|x|²/2 + t)/5 in the unit ball of five dimensions until t = 1, ∂u/∂n given on the sphere.

    u = exp(|x|²/2 + t), from which the start and ∂u/∂n = u are.
    """
    # A box with points of its own: there are balls of up to three dimensions.
    space = domain.box((-1.0,) * 5, (1.0,) * 5, n=1).over_time(0.0, 1.0)
    inside, sphere = in_ball(INTERIOR, 0), in_ball(BOUNDARY, 1, surface=True)
    times = np.random.default_rng(2)
    *x, t = space.points("inside", np.column_stack([inside, times.uniform(size=len(inside))]))
    *xb, tb = space.points("sphere", np.column_stack([sphere, times.uniform(size=len(sphere))]))
    *x0, t0 = space.points("start", np.column_stack([in_ball(INITIAL, 3), np.zeros(INITIAL)]))
    net = network(6, 1, seed)
    u, edge = net(*x, t), net(*xb, tb)

    def exact(x: Sequence[Node], t: Node) -> Node:
        return tnp.exp(total([each**2 for each in x]) / 2 + t)

    square = total([each**2 for each in x])
    terms = {
        "pde": (u.d(t) - u.laplacian(*x) / 5 + square * exact(x, t) / 5).mse,
        "start": (net(*x0, t0) - exact(x0, t0)).mse,
        "flux": (total([each * edge.d(each) for each in xb]) - exact(xb, tb)).mse,
    }
    at = np.column_stack([in_ball(2000, 4), np.random.default_rng(5).uniform(size=2000)])
    return Task(terms, {"u": Answer(u, exact(x, t), at)})


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/pnd",
        "Δu + (π²/4) Σ sin(πxᵢ/2) = 0, 5 dimensions",
        "closed form",
        poisson,
        EPOCHS,
        reference_error=0.0,
        published=0.000458,
        published_by="LRA",
    ),
    BenchmarkProblem(
        "pinnacle/hnd",
        "u_t = Δu/5 + f, 5 dimensions",
        "closed form",
        heat,
        EPOCHS,
        reference_error=0.0,
        published=0.000119,
        published_by="LBFGS",
    ),
)
