"""Diffusion in 5 x 5 blocks: finite elements of many degrees, that shrink geometrically towards the blocks' edges.

Where four blocks meet, u - u₀ goes as a small power of the distance, so that the last cells must be tiny: nodes are
kept as distances from the nearest edge. Matrices are products of those along each axis.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from numpy.polynomial import Legendre, legendre
from scipy.sparse.linalg import splu

from tangrax.problems.pinnacle.rough_coefficients import blocks

from .reference import Reference, difference, scattered

sparse: Any = scipy.sparse
BLOCKS, SIDE = 5, 4.0
RATIO = 0.17  # of neighboring cells, the best for such powers: Gui and Babuška, Numer. Math. 49 (1986), 613-657
POINTS = 2000


class Axis:
    """Cells along one axis: in each half of a block, `layers` of them, of degree 1, …, rising away from the edge."""

    def __init__(self, layers: int, slope: float):
        ends = SIDE / 2 * np.concatenate([[0.0], RATIO ** np.arange(layers - 1, -1, -1.0)])
        self.ends = ends  # distances from the edge
        degrees = 1 + np.floor(slope * np.arange(layers)).astype(int)
        self.widths = np.tile(np.concatenate([np.diff(ends), np.diff(ends)[::-1]]), BLOCKS)
        self.degrees = np.tile(np.concatenate([degrees, degrees[::-1]]), BLOCKS)
        # Cells share their end nodes; what else they have, zero at both ends, comes after the nodes.
        self.nodes = len(self.widths) + 1
        self.inner = self.nodes + np.concatenate([[0], np.cumsum(self.degrees - 1)])
        self.size = int(self.inner[-1])
        self.per_block = 2 * layers

    def unknowns(self, cell: int) -> np.ndarray:
        """Return which unknowns a cell has: those of its left and right ends, and its own."""
        return np.concatenate([[cell, cell + 1], np.arange(self.inner[cell], self.inner[cell + 1])])

    def assembled(self, block: int) -> tuple[Any, Any, np.ndarray, np.ndarray]:
        """Return ∫ φ'φ', ∫ φφ, ∫ φ and ∫ φ sin(πξ) over a block."""
        stiffness, mass = (sparse.lil_matrix((self.size, self.size)) for _ in range(2))
        even, bump = np.zeros(self.size), np.zeros(self.size)
        s, weight = legendre.leggauss(12)
        for cell in range(block * self.per_block, (block + 1) * self.per_block):
            w, index = self.widths[cell], self.unknowns(cell)
            φ, slope = shapes(self.degrees[cell], s)
            left = self.widths[block * self.per_block : cell].sum()
            at = np.ix_(index, index)
            stiffness[at] += (slope * weight) @ slope.T * 2 / w
            mass[at] += (φ * weight) @ φ.T * w / 2
            even[index] += φ @ weight * w / 2
            bump[index] += φ @ (weight * np.sin(np.pi * (left + w * (1 + s) / 2) / SIDE)) * w / 2
        return stiffness.tocsr(), mass.tocsr(), even, bump

    def values(self, x: np.ndarray) -> Any:
        """Return values of all functions at x, (points, size)."""
        matrix = sparse.lil_matrix((len(x), self.size))
        layers = self.per_block // 2
        for row, from_start in enumerate(x + BLOCKS * SIDE / 2):
            block = min(int(from_start // SIDE), BLOCKS - 1)
            distance = from_start - block * SIDE
            beyond = distance > SIDE / 2
            near = SIDE - distance if beyond else distance
            layer = min(int(np.searchsorted(self.ends, near, side="right")) - 1, layers - 1)
            cell = block * self.per_block + (self.per_block - 1 - layer if beyond else layer)
            s = 2 * (near - self.ends[layer]) / self.widths[cell] - 1
            φ, _ = shapes(self.degrees[cell], np.array([-s if beyond else s]))
            matrix[row, self.unknowns(cell)] = φ[:, 0]
        return matrix.tocsr()


def shapes(degree: int, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return functions on [-1, 1] and their slopes: linear ones of both ends, then integrals of Legendre's."""
    functions = [Legendre([0.5, -0.5]), Legendre([0.5, 0.5])]
    functions += [Legendre.basis(k).integ(lbnd=-1) for k in range(1, degree)]
    return np.stack([f(s) for f in functions]), np.stack([f.deriv()(s) for f in functions])


def potential(layers: int, slope: float, points: np.ndarray, tables: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Return u at points of [-10, 10]²: div(a ∇u) + f₀ + f₁ sin(πξ) sin(πη) = 0 in blocks, a u_n = -u round them."""
    a, mean, bump = blocks() if tables is None else tables
    axis = Axis(layers, slope)
    parts = [axis.assembled(block) for block in range(BLOCKS)]
    matrix, load = None, np.zeros(axis.size**2)
    for i, (stiff_x, mass_x, even_x, bump_x) in enumerate(parts):
        for j, (stiff_y, mass_y, even_y, bump_y) in enumerate(parts):
            own = a[i, j] * (sparse.kron(stiff_x, mass_y, "csr") + sparse.kron(mass_x, stiff_y, "csr"))
            matrix = own if matrix is None else matrix + own
            load += mean[i, j] * np.kron(even_x, even_y) + bump[i, j] * np.kron(bump_x, bump_y)
    ends = sparse.csr_matrix(([1.0, 1.0], ([0, axis.nodes - 1],) * 2), shape=(axis.size, axis.size))
    whole = sum(mass for _, mass, _, _ in parts)
    matrix = matrix + sparse.kron(ends, whole, "csr") + sparse.kron(whole, ends, "csr")
    # Balanced, as cells differ by many orders of magnitude.
    scale = sparse.diags(1 / np.sqrt(matrix.diagonal()))
    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    u = scale @ splu((scale @ matrix @ scale).tocsc(), **options).solve(scale @ load)
    along, across = axis.values(points[:, 0]), axis.values(points[:, 1])
    return np.asarray(across.multiply(along @ u.reshape(axis.size, axis.size)).sum(axis=1)).ravel()


def reference() -> Reference:
    """Return values by 14 layers; the error is what 11 layers have."""
    at = scattered(POINTS, (-10.0, -10.0), (10.0, 10.0))
    fine, coarse = potential(14, 0.5, at), potential(11, 0.5, at)
    rows = np.column_stack([at, 0 * at[:, 0]])
    return Reference(rows, fine[:, None], difference(coarse, fine), "finite elements that shrink towards blocks' edges")


REFERENCES = {"pinnacle/poisson2d-ms": reference}
