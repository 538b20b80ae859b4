"""A plate under load, in plane strain."""

import math

from .. import domain, nn, numpy as tnp
from ..expr import Node
from .problem import Answer, LibraryProblem, Task

π = math.pi
sin, cos = tnp.sin, tnp.cos


def stress(u: Node, v: Node, x: Node, y: Node) -> tuple[Node, Node, Node]:
    """σxx, σyy, σxy of displacements, with Lamé's constants λ = 1 and μ = 1/2."""
    spread = u.d(x) + v.d(y)
    return spread + u.d(x), spread + v.d(y), (u.d(y) + v.d(x)) / 2


def exact(x: Node, y: Node) -> tuple[Node, Node]:
    """Displacements, zero where y = 0."""
    return cos(2 * π * x) * sin(π * y), sin(π * x) * y**4


def plate(seed: int) -> Task:
    """div σ + f = 0: held below and at its sides, pulled on top, where normal and shear stress are given.

    f and the pull are those of u = cos(2πx) sin(πy), v = sin(πx) y⁴.
    """
    square = domain.rect(n=1000, boundary=300)
    x, y, _ = square.variable("interior")
    net = nn.mlp(2, 2, width=20, depth=3, key=seed)

    def equilibrium(u: Node, v: Node) -> tuple[Node, Node]:
        xx, yy, xy = stress(u, v, x, y)
        return xx.d(x) + xy.d(y), xy.d(x) + yy.d(y)

    moved, reference = net(x, y), exact(x, y)
    along, across = (a - b for a, b in zip(equilibrium(moved[0], moved[1]), equilibrium(*reference), strict=True))
    terms = {"along": along.mse, "across": across.mse}
    for side in ("bottom", "left", "right"):
        xs, ys, _ = square.variable(side)
        edge, exact_edge = net(xs, ys), exact(xs, ys)
        terms[side] = 100 * ((edge[0] - exact_edge[0]).mse + (edge[1] - exact_edge[1]).mse)
    xt, yt, _ = square.variable("top")
    top = net(xt, yt)
    _, yy, xy = stress(top[0], top[1], xt, yt)
    _, normal, shear = stress(*exact(xt, yt), xt, yt)
    terms["top"] = 10 * ((yy - normal).mse + (xy - shear).mse)
    return Task(terms, {"u": Answer(moved[0], reference[0]), "v": Answer(moved[1], reference[1])})


PROBLEMS = (LibraryProblem("elasticity", "div σ + f = 0, plane strain", "manufactured", plate, 240, 1e-8, 40, 1e-2),)
