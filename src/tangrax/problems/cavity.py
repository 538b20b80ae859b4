"""The lid-driven cavity: steady flow in a square whose lid moves, at Reynolds number 100."""

import functools
import math
from typing import Any

import numpy as np
import scipy

from .. import domain, nn, numpy as tnp
from ..expr import Node
from .problem import Answer, LibraryProblem, Task

REYNOLDS = 100


def flow(n: int) -> tuple[np.ndarray, np.ndarray]:
    """u and v at the (n + 1)² nodes of a grid, a row for each y, with errors that fall as n⁻².

    Central differences of ψ and ω, Thom's formula for ω on the walls, Newton's method.
    """
    h, m = 1 / n, n - 1
    node = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    inner = node[1:-1, 1:-1].ravel()
    place: Any = scipy.sparse.csr_matrix((np.ones(m * m), (inner, np.arange(m * m))), shape=((n + 1) ** 2, m * m))

    def stencil(weights: dict[int, float]) -> Any:
        rows, shifts = np.tile(np.arange(m * m), len(weights)), np.repeat(list(weights), m * m)
        values = np.repeat(list(weights.values()), m * m)
        return scipy.sparse.csr_matrix((values, (rows, inner[rows] + shifts)), shape=(m * m, (n + 1) ** 2))

    d_x = stencil({1: 0.5 / h, -1: -0.5 / h})
    d_y = stencil({n + 1: 0.5 / h, -n - 1: -0.5 / h})
    laplace = stencil({0: -4 / h**2, 1: 1 / h**2, -1: 1 / h**2, n + 1: 1 / h**2, -n - 1: 1 / h**2})
    edges = (0, slice(1, -1)), (-1, slice(1, -1)), (slice(1, -1), 0), (slice(1, -1), -1)
    beside = (1, slice(1, -1)), (-2, slice(1, -1)), (slice(1, -1), 1), (slice(1, -1), -2)
    rows, columns = (np.concatenate([node[each] for each in sides]) for sides in (edges, beside))
    thom = scipy.sparse.csr_matrix((np.full(4 * m, -2 / h**2), (rows, columns)), shape=((n + 1) ** 2,) * 2) @ place
    lid = np.zeros((n + 1) ** 2)
    lid[node[-1, 1:-1]] = -2 / h

    ψ, ω = np.zeros(m * m), np.zeros(m * m)
    for _ in range(30):
        vorticity = place @ ω + thom @ ψ + lid
        u, v = d_y @ place @ ψ, -(d_x @ place @ ψ)
        ω_x, ω_y = d_x @ vorticity, d_y @ vorticity
        first = laplace @ place @ ψ + ω
        second = u * ω_x + v * ω_y - laplace @ vorticity / REYNOLDS
        carried = scipy.sparse.diags(u) @ d_x + scipy.sparse.diags(v) @ d_y - laplace / REYNOLDS
        by_ψ = scipy.sparse.diags(ω_x) @ d_y @ place - scipy.sparse.diags(ω_y) @ d_x @ place + carried @ thom
        jacobian = scipy.sparse.bmat([[laplace @ place, scipy.sparse.identity(m * m)], [by_ψ, carried @ place]]).tocsc()
        change = np.asarray(scipy.sparse.linalg.spsolve(jacobian, -np.concatenate([first, second])))
        ψ, ω = ψ + change[: m * m], ω + change[m * m :]
        if abs(change[: m * m]).max() < 1e-12:
            break
    else:
        raise RuntimeError("Newton's method did not converge")
    full_u, full_v = np.zeros((n + 1) ** 2), np.zeros((n + 1) ** 2)
    full_u[inner], full_v[inner] = d_y @ place @ ψ, -(d_x @ place @ ψ)
    full_u[node[-1]] = 1
    return full_u.reshape(n + 1, n + 1), full_v.reshape(n + 1, n + 1)


@functools.cache
def reference() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (x, y, t = 0) of 15 x 15 nodes, u and v there: from 64 and 128 cells to none, by Richardson's extrapolation.

    From 32, 64 to 64, 128 cells the extrapolated values change by 2e-3, so that 5e-4 or so is left.
    """
    (coarse_u, coarse_v), (fine_u, fine_v) = flow(64), flow(128)
    u, v = (
        (4 * fine[8:-1:8, 8:-1:8] - coarse[4:-1:4, 4:-1:4]) / 3
        for coarse, fine in ((coarse_u, fine_u), (coarse_v, fine_v))
    )
    nodes = np.arange(1, 16) / 16
    x, y = np.meshgrid(nodes, nodes)
    return np.column_stack([x.ravel(), y.ravel(), np.zeros(225)]), u.ravel(), v.ravel()


def scraped(along: Node, beneath: Node) -> Node:
    """ψ of slow flow in the corner of a wall and a lid that moves, from the distances to wall and lid.

    r f(θ), biharmonic; u = 1 on the lid. Batchelor, An Introduction to Fluid Dynamics (1967), section 4.8.
    """
    c = 1 / (math.pi**2 / 4 - 1)
    angle = tnp.arctan2(beneath, along)
    return -c * math.pi**2 / 4 * beneath + angle * c * (math.pi / 2 * beneath + along)


def cavity(seed: int) -> Task:
    """u·∇ω = Δω / 100 with u = ψ_y, v = -ψ_x, ω = -Δψ: no pressure, and no divergence, by construction.

    Velocities on the boundary are hard constraints on ψ. In the upper corners they jump, and ω is infinite: the slow
    flow of both corners is beside the network, and residuals have the weight of the squared distances to them.
    """
    x, y, _ = domain.rect(n=1500).variable("interior")
    net = nn.mlp(2, width=24, depth=2, key=seed)
    share = 1 - x**3 * (10 - 15 * x + 6 * x**2)  # 1 at the left wall, 0 at the right, flat at both
    corners = share * scraped(x, 1 - y) + (1 - share) * scraped(1 - x, 1 - y)
    walls = 16 * x * (1 - x) * y * (1 - y)
    ψ = y**2 * (3 - 2 * y) * corners + walls**2 * net(x, y)
    u, v, ω = ψ.d(y), -ψ.d(x), -ψ.laplacian(x, y)
    weight = (x**2 + (1 - y) ** 2) * ((1 - x) ** 2 + (1 - y) ** 2)
    pde = weight * (u * ω.d(x) + v * ω.d(y) - ω.laplacian(x, y) / REYNOLDS)
    at, exact_u, exact_v = reference()
    return Task({"vorticity": pde.mse}, {"u": Answer(u, exact_u, at), "v": Answer(v, exact_v, at)})


PROBLEMS = (
    LibraryProblem(
        "cavity", "u·∇ω = Δω / 100, lid-driven", "finite differences, extrapolated", cavity, 160, 1e-2, 20, 8e-1
    ),
)
