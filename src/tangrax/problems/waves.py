"""Waves, convection, Klein and Gordon's equation, solitons of Korteweg, de Vries and of Schrödinger."""

import math

from .. import domain, nn, numpy as tnp
from ..expr import Node
from .problem import Answer, LibraryProblem, Task

π = math.pi
sin, cos, exp = tnp.sin, tnp.cos, tnp.exp


def harmonics(t: Node, length: float, count: int) -> list[Node]:
    """cos and sin of 2πkt/length, k = 1 … count: inputs of a network that is to oscillate in t."""
    return [tnp.periodic(k * t, length) for k in range(1, count + 1)]


def wave(seed: int) -> Task:
    """u_tt = 4 u_xx, u(x, 0) = sin(πx) + sin(4πx)/2 at rest, ends at zero; u(x, 0) and ends by hard constraints.

    A string held at its ends is that of a line without ends, mirrored in each of them: a function of cos(πx), times
    sin(πx).
    """
    line = domain.line(n=4000).over_time(0.0, 1.0, initial=200)
    x, t = line.variable("interior")
    x0, t0 = line.variable("initial")
    net = nn.mlp(21, width=16, depth=2, key=seed)

    def field(x: Node, t: Node) -> Node:
        return sin(π * x) * net(cos(π * x), *harmonics(t, 2.0, 10))

    u, start = field(x, t), field(x0, t0)
    exact = sin(π * x) * cos(2 * π * t) + sin(4 * π * x) * cos(8 * π * t) / 2
    terms = {
        "pde": ((u.d2(t) - 4 * u.d2(x)) / 100).mse,
        "start": (start - sin(π * x0) - sin(4 * π * x0) / 2).mse,
        "at rest": (start.d(t0) / 10).mse,
    }
    return Task(terms, {"u": Answer(u, exact)})


def convection(seed: int) -> Task:
    """u_t + 30 u_x = 0, u(x, 0) = sin(x), periodic in x: by its inputs; initial values by a hard constraint."""
    x, t = domain.line(0.0, 2 * π, n=2000).over_time(0.0, 1.0).variable("interior")
    net = nn.mlp(22, width=16, depth=2, key=seed)
    u = sin(x) + t * net(tnp.periodic(x, 2 * π), *harmonics(t, 2.0, 10))
    return Task({"pde": ((u.d(t) + 30 * u.d(x)) / 30).mse}, {"u": Answer(u, sin(x - 30 * t))})


def klein_gordon(seed: int) -> Task:
    """u_tt - u_xx + u³ = f with u = sin(πx) cos(2πt), initial and boundary values by hard constraints."""
    x, t = domain.line(n=1500).over_time(0.0, 1.0).variable("interior")
    exact = sin(π * x) * cos(2 * π * t)
    u = sin(π * x) + t**2 * x * (1 - x) * nn.mlp(2, width=24, depth=3, key=seed)(x, t)
    source = -3 * π**2 * exact + exact**3
    return Task({"pde": (u.d2(t) - u.d2(x) + u**3 - source).mse}, {"u": Answer(u, exact)})


def solitons(x: Node, t: Node) -> Node:
    """Two that meet, of wave numbers 1 and 1.6: u = 2 ∂²/∂x² log F. Hirota, Phys. Rev. Lett. 27 (1971), 1192-1194."""
    k, m = 1.0, 1.6
    one, two = exp(k * x - k**3 * t), exp(m * x - m**3 * t)
    return 2 * tnp.log(1 + one + two + ((k - m) / (k + m)) ** 2 * one * two).d2(x)


def korteweg_de_vries(seed: int) -> Task:
    """u_t + 6 u u_x + u_xxx = 0 on (-8, 8) while a fast soliton overtakes a slow one.

    Initial values by a hard constraint; at the ends, u and its slope are given.
    """
    line = domain.line(-8.0, 8.0, n=2000).over_time(-2.0, 2.0)
    x, t = line.variable("interior")
    xb, tb = line.variable("boundary")
    net = nn.mlp(2, width=24, depth=3, key=seed)

    def field(x: Node, t: Node) -> Node:
        return solitons(x, -2.0 + 0 * t) + (t + 2) / 4 * net(x / 4, t)

    u, end = field(x, t), field(xb, tb)
    exact = solitons(x, t)
    terms = {
        "pde": (u.d(t) + 6 * u * u.d(x) + u.d(x, 3)).mse,
        "ends": 10 * (end - solitons(xb, tb)).mse,
        "slopes": 10 * (end.d(xb) - solitons(xb, tb).d(xb)).mse,
    }
    return Task(terms, {"u": Answer(u, exact)})


def packet(x: Node, t: Node) -> tuple[Node, Node]:
    """Real and imaginary part of sech(x - t/2) exp(i (x/2 + 3t/8)), a soliton of speed 1/2."""
    size, phase = 1 / tnp.cosh(x - t / 2), x / 2 + 3 / 8 * t
    return size * cos(phase), size * sin(phase)


def schroedinger(seed: int) -> Task:
    """i h_t + h_xx/2 + |h|² h = 0 on (-5, 5), h = u + iv: a field of two components for a complex one.

    Initial values by a hard constraint; at the ends, h is given.
    """
    line = domain.line(-5.0, 5.0, n=1500).over_time(0.0, 2.0)
    x, t = line.variable("interior")
    xb, tb = line.variable("boundary")
    net = nn.mlp(2, 2, width=24, depth=2, key=seed)

    def field(x: Node, t: Node) -> tuple[Node, Node]:
        out = net(x / 3, t)
        u, v = packet(x, 0 * t)
        return u + t * out[0], v + t * out[1]

    (u, v), ends, exact_ends = field(x, t), field(xb, tb), packet(xb, tb)
    square = u**2 + v**2
    terms = {
        "real": (-v.d(t) + u.d2(x) / 2 + square * u).mse,
        "imaginary": (u.d(t) + v.d2(x) / 2 + square * v).mse,
        "ends": 10 * (ends[0] - exact_ends[0]).mse + 10 * (ends[1] - exact_ends[1]).mse,
    }
    exact = packet(x, t)
    return Task(terms, {"u": Answer(u, exact[0]), "v": Answer(v, exact[1])})


PROBLEMS = (
    LibraryProblem("wave", "u_tt = 4 u_xx", "closed form, two modes", wave, 200, 1e-5, 20, 9e-1),
    LibraryProblem("convection", "u_t + 30 u_x = 0", "closed form", convection, 200, 1e-5, 40, 1e-1),
    LibraryProblem("klein-gordon", "u_tt - u_xx + u³ = f", "closed form", klein_gordon, 300, 1e-8, 20, 3e-1),
    LibraryProblem(
        "korteweg-de-vries",
        "u_t + 6 u u_x + u_xxx = 0",
        "closed form, two solitons",
        korteweg_de_vries,
        160,
        1e-5,
        40,
        5e-2,
    ),
    LibraryProblem(
        "schroedinger", "i h_t + h_xx/2 + |h|² h = 0", "closed form, a soliton", schroedinger, 200, 1e-8, 20, 2e-1
    ),
)
