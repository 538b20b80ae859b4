"""Navier and Stokes' equations at ν = 1/100: a cavity, a channel with a step, and an inlet that breathes."""

import math
from collections.abc import Sequence

from ... import domain, numpy as tnp
from ...domain import Domain
from ...expr import Node
from ..flows import momentum
from ..problem import BenchmarkProblem, Task
from ..stored import stored_answers
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

π = math.pi
sin = tnp.sin
VISCOSITY = 0.01
EQUATIONS = ("momentum x", "momentum y", "mass")
STEADY = "u·∇u + ∇p = Δu / 100, div u = 0"


def equations(out: Node, x: Node, y: Node, rate: Sequence[Node | float] = (0.0, 0.0)) -> dict[str, Node]:
    """Return the terms of the equations of u, v and p, the outputs of a network; `rate` is added to the momentum."""
    u, v, p = out[0], out[1], out[2]
    along, across = momentum(u, v, p, x, y, VISCOSITY)
    return {
        "momentum x": (along + rate[0]).mse,
        "momentum y": (across + rate[1]).mse,
        "mass": (u.d(x) + v.d(y)).mse,
    }


def velocity(side: Node, u: Node | float = 0.0, v: float = 0.0) -> Node:
    """Return the mean square of the velocity less a given one."""
    return (side[0] - u).mse + (side[1] - v).mse


def cavity(seed: int) -> Task:
    """Steady flow in [0, 1]² whose lid moves at u = 4x (1 - x), at rest on the other walls; p = 0 at the origin."""
    area = domain.rect(n=INTERIOR, boundary=BOUNDARY)
    x, y, _ = area.variable("interior")
    net = network(2, 3, seed)
    out = net(x, y)
    lid_x, lid_y, _ = area.variable("top")
    terms = equations(out, x, y)
    terms["lid"] = velocity(net(lid_x, lid_y), 4 * lid_x * (1 - lid_x))
    terms |= {wall: velocity(net(*area.variable(wall)[:2])) for wall in ("left", "right", "bottom")}
    terms["pressure"] = net(*area.points("origin", [[0.0, 0.0]])[:2])[2].mse
    return Task(terms, stored_answers("pinnacle/ns2d-c", u=out[0], v=out[1], p=out[2]), EQUATIONS)


def channel_with_step() -> Domain:
    """Return a channel of height 1 that opens to height 2 in its middle."""
    corners = ((0.0, 0.0), (4.0, 0.0), (4.0, 2.0), (2.0, 2.0), (2.0, 1.0), (0.0, 1.0))
    return domain.polygon(corners, ("walls", "outlet", "walls", "walls", "walls", "inlet"))


def step(seed: int) -> Task:
    """Steady flow in a channel of height 1 that opens upward to height 2 at x = 2.

    u = 4y (1 - y) and v = 0 at the inlet x = 0; p = 0 and v = 0 at the outlet x = 4; at rest on the walls. PINNacle has
    p = 0 alone at the outlet, which leaves the flow there undetermined.
    """
    area = channel_with_step().sample(n=INTERIOR, boundary=BOUNDARY)
    x, y, _ = area.variable("interior")
    net = network(2, 3, seed)
    out = net(x, y)
    in_x, in_y, _ = area.variable("inlet")
    leaving = net(*area.variable("outlet")[:2])
    terms = equations(out, x, y)
    terms["inlet"] = velocity(net(in_x, in_y), 4 * in_y * (1 - in_y))
    terms["outlet"] = leaving[1].mse + leaving[2].mse
    terms["walls"] = velocity(net(*area.variable("walls")[:2]))
    return Task(terms, stored_answers("pinnacle/ns2d-cg", u=out[0], v=out[1], p=out[2]), EQUATIONS)


def breathing(seed: int) -> Task:
    """Flow in [0, 2] x [0, 1] until t = 5, from rest, with a force (0, -sin(πx) sin(πy) sin(πt)).

    u = sin(πy) (sin(πt) + sin(3πt) + sin(5πt)) and v = 0 at the inlet x = 0, p = 0 and v = 0 at the outlet x = 2,
    through which fluid enters too; at rest on the walls. PINNacle has p = 0 alone at the outlet, and at t = 0 as well,
    where the inlet's acceleration takes a pressure at once.
    """
    area = domain.rect((0.0, 0.0), (2.0, 1.0), n=INTERIOR, boundary=BOUNDARY)
    area = area.over_time(0.0, 5.0, initial=INITIAL)
    x, y, t = area.variable("interior")
    net = network(3, 3, seed)
    out = net(x, y, t)
    _, in_y, in_t = inlet = area.variable("left")
    leaving, start = net(*area.variable("right")), net(*area.variable("initial"))
    force = sin(π * x) * sin(π * y) * sin(π * t)
    terms = equations(out, x, y, (out[0].d(t), out[1].d(t) + force))
    breath = sin(π * in_t) + sin(3 * π * in_t) + sin(5 * π * in_t)
    terms["start"] = velocity(start)
    terms["inlet"] = velocity(net(*inlet), sin(π * in_y) * breath)
    terms["outlet"] = leaving[1].mse + leaving[2].mse
    terms["walls"] = velocity(net(*area.variable("bottom"))) + velocity(net(*area.variable("top")))
    return Task(terms, stored_answers("pinnacle/ns2d-lt", u=out[0], v=out[1], p=out[2]), EQUATIONS)


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/ns2d-c",
        STEADY + ", lid-driven",
        "finite elements of Taylor and Hood",
        cavity,
        EPOCHS,
        reference_error=6.1e-4,
        published=0.036,
        published_by="LAAF",
    ),
    BenchmarkProblem(
        "pinnacle/ns2d-cg",
        STEADY + ", over a step",
        "finite elements of Taylor and Hood",
        step,
        EPOCHS,
        reference_error=5.3e-5,
        published=0.0824,
        published_by="LAAF",
    ),
    BenchmarkProblem(
        "pinnacle/ns2d-lt",
        "u_t + u·∇u + ∇p = Δu / 100 + f, div u = 0",
        "finite elements of Taylor and Hood",
        breathing,
        EPOCHS,
        reference_error=1.8e-4,
        published=0.97,
        published_by="LBFGS",
    ),
)
