"""Poisson's equation in ten and five dimensions and with many scales, and the lid-driven cavity."""

import math
from collections.abc import Sequence

import numpy as np

from ... import domain, numpy as tnp
from ...expr import Node
from ..field_operators import total
from ..flows import momentum
from ..problem import Answer, BenchmarkProblem, Task
from ..stored import stored_answers
from .evolutions import EDGE, EPOCHS, INSIDE
from .trainable_scales import gabor, separable, trained_siren

π = math.pi
SCALES = (4, 8, 12, 16)


def poisson_10d(seed: int) -> Task:
    """-Δu = 0 on [0, 1]¹⁰, u = x₁x₂ + x₃x₄ + x₅x₆ + x₇x₈ + x₉x₁₀ on the boundary, which is the solution."""
    cube = domain.box((0.0,) * 10, (1.0,) * 10, n=2**16, boundary=2**15, sampler="uniform")
    *x, _ = cube.variable("interior")
    *xb, _ = cube.variable("boundary")
    net = separable(10, 40, seed)
    u = net(*x)

    def exact(x: Sequence[Node]) -> Node:
        return total([a * b for a, b in zip(x[::2], x[1::2], strict=True)])

    at = np.random.default_rng(0).uniform(size=(50_000, 10))
    terms = {"pde": u.laplacian(*x).mse, "boundary": (net(*xb) - exact(xb)).mse}
    return Task(terms, {"u": Answer(u, exact(x), np.column_stack([at, np.zeros(len(at))]))})


def poisson_5d(seed: int) -> Task:
    """-Δu = π² Σ cos(πxᵢ) on [0, 1]⁵, u = Σ cos(πxᵢ) on the boundary, which is the solution.

    Compared at 8⁵ even nodes: every other one of DSGNAR's along each axis.
    """
    cube = domain.box((0.0,) * 5, (1.0,) * 5, n=INSIDE, boundary=EDGE, sampler="uniform")
    *x, _ = cube.variable("interior")
    *xb, _ = cube.variable("boundary")
    net = gabor(5, 1024, seed)
    u = net(*x)
    exact, edge = (total([tnp.cos(π * each) for each in axes]) for axes in (x, xb))
    at = np.stack(np.meshgrid(*[np.linspace(0, 1, 8)] * 5, [0.0]), axis=-1).reshape(-1, 6)
    terms = {"pde": (u.laplacian(*x) + π**2 * exact).mse, "boundary": (net(*xb) - edge).mse}
    return Task(terms, {"u": Answer(u, exact, at)})


def multi_scale(seed: int) -> Task:
    """-Δu = f on [0, 1]², u = 0 on the boundary, u = Σ sin(wπx) sin(wπy) / 4, w = 4, 8, 12, 16.

    The inputs are cos and sin of 2πkx and 2πky, k = 1, 2, 4, 8. Compared at every seventh node of DSGNAR's 512 x 512.
    """
    plate = domain.rect(n=INSIDE, boundary=EDGE, sampler="uniform")
    x, y, _ = plate.variable("interior")
    xb, yb, _ = plate.variable("boundary")
    net = trained_siren(16, 60, seed)

    def field(*axes: Node) -> Node:
        return net(*[tnp.periodic(2**m * each, 1.0) for m in range(4) for each in axes])

    u = field(x, y)
    waves = {w: tnp.sin(w * π * x) * tnp.sin(w * π * y) for w in SCALES}
    source = total([(w * π) ** 2 / 2 * wave for w, wave in waves.items()])
    at = np.stack(np.meshgrid(*[np.linspace(0, 1, 74)] * 2, [0.0]), axis=-1).reshape(-1, 3)
    terms = {"pde": (u.laplacian(x, y) + source).mse, "boundary": field(xb, yb).mse}
    return Task(terms, {"u": Answer(u, total(list(waves.values())) / 4, at)})


def crowded(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points inside the cavity and on its walls, (n, 2), where some more lie under the lid and in its corners.

    Inside, a 16th at y > 0.9 and a 16th in the two upper corners; on the walls, a 16th on the lid near its ends.
    """
    draw = np.random.default_rng(seed)
    few = INSIDE // 16
    under = draw.uniform((0.0, 0.9), (1.0, 1.0), (few, 2))
    away = 0.1 * draw.uniform(size=(few, 2)) ** 2
    corners = np.column_stack([np.where(np.arange(few) % 2, away[:, 0], 1 - away[:, 0]), 1 - away[:, 1]])
    inside = np.concatenate([draw.uniform(size=(INSIDE - 2 * few, 2)), under, corners])
    few = EDGE // 16
    along, side = draw.uniform(size=EDGE - few), draw.integers(4, size=EDGE - few)
    walls = np.where((side < 2)[:, None], np.stack([along, side], 1), np.stack([side - 2, along], 1))
    near = 0.1 * draw.uniform(size=few)
    lid = np.column_stack([np.where(np.arange(few) % 2, near, 1 - near), np.ones(few)])
    return inside, np.concatenate([walls, lid])


def cavity(seed: int) -> Task:
    """u·∇u + ∇p = Δu / 100, div u = 0 on [0, 1]²; u = 4x (1 - x) on the lid, u = v = 0 elsewhere; p up to a constant.

    Compared are u and v.
    """
    inside, walls = crowded(0)
    square = domain.rect(n=1)
    x, y, _ = square.points("inside", inside)
    xb, yb, _ = square.points("walls", walls)
    lid = square.values("walls", np.where(walls[:, 1] == 1, 4 * walls[:, 0] * (1 - walls[:, 0]), 0.0))
    net = trained_siren(2, 60, seed, outputs=3)
    out, wall = net(x, y), net(xb, yb)
    u, v, p = out[0], out[1], out[2]
    along, across = momentum(u, v, p, x, y, 0.01)
    terms = {
        "momentum x": along.mse,
        "momentum y": across.mse,
        "continuity": (u.d(x) + v.d(y)).mse,
        "walls": (wall[0] - lid).mse + wall[1].mse,
    }
    return Task(terms, stored_answers("dsgnar/cavity", u=u, v=v), ("momentum x", "momentum y", "continuity"))


PROBLEMS = (
    BenchmarkProblem(
        "dsgnar/poisson-10d",
        "-Δu = 0, 10 dimensions",
        "closed form",
        poisson_10d,
        EPOCHS,
        reference_error=0.0,
        published=5.96e-12,
        published_by="DSGNAR",
    ),
    BenchmarkProblem(
        "dsgnar/poisson-5d",
        "-Δu = π² Σ cos(πxᵢ), 5 dimensions",
        "closed form",
        poisson_5d,
        EPOCHS,
        reference_error=0.0,
        published=3.03e-16,
        published_by="DSGNAR",
    ),
    BenchmarkProblem(
        "dsgnar/cavity",
        "u·∇u + ∇p = Δu / 100, div u = 0",
        "Galerkin's method for ψ",
        cavity,
        EPOCHS,
        reference_error=1.6e-6,
        published=1.13e-4,
        published_by="DSGNAR",
    ),
    BenchmarkProblem(
        "dsgnar/multi-scale",
        "-Δu = f, four scales",
        "closed form",
        multi_scale,
        EPOCHS,
        reference_error=0.0,
        published=4.46e-14,
        published_by="DSGNAR",
    ),
)
