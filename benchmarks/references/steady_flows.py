"""Steady flows in a cavity whose lid moves, and over a step: Taylor and Hood's elements, small at the corners."""

import numpy as np
import skfem

from .reference import Reference, difference, scattered
from .taylor_hood import Flow, graded

VISCOSITY = 0.01
POINTS = 2000


def cavity(cells: int, points: np.ndarray) -> np.ndarray:
    """Return u, v and p at points of [0, 1]² whose lid moves at 4x (1 - x), by so many cells along each axis."""
    grid = graded(0.0, 1.0, cells=cells, strength=0.95)
    flow = Flow(skfem.MeshQuad.init_tensor(grid, grid), VISCOSITY, pinned=(0.0, 0.0))
    return flow.at(flow.steady(lambda x, y: np.stack([4 * x * (1 - x) * (y == 1), 0 * x])), points)


def step(cells: int, points: np.ndarray) -> np.ndarray:
    """Return u, v and p at points of a channel that opens at x = 2, by so many cells between walls, inlet, and step.

    The slopes are unbounded at the corner that points inwards, where cells are smallest.
    """
    x, y = graded(0.0, 2.0, 4.0, cells=2 * cells, strength=0.97), graded(0.0, 1.0, 2.0, cells=cells, strength=0.97)
    mesh = skfem.MeshQuad.init_tensor(x, y)
    center_x, center_y = mesh.p[:, mesh.t].mean(axis=1)
    solid = np.flatnonzero((center_x < 2) & (center_y > 1))
    mesh = mesh.remove_elements(solid)
    flow = Flow(mesh, VISCOSITY, outlet=lambda at: at[0] == 4)
    return flow.at(flow.steady(lambda x, y: np.stack([4 * y * (1 - y) * (x == 0), 0 * x])), points)


def cavity_reference() -> Reference:
    """Return values by 56² cells; the error is what 40² have."""
    at = scattered(POINTS, (0.0, 0.0), (1.0, 1.0))
    fine, coarse = cavity(56, at), cavity(40, at)
    rows = np.column_stack([at, 0 * at[:, 0]])
    return Reference(rows, fine, difference(coarse, fine), "Taylor and Hood's elements, 56² cells")


def step_reference() -> Reference:
    """Return values by 2 x 40 x 40 and 40² cells; the error is what 28 for 40 have."""
    at = scattered(4 * POINTS // 3 + 50, (0.0, 0.0), (4.0, 2.0))
    at = at[(at[:, 0] > 2) | (at[:, 1] < 1)]
    fine, coarse = step(32, at), step(24, at)
    rows = np.column_stack([at, 0 * at[:, 0]])
    return Reference(rows, fine, difference(coarse, fine), "Taylor and Hood's elements, 6 x 32² cells")


REFERENCES = {"pinnacle/ns2d-c": cavity_reference, "pinnacle/ns2d-cg": step_reference}
