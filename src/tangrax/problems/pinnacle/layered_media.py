"""Media in layers: diffusion, heat and waves where a coefficient jumps, with the flux as an unknown of its own.

Where a jumps, ∇u does, and div(a ∇u) of a smooth network says nothing of it. So each case has an equation for the flux,
q = a ∇u, and one for its balance, in which no derivative of a stands.
"""

import math

from ... import domain, numpy as tnp
from ...expr import Node
from ..problem import BenchmarkProblem, Task
from ..stored import stored_answers
from .rough_coefficients import blockwise, two_valued
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

π = math.pi
sin, exp = tnp.sin, tnp.exp


def conduction(a: Node, out: Node, x: Node, y: Node) -> tuple[Node, Node, Node]:
    """Return u, div q, and the mean square of q - a ∇u, of a network's outputs u and q."""
    u, along, across = out[0], out[1], out[2]
    return u, along.d(x) + across.d(y), (along - a * u.d(x)).mse + (across - a * u.d(y)).mse


def heat(seed: int) -> Task:
    """u_t = div(a ∇u) + 200 sin(πx) sin(5πy) sin(πt) on [0, 1]² until t = 5, u = 0 at the start and on the sides.

    a is 2 where a random field is positive, else 1, constant in each of 256 x 256 pixels. The equation is the one that
    PINNacle's reference solves; a Δu, in its code, leaves out what happens where a jumps.
    """
    plate = domain.rect(n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 5.0, initial=INITIAL)
    x, y, t = plate.variable("interior")
    net = network(3, 3, seed)
    u, divergence, flux = conduction(two_valued(x, y, 1.0, 2.0, 0.0, 1.0), net(x, y, t), x, y)
    terms = {
        "balance": (u.d(t) - divergence - 200 * sin(π * x) * sin(5 * π * y) * sin(π * t)).mse,
        "flux": flux,
        "start": net(*plate.variable("initial"))[0].mse,
        "sides": net(*plate.variable("boundary"))[0].mse,
    }
    return Task(terms, stored_answers("pinnacle/heat2d-vc", u=u), ("balance", "flux"))


def waves(seed: int) -> Task:
    """u_tt = div(c ∇u) on [-1, 1]² until t = 5: a hump at rest, and no flux through the sides.

    c is 12 where a random field is positive, else 1, constant in each of 256 x 256 pixels. The equation is the one of
    PINNacle's reference; c Δu, in its code, leaves out what happens where c jumps.
    """
    plate = domain.rect((-1.0, -1.0), (1.0, 1.0), n=INTERIOR, boundary=BOUNDARY)
    plate = plate.over_time(0.0, 5.0, initial=INITIAL)
    x, y, t = plate.variable("interior")
    x0, y0, t0 = plate.variable("initial")
    nx, ny = plate.normal("boundary")
    net = network(3, 3, seed)
    u, divergence, flux = conduction(two_valued(x, y, 1.0, 12.0, -1.0, 1.0), net(x, y, t), x, y)
    start, side = net(x0, y0, t0)[0], net(*plate.variable("boundary"))
    terms = {
        "balance": (u.d2(t) - divergence).mse,
        "flux": flux,
        "start": (start - exp(-((x0 + 0.5) ** 2 + y0**2) / (2 * 0.3**2))).mse,
        "start's rate": start.d(t0).mse,
        "sides": (nx * side[1] + ny * side[2]).mse,
    }
    return Task(terms, stored_answers("pinnacle/wave2d-cg", u=u), ("balance", "flux"))


def blocks(seed: int) -> Task:
    """div(a ∇u) + f = 0 on [-10, 10]² of 5 x 5 blocks, each with an a and f = f₀ + f₁ sin(πξ) sin(πη); a u_n = -u.

    ξ and η go from 0 to 1 in each block. u and the flux through the blocks' edges are continuous, and the flux out of
    the outer ones is u; a Δu + f, in PINNacle's code, says neither. The 25 a, from 0.1 to 100, and the f₀ and f₁, from
    -1 to 1, are drawn as PINNacle's seem to be: its own come without a recipe.
    """
    plate = domain.rect((-10.0, -10.0), (10.0, 10.0), n=INTERIOR, boundary=BOUNDARY)
    x, y, _ = plate.variable("interior")
    nx, ny = plate.normal("boundary")
    net = network(2, 3, seed)
    a, mean, bump = blockwise(x, y)
    u, divergence, flux = conduction(a, net(x, y), x, y)
    side = net(*plate.variable("boundary")[:2])
    ξ, η = (tnp.mod((each + 10) / 4, 1.0) for each in (x, y))
    terms = {
        "balance": (divergence + mean + bump * sin(π * ξ) * sin(π * η)).mse,
        "flux": flux,
        "sides": (nx * side[1] + ny * side[2] + side[0]).mse,
    }
    return Task(terms, stored_answers("pinnacle/poisson2d-ms", u=u), ("balance", "flux"))


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/heat2d-vc",
        "u_t = div(a ∇u) + f, a of two values",
        "finite volumes",
        heat,
        EPOCHS,
        reference_error=1.6e-4,
        published=0.212,
        published_by="LRA",
    ),
    BenchmarkProblem(
        "pinnacle/poisson2d-ms",
        "div(a ∇u) + f = 0, a of 5 x 5 blocks",
        "finite elements of many degrees",
        blocks,
        EPOCHS,
        reference_error=3.6e-4,
        published=0.59,
        published_by="MultiAdam",
    ),
    BenchmarkProblem(
        "pinnacle/wave2d-cg",
        "u_tt = div(c ∇u), c of two values",
        "spectral elements",
        waves,
        EPOCHS,
        reference_error=5.6e-3,
        published=0.794,
        published_by="GAAF",
    ),
)
