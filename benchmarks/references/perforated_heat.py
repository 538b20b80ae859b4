"""Heat in a plate with many holes: quadratic elements of a quarter, and exponentials of what is not at rest yet.

As all data is constant in time, u is the final state less what decays of it, so that no time is stepped through.
"""

import itertools
from typing import Any

import numpy as np
import skfem
from scipy.sparse.linalg import splu
from skfem import helpers

from tangrax.problems.pinnacle.domains_with_holes import HEATED, WARMED

from .lanczos_decay import decaying
from .reference import Reference, difference, scattered
from .round_holes import arc, probed, triangles

π = np.pi
of: Any = helpers  # their annotations allow for what is no array
TIMES = np.arange(1, 31) / 10
POINTS = 200  # at each time
WIDTH, HEIGHT = 8.0, 12.0


@skfem.BilinearForm
def stiffness(u: Any, v: Any, _: Any) -> Any:
    return of.dot(of.grad(u), of.grad(v))


@skfem.BilinearForm
def mass(u: Any, v: Any, _: Any) -> Any:
    return u * v


@skfem.LinearForm
def load(v: Any, _: Any) -> Any:
    return v


def quarter(size: float) -> Any:
    """Return triangles of the quarter with x, y > 0."""
    rim = size / 2
    middle, top, right = (0.0, 0.0, 1.0), (0.0, 6.0, 1.0), (3.2, 0.0, 0.4)

    def straight(*corners: tuple[float, float]) -> np.ndarray:
        pieces = []
        for a, b in itertools.pairwise(corners):
            count = int(np.ceil(np.hypot(b[0] - a[0], b[1] - a[1]) / size))
            pieces.append(np.linspace(a, b, count + 1)[1:-1])
            pieces.append(np.array([b]))
        return np.concatenate(pieces)[:-1]

    outline = [
        straight((1.0, 0.0), (2.8, 0.0)),
        arc(right, π, 0.0, rim),
        straight((3.6, 0.0), (WIDTH, 0.0), (WIDTH, HEIGHT), (0.0, HEIGHT), (0.0, 7.0)),
        arc(top, π / 2, -π / 2, rim),
        straight((0.0, 5.0), (0.0, 1.0)),
        arc(middle, π / 2, 0.0, rim),
    ]
    corners = np.concatenate(outline)
    corners[abs(corners) < 1e-12] = 0.0
    inside = [each for each in (*HEATED, *WARMED) if each.x > each.radius and each.y > each.radius]
    return triangles(corners, inside, (middle, top, right), size, rim)


def temperature(size: float, points: np.ndarray, steps: int = 40) -> np.ndarray:
    """Return u at the times and points of the quarter, (times, points), by triangles of that size."""
    mesh = quarter(size)
    basis = skfem.Basis(mesh, skfem.ElementTriP2(), intorder=5)
    k, m = stiffness.assemble(basis), mass.assemble(basis)
    rhs = np.zeros(basis.N)
    for facets, prescribed in outer(mesh):
        rim = skfem.FacetBasis(mesh, skfem.ElementTriP2(), facets=facets, intorder=5)
        k = k + mass.assemble(rim)
        rhs += prescribed * load.assemble(rim)
    final = splu(k.tocsc()).solve(rhs)
    shift = 0.05
    factors = splu((m + shift * k).tocsc())
    decayed = decaying(lambda v: factors.solve(m @ v), final, TIMES, shift, steps, lambda v: m @ v)
    return (final - decayed) @ probed(basis, points).T


def outer(mesh: Any) -> list[tuple[np.ndarray, float]]:
    """Return the facets of the large holes, the small ones and the sides, with g of u_n = g - u."""
    facets = mesh.boundary_facets()
    ends = mesh.p[:, mesh.facets[:, facets]]

    def on(holes: Any) -> np.ndarray:
        gaps = [np.abs(np.hypot(ends[0] - hole.x, ends[1] - hole.y) - hole.radius).max(axis=0) for hole in holes]
        return facets[np.min(gaps, axis=0) < 1e-9]

    sides = np.any(np.all(ends == np.array([WIDTH, HEIGHT])[:, None, None], axis=1), axis=0)
    return [(on(HEATED), 5.0), (on(WARMED), 1.0), (facets[sides], 0.1)]


def reference(size: float = 0.1) -> Reference:
    """Return values by triangles of that size; the error is what those of 3/2 the size have."""
    at = scattered(POINTS * len(TIMES), (-WIDTH, -HEIGHT), (WIDTH, HEIGHT), (*HEATED, *WARMED))
    by_time = np.abs(at).reshape(len(TIMES), POINTS, 2)
    flat = by_time.reshape(-1, 2)
    values, rough = (
        temperature(each, flat).reshape(len(TIMES), len(TIMES), POINTS)[np.arange(len(TIMES)), np.arange(len(TIMES))]
        for each in (size, 1.5 * size)
    )
    rows = np.column_stack([at, np.repeat(TIMES, POINTS)])
    return Reference(
        rows.astype(np.float32),
        values.reshape(-1, 1).astype(np.float32),
        difference(rough, values),
        "quadratic elements",
    )


REFERENCES = {"pinnacle/heat2d-cg": reference}
