"""Burgers' equation: the line, whose sine becomes a shock, and the square, with waves that become fronts."""

import functools
import math
from typing import Any

import numpy as np

from ... import domain, numpy as tnp
from ...expr import Node
from ..burgers import VISCOSITY, solution
from ..problem import Answer, BenchmarkProblem, Task
from ..stored import stored_answers
from .setting import BOUNDARY, EPOCHS, INITIAL, INTERIOR, network

SQUARE_VISCOSITY = 0.001


def line(seed: int) -> Task:
    """u_t + u u_x = ν u_xx, ν = 0.01/π, u(x, 0) = -sin(πx) for x in [-1, 1], u = 0 at both ends."""
    over_time = domain.line(-1.0, 1.0, n=INTERIOR, boundary=BOUNDARY).over_time(0.0, 1.0, initial=INITIAL)
    x, t = over_time.variable("interior")
    x0, t0 = over_time.variable("initial")
    net = network(2, 1, seed)
    u = net(x, t)
    terms = {
        "pde": (u.d(t) + u * u.d(x) - VISCOSITY * u.d2(x)).mse,
        "start": (net(x0, t0) + tnp.sin(math.pi * x0)).mse,
        "ends": net(*over_time.variable("boundary")).mse,
    }
    at = places()
    return Task(terms, {"u": Answer(u, solution(*at.T), at)})


def places() -> np.ndarray:
    """Return rows (x, t) of 101 even places and 10 times after the first."""
    x, t = np.meshgrid(np.linspace(-1, 1, 101), np.arange(1, 11) / 10)
    return np.column_stack([x.ravel(), t.ravel()])


@functools.cache
def amplitudes() -> tuple[np.ndarray, np.ndarray, float]:
    """Return those of sines and cosines, (2, 2, 4, 4), by unknown and kind, the means (2,), and the largest value.

    As in PINNacle's generator: numbers of NumPy's Mersenne twister, and the largest value of 512 x 512 nodes.
    """
    draw = np.random.RandomState(20220722)
    waves, means = draw.standard_normal((2, 2, 4, 4)), draw.standard_normal(2)
    x = np.linspace(0, 4, 512)
    return waves, means, float(max(wave.max() for wave in sums(waves, x[:, None], x[None], np)))


def sums(waves: np.ndarray, x: Any, y: Any, of: Any) -> list[Any]:
    """Return Σ A sin(2π (ix + jy)) + B cos(2π (ix + jy)), i, j = 0 … 3, for both unknowns."""
    # By products of functions of one coordinate, of which there are few.
    sines, cosines = ([[f(2 * math.pi * k * each) for k in range(4)] for each in (x, y)] for f in (of.sin, of.cos))
    totals: list[Any] = [0.0, 0.0]
    for i in range(4):
        for j in range(4):
            sine = sines[0][i] * cosines[1][j] + cosines[0][i] * sines[1][j]
            cosine = cosines[0][i] * cosines[1][j] - sines[0][i] * sines[1][j]
            for unknown, (a, b) in enumerate(waves[:, :, i, j]):
                totals[unknown] = totals[unknown] + float(a) * sine + float(b) * cosine
    return totals


def start(x: Any, y: Any, of: Any = np) -> list[Any]:
    """Return u and v at t = 0."""
    waves, means, largest = amplitudes()
    return [2 / largest * each + float(mean) for each, mean in zip(sums(waves, x, y, of), means, strict=True)]


def square(seed: int) -> Task:
    """(u, v)_t + (u ∂x + v ∂y) (u, v) = Δ(u, v) / 1000 on [0, 4]², both periodic in x and in y.

    PINNacle asks that of values alone, which leaves the solution open: here slopes are periodic too. The start is a sum
    of 16 sines and 16 cosines for each, drawn by PINNacle's seed, of period 1. PINNacle has it by linear interpolation
    between 512 x 512 nodes; here it is the sum itself.
    """
    sheet = domain.rect((0.0, 0.0), (4.0, 4.0), n=INTERIOR, boundary=BOUNDARY)
    sheet = sheet.over_time(0.0, 1.0, initial=INITIAL)
    x, y, t = sheet.variable("interior")
    net = network(3, 2, seed)
    out = net(x, y, t)
    u, v = out[0], out[1]

    def rate(w: Node) -> Node:
        return w.d(t) + u * w.d(x) + v * w.d(y) - SQUARE_VISCOSITY * w.laplacian(x, y)

    x0, y0, t0 = sheet.variable("initial")
    first, starts = net(x0, y0, t0), start(x0, y0, tnp)
    left_x, left_y, left_t = sheet.variable("left")
    bottom_x, bottom_y, bottom_t = sheet.variable("bottom")
    across = net(left_x, left_y, left_t) - net(left_x + 4, left_y, left_t)
    along = net(bottom_x, bottom_y, bottom_t) - net(bottom_x, bottom_y + 4, bottom_t)
    terms = {
        "u": rate(u).mse,
        "v": rate(v).mse,
        "start": (first[0] - starts[0]).mse + (first[1] - starts[1]).mse,
        "periodic in x": across.mse,
        "slopes in x": across.d(left_x).mse,
        "periodic in y": along.mse,
        "slopes in y": along.d(bottom_y).mse,
    }
    return Task(terms, stored_answers("pinnacle/burgers2d-c", u=u, v=v), ("u", "v"))


PROBLEMS = (
    BenchmarkProblem(
        "pinnacle/burgers1d-c",
        "u_t + u u_x = 0.01/π u_xx",
        "integral of Cole and Hopf",
        line,
        EPOCHS,
        reference_error=1e-13,
        published=0.0133,
        published_by="LBFGS",
    ),
    BenchmarkProblem(
        "pinnacle/burgers2d-c",
        "(u, v)_t + (u, v)·∇(u, v) = Δ(u, v) / 1000",
        "Fourier series, RK4",
        square,
        EPOCHS,
        reference_error=1.5e-4,
        published=0.26,
        published_by="LRA",
    ),
)
