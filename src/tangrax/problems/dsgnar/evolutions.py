"""Equations in x and t: Burgers, Kuramoto and Sivashinsky, waves, Korteweg and de Vries.

DSGNAR solves some of them in slabs of time, one after the other: that is left to the method here, as weights are.
"""

import math

import numpy as np

from ... import domain, numpy as tnp
from ...domain import Domain
from ...expr import Node
from ..burgers import solution
from ..problem import Answer, BenchmarkProblem, Task
from ..stored import stored_answers
from .trainable_scales import scaled_mlp, trained_siren

π = math.pi
INSIDE, EDGE = 2**15, 2**14
EPOCHS = 200  # unless a user says otherwise


def strip(lower: float, upper: float) -> tuple[Domain, tuple[Node, ...]]:
    """Return an interval over t in (0, 1) with random points inside, and the coordinates of even ones at t = 0."""
    line = domain.line(lower, upper, n=INSIDE, sampler="uniform").over_time(0.0, 1.0)
    even = np.linspace(lower, upper, EDGE, endpoint=False)
    return line, line.points("start", np.column_stack([even, np.zeros(EDGE)]))


def burgers(seed: int) -> Task:
    """u_t + u u_x = u_xx / 100 on (-1, 1), u(x, 0) = -sin(πx), periodic by cos and sin of πx as inputs."""
    line, (x0, t0) = strip(-1.0, 1.0)
    x, t = line.variable("interior")
    net = trained_siren(3, 40, seed)
    u = net(tnp.periodic(x, 2.0), t)
    terms = {
        "pde": (u.d(t) + u * u.d(x) - 0.01 * u.d2(x)).mse,
        "start": (net(tnp.periodic(x0, 2.0), t0) + tnp.sin(π * x0)).mse,
    }
    places, times = np.meshgrid(np.linspace(-1, 1, 128, endpoint=False), np.linspace(0, 1, 100))
    at = np.column_stack([places.ravel(), times.ravel()])
    return Task(terms, {"u": Answer(u, solution(*at.T, nodes=120, viscosity=0.01), at)})


def kuramoto_sivashinsky(seed: int) -> Task:
    """u_t + α u u_x + β u_xx + γ u_xxxx = 0, α = 100/16, β = 100/16², γ = 100/16⁴, periodic in (0, 2π) by its inputs.

    u(x, 0) = cos(x) (1 + sin(x)).
    """
    line, (x0, t0) = strip(0.0, 2 * π)
    x, t = line.variable("interior")
    net = scaled_mlp(3, 70, seed)
    u = net(tnp.periodic(x, 2 * π), t)
    terms = {
        "pde": (u.d(t) + 100 / 16 * u * u.d(x) + 100 / 16**2 * u.d2(x) + 100 / 16**4 * u.d(x, 4)).mse,
        "start": (net(tnp.periodic(x0, 2 * π), t0) - tnp.cos(x0) * (1 + tnp.sin(x0))).mse,
    }
    return Task(terms, stored_answers("pinnacle/ks", u=u))


def wave(seed: int) -> Task:
    """u_tt = 4 u_xx on (0, 1), u(x, 0) = sin(πx) + sin(4πx)/2 at rest, u = 0 at both ends."""
    line, (x0, t0) = strip(0.0, 1.0)
    x, t = line.variable("interior")
    times = np.linspace(0, 1, EDGE // 2, endpoint=False)
    walls = np.concatenate([np.column_stack([np.full(EDGE // 2, end), times]) for end in (0.0, 1.0)])
    ends = line.points("ends", walls)
    net = trained_siren(2, 60, seed)
    u, start = net(x, t), net(x0, t0)
    terms = {
        "pde": (u.d2(t) - 4 * u.d2(x)).mse,
        "start": (start - tnp.sin(π * x0) - tnp.sin(4 * π * x0) / 2).mse,
        "at rest": start.d(t0).mse,
        "ends": net(*ends).mse,
    }
    exact = tnp.sin(π * x) * tnp.cos(2 * π * t) + tnp.sin(4 * π * x) * tnp.cos(8 * π * t) / 2
    place, time = np.meshgrid(np.linspace(0, 1, 64, endpoint=False), np.linspace(0, 1, 101))
    return Task(terms, {"u": Answer(u, exact, np.column_stack([place.ravel(), time.ravel()]))})


def korteweg_de_vries(seed: int) -> Task:
    """u_t + u u_x + 0.022² u_xxx = 0 on (-1, 1), u(x, 0) = cos(πx), periodic by its inputs."""
    line, (x0, t0) = strip(-1.0, 1.0)
    x, t = line.variable("interior")
    net = trained_siren(3, 60, seed)
    u = net(tnp.periodic(x, 2.0), t)
    terms = {
        "pde": (u.d(t) + u * u.d(x) + 0.022**2 * u.d(x, 3)).mse,
        "start": (net(tnp.periodic(x0, 2.0), t0) - tnp.cos(π * x0)).mse,
    }
    return Task(terms, stored_answers("dsgnar/korteweg-de-vries", u=u))


PROBLEMS = (
    BenchmarkProblem(
        "dsgnar/burgers",
        "u_t + u u_x = u_xx / 100",
        "integral of Cole and Hopf",
        burgers,
        EPOCHS,
        reference_error=1e-13,
        published=7.97e-14,
        published_by="DSGNAR",
    ),
    BenchmarkProblem(
        "dsgnar/kuramoto-sivashinsky",
        "u_t + 6.25 u u_x + 0.39 u_xx + 1.5e-3 u_xxxx = 0",
        "Fourier series, ETDRK4",
        kuramoto_sivashinsky,
        EPOCHS,
        reference_error=7.3e-11,
        published=5.12e-7,
        published_by="DSGNAR",
    ),
    BenchmarkProblem(
        "dsgnar/wave",
        "u_tt = 4 u_xx",
        "closed form",
        wave,
        EPOCHS,
        reference_error=0.0,
        published=1.2e-15,
        published_by="DSGNAR",
    ),
    BenchmarkProblem(
        "dsgnar/korteweg-de-vries",
        "u_t + u u_x + 0.022² u_xxx = 0",
        "Fourier series, ETDRK4",
        korteweg_de_vries,
        EPOCHS,
        reference_error=1e-11,
        published=8.24e-11,
        published_by="DSGNAR",
    ),
)
