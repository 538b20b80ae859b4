"""Waves between fixed ends: of a string, and of a membrane over a long time."""

import math
from collections.abc import Callable

from ... import domain, numpy as tnp
from ...expr import Node
from ..problem import Answer, BenchmarkProblem, Task
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

π = math.pi
sin, cos = tnp.sin, tnp.cos


def string(seed: int) -> Task:
    """u_tt = 4 u_xx, u(x, 0) = sin(πx) + sin(4πx)/2 at rest, u = 0 at both ends of [0, 1]."""
    line = domain.line(n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 1.0, initial=INITIAL)
    x, t = line.variable("interior")
    x0, t0 = line.variable("initial")
    net = network(2, 1, seed)
    u, start = net(x, t), net(x0, t0)
    terms = {
        "pde": (u.d2(t) - 4 * u.d2(x)).mse,
        "start": (start - sin(π * x0) - sin(4 * π * x0) / 2).mse,
        "at rest": start.d(t0).mse,
        "ends": net(*line.variable("boundary")).mse,
    }
    exact = sin(π * x) * cos(2 * π * t) + sin(4 * π * x) * cos(8 * π * t) / 2
    return Task(terms, {"u": Answer(u, exact)})


def membrane(seed: int) -> Task:
    """u_tt = u_xx + 2 u_yy on [0, 1]² until t = 100, two modes at rest, u = 0 on the sides.

    u = sin(πx) sin(πy) cos(√3 πt) + sin(3πx) sin(2πy) cos(√17 πt). PINNacle has sinh for a sine of each mode, and one
    frequency, which solves no wave equation: see `impossible`.
    """

    def exact(x: Node, y: Node, t: Node) -> Node:
        first = sin(π * x) * sin(π * y) * cos(math.sqrt(3) * π * t)
        return first + sin(3 * π * x) * sin(2 * π * y) * cos(math.sqrt(17) * π * t)

    return over_long(seed, exact, at_rest=True)


def impossible(seed: int) -> Task:
    """The membrane as PINNacle states it, where start and sides are those of a function that is no solution.

    u = sin(πx) sinh(πy) cos(πt) + sinh(3πx) sin(2πy) cos(πt) solves u_tt + u_xx + 2 u_yy = 0; nothing is said of u_t.
    """

    def formula(x: Node, y: Node, t: Node) -> Node:
        return (sin(π * x) * tnp.sinh(π * y) + tnp.sinh(3 * π * x) * sin(2 * π * y)) * cos(π * t)

    return over_long(seed, formula, at_rest=False)


def over_long(seed: int, exact: Callable[[Node, Node, Node], Node], at_rest: bool) -> Task:
    """u_tt = u_xx + 2 u_yy until t = 100, start and sides from a function; with `at_rest` u_t = 0 at the start."""
    sheet = domain.rect(n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 100.0, initial=INITIAL)
    x, y, t = sheet.variable("interior")
    x0, y0, t0 = sheet.variable("initial")
    sides = sheet.variable("boundary")
    net = network(3, 1, seed)
    u, start = net(x, y, t), net(x0, y0, t0)
    terms = {
        "pde": (u.d2(t) - u.d2(x) - 2 * u.d2(y)).mse,
        "start": (start - exact(x0, y0, t0)).mse,
        "sides": (net(*sides) - exact(*sides)).mse,
    }
    if at_rest:
        terms["at rest"] = start.d(t0).mse
    return Task(terms, {"u": Answer(u, exact(x, y, t))})


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/wave1d-c",
        "u_tt = 4 u_xx",
        "closed form",
        string,
        EPOCHS,
        reference_error=0.0,
        published=0.0979,
        published_by="NTK",
    ),
    BenchmarkProblem(
        "pinnacle/wave2d-ms",
        "u_tt = u_xx + 2 u_yy",
        "closed form, other than theirs",
        membrane,
        EPOCHS,
        reference_error=0.0,
        published=0.982,
        published_by="vPINN",
    ),
    BenchmarkProblem(
        "pinnacle/wave2d-ms-literal",
        "u_tt = u_xx + 2 u_yy",
        "their formula, no solution",
        impossible,
        EPOCHS,
        reference_error=math.nan,
        published=0.982,
        published_by="vPINN",
    ),
)
