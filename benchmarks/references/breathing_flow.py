"""Flow between walls through an inlet that breathes: elements of Taylor and Hood, a multistep method of order 3.

Viscosity and pressure are implicit, so that one factorization serves all steps; convection is extrapolated (SBDF3:
Ascher, Ruuth and Wetton, SIAM J. Numer. Anal. 32 (1995), 797-823).
"""

import math
from typing import Any

import numpy as np
import scipy
import skfem
from scipy.sparse.linalg import splu

from .reference import Reference, difference, nodes
from .taylor_hood import Flow, convection, graded, mass

π = math.pi
sparse: Any = scipy.sparse
VISCOSITY, END, TIMES = 0.01, 5.0, 50
PLACES = (39, 19)  # where values are kept: inner nodes of a grid of steps 1/20
# By order: the weights of the new and the last values in the derivative, and of the last ones in what is extrapolated.
DERIVATIVE = {1: (1, -1), 2: (3 / 2, -2, 1 / 2), 3: (11 / 6, -3, 3 / 2, -1 / 3)}
EXTRAPOLATION = {1: (1,), 2: (2, -1), 3: (3, -3, 1)}


def breath(t: float) -> float:
    """Return the inlet's speed in the middle."""
    return sum(math.sin(k * π * t) for k in (1, 3, 5))


@skfem.LinearForm
def upward(v: Any, w: Any) -> Any:
    return np.sin(π * w.x[0]) * np.sin(π * w.x[1]) * v[1]


def history(cells: int, steps: int, points: np.ndarray) -> np.ndarray:
    """Return u, v and p at points, (TIMES, points, 3), by 2 cells x cells; `steps` between two of the times."""
    x, y = graded(0.0, 2.0, cells=2 * cells, strength=0.5), graded(0.0, 1.0, cells=cells, strength=0.5)
    mesh = skfem.MeshQuad.init_tensor(x, y)
    flow = Flow(mesh, VISCOSITY, outlet=lambda at: at[0] == 2)
    dt, n = END / (TIMES * steps), flow.count
    weights, force = mass.assemble(flow.velocity), -upward.assemble(flow.velocity)
    inflow = flow.bounded(lambda x, y: np.stack([np.sin(π * y) * (x == 0), 0 * x]))
    read = flow.reader(points)
    unknowns = np.zeros(len(inflow))
    implicit = {}
    for order, (new, *_) in DERIVATIVE.items():
        matrix = (flow.stokes + sparse.bmat([[new / dt * weights, None], [None, 0 * flow.stokes[n:, n:]]])).tocsr()
        implicit[order] = splu(matrix[flow.free][:, flow.free].tocsc()), (matrix @ inflow)[flow.free]
    velocities, convections, snapshots = [unknowns[:n]], [np.zeros(n)], []
    for step in range(1, TIMES * steps + 1):
        order, t = min(step, 3), step * dt
        old = DERIVATIVE[order][1:]
        factors, prescribed = implicit[order]
        load = np.zeros(len(inflow))
        load[:n] = force * math.sin(π * t) - weights @ sum(c * u for c, u in zip(old, velocities, strict=True)) / dt
        load[:n] -= sum(c * each for c, each in zip(EXTRAPOLATION[order], convections, strict=True))
        unknowns = breath(t) * inflow
        unknowns[flow.free] = factors.solve(load[flow.free] - breath(t) * prescribed)
        velocities = [unknowns[:n], *velocities[:2]]
        carried = convection.assemble(flow.velocity, w=flow.velocity.interpolate(unknowns[:n]))
        convections = [carried, *convections[:2]]
        if step % steps == 0:
            snapshots.append(read(unknowns))
    return np.stack(snapshots)


def reference(cells: int = 24, steps: int = 40, count: int = 5000) -> Reference:
    """Return values by cells of that number and size; the error is what 3/4 of them and half of the steps have."""
    i, j = np.indices(PLACES).reshape(2, -1)
    points = np.column_stack([i + 1, j + 1]) / 20
    index = nodes(count, (TIMES, len(points)))
    fine, coarse = (history(*each, points)[tuple(index.T)] for each in ((cells, steps), (3 * cells // 4, steps // 2)))
    at = np.column_stack([points[index[:, 1]], END * (index[:, 0] + 1) / TIMES])
    method = f"elements of Taylor and Hood, {2 * cells} x {cells} cells, SBDF3, {TIMES * steps} steps"
    return Reference(at.astype(np.float32), fine.astype(np.float32), difference(coarse, fine), method)


REFERENCES = {"pinnacle/ns2d-lt": reference}
