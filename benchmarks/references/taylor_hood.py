"""Incompressible flow by finite elements: velocities quadratic, pressure linear along each axis of quadrilaterals."""

import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import scipy
import skfem
from scipy.sparse.linalg import splu
from skfem import helpers

of: Any = helpers  # their annotations allow for what is no array
sparse: Any = scipy.sparse
Velocity = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of x and y, (2, …)


def graded(*stops: float, cells: int, strength: float = 0.8) -> np.ndarray:
    """Return a grid through the stops, `cells` between two of them, finer by 1 - strength at each."""
    s = np.arange(cells) / cells
    s = s - strength * np.sin(2 * np.pi * s) / (2 * np.pi)
    lines = [a + (b - a) * s for a, b in itertools.pairwise(stops)]
    return np.concatenate([*lines, stops[-1:]])


@skfem.BilinearForm
def stress(u: Any, v: Any, _: Any) -> Any:
    return of.ddot(of.grad(u), of.grad(v))


@skfem.BilinearForm
def mass(u: Any, v: Any, _: Any) -> Any:
    return of.dot(u, v)


@skfem.BilinearForm
def divergence(u: Any, q: Any, _: Any) -> Any:
    return -of.trace(of.grad(u)) * q


@skfem.BilinearForm
def carried(u: Any, v: Any, w: Any) -> Any:
    """The derivative of w·∇w."""
    return of.dot(of.mul(of.grad(w["w"]), u) + of.mul(of.grad(u), w["w"]), v)


@skfem.LinearForm
def convection(v: Any, w: Any) -> Any:
    return of.dot(of.mul(of.grad(w["w"]), w["w"]), v)


class Flow:
    """The elements of a mesh, and which of their unknowns are given.

    Args:
        mesh: of quadrilaterals.
        viscosity: ν.
        outlet: whether a point of the boundary, (2, …), is on the outlet, where v = 0 and -p + ν u_x = 0, which is
            p = 0 as there v_y = 0. Elsewhere both velocities are given.
        pinned: where p = 0, if there is no outlet.
    """

    def __init__(
        self,
        mesh: skfem.MeshQuad,
        viscosity: float,
        outlet: Callable[[np.ndarray], np.ndarray] | None = None,
        pinned: tuple[float, float] | None = None,
    ):
        self.viscosity = viscosity
        self.velocity = skfem.Basis(mesh, skfem.ElementVector(skfem.ElementQuad2()), intorder=6)
        self.pressure = self.velocity.with_element(skfem.ElementQuad1())
        self.count = self.velocity.N
        facets = mesh.boundary_facets()
        open_facets = facets[:0] if outlet is None else mesh.facets_satisfying(outlet, boundaries_only=True)
        closed = self.velocity.get_dofs(np.setdiff1d(facets, open_facets)).all()
        across = self.velocity.get_dofs(open_facets).all(["u^2"]) if len(open_facets) else closed[:0]
        self.across = np.setdiff1d(across, closed)
        self.prescribed = np.concatenate([closed, self.across])
        if pinned is not None:
            node = np.flatnonzero(np.all(self.pressure.doflocs == np.array(pinned)[:, None], axis=0))
            self.prescribed = np.concatenate([self.prescribed, self.count + node])
        self.free = np.setdiff1d(np.arange(self.count + self.pressure.N), self.prescribed)

    @cached_property
    def stokes(self) -> Any:
        """The matrix of -νΔu + ∇p, div u."""
        a = self.viscosity * stress.assemble(self.velocity)
        b = divergence.assemble(self.velocity, self.pressure)
        return sparse.bmat([[a, b.T], [b, None]]).tocsr()

    def bounded(self, velocity: Velocity) -> np.ndarray:
        """Return unknowns that are the given velocity on the boundary, else 0."""
        unknowns = np.zeros(self.count + self.pressure.N)
        inside = self.prescribed[self.prescribed < self.count]
        x, y = self.velocity.doflocs[:, inside]
        component = np.zeros(self.count, int)
        component[self.velocity.get_dofs(elements=True).all(["u^2"])] = 1
        unknowns[inside] = velocity(x, y)[component[inside], np.arange(len(inside))]
        unknowns[self.across] = 0
        return unknowns

    def steady(self, velocity: Velocity) -> np.ndarray:
        """Return the unknowns of steady flow, by Newton's method from rest."""
        unknowns, free = self.bounded(velocity), self.free
        for _ in range(30):
            w = self.velocity.interpolate(unknowns[: self.count])
            residual = self.stokes @ unknowns
            residual[: self.count] += convection.assemble(self.velocity, w=w)
            top = carried.assemble(self.velocity, w=w)
            top.resize(self.stokes.shape)
            jacobian = self.stokes + top
            change = splu(jacobian[free][:, free].tocsc()).solve(-residual[free])
            unknowns[free] += change
            if np.linalg.norm(change) < 1e-10 * np.linalg.norm(unknowns):
                return unknowns
        raise RuntimeError("Newton's method did not converge")

    def reader(self, points: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function of the unknowns that gives u, v and p, (n, 3), at points, (n, 2)."""
        flow, pressure = self.velocity.probes(points.T), self.pressure.probes(points.T)

        def read(unknowns: np.ndarray) -> np.ndarray:
            return np.column_stack([*(flow @ unknowns[: self.count]).reshape(2, -1), pressure @ unknowns[self.count :]])

        return read

    def at(self, unknowns: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return u, v and p, (n, 3), at points, (n, 2)."""
        return self.reader(points)(unknowns)
