"""Screened diffusion in a cube without balls: quadratic elements on tetrahedra, conjugate gradients."""

from typing import Any

import numpy as np
import scipy
import skfem
from skfem import helpers

from tangrax.problems.pinnacle.domains_with_holes import BALLS

from .reference import Reference, difference, scattered
from .round_holes import probed, tetrahedra

π = np.pi
linalg: Any = scipy.sparse.linalg
of: Any = helpers  # their annotations allow for what is no array
POINTS = 3000


@skfem.BilinearForm
def operator(u: Any, v: Any, w: Any) -> Any:
    """-Δu + k²u, k = 8 below z = 1/2, 10 above."""
    return of.dot(of.grad(u), of.grad(v)) + np.where(w.x[2] < 0.5, 64.0, 100.0) * u * v


@skfem.LinearForm
def source(v: Any, w: Any) -> Any:
    x, y, z = w.x
    square = x**2 + y**2 + z**2
    waves = np.sin(π * x), np.sin(10 * π * y), np.sin(5 * π * z)
    return (20 * np.exp(sum(waves)) * (square - 1) / (square + 1) + 100 * waves[0] * waves[1] * waves[2]) * v


def potential(size: float, points: np.ndarray) -> np.ndarray:
    """Return u at points, by tetrahedra of that size."""
    mesh = tetrahedra(BALLS, size)
    # Cells are cut by z = 1/2, where u and its slope are continuous: many points of quadrature take what that leaves.
    basis = skfem.Basis(mesh, skfem.ElementTetP2(), intorder=6)
    matrix, load = operator.assemble(basis), source.assemble(basis)
    scale = 1 / matrix.diagonal()
    near = linalg.LinearOperator(matrix.shape, matvec=lambda r: scale * r, dtype=float)
    u, failed = linalg.cg(matrix, load, rtol=1e-8, M=near)
    if failed:
        raise RuntimeError(f"conjugate gradients did not converge in {failed} steps")
    return probed(basis, points) @ u


def reference(size: float = 0.03) -> Reference:
    """Return values by tetrahedra of that size; the error is what those of 4/3 the size have."""
    at = scattered(POINTS, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), BALLS)
    fine, coarse = potential(size, at), potential(4 / 3 * size, at)
    rows = np.column_stack([at, 0 * at[:, 0]])
    return Reference(rows, fine[:, None].astype(np.float32), difference(coarse, fine), "quadratic elements")


REFERENCES = {"pinnacle/poisson3d-cg": reference}
