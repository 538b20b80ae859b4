"""Helmholtz' equation with a solution that oscillates four times as fast along one axis as along the other."""

import math

from .. import domain, nn, numpy as tnp
from .problem import Answer, LibraryProblem, Task

π = math.pi
sin = tnp.sin


def helmholtz(seed: int) -> Task:
    """Δu + u = f on (-1, 1)², u = 0 on the boundary by its form; f from u = sin(πx) sin(4πy)."""
    x, y, _ = domain.rect((-1.0, -1.0), (1.0, 1.0), n=1500).variable("interior")
    u = nn.mlp(2, width=24, depth=3, key=seed)(x, y) * (1 - x**2) * (1 - y**2)
    exact = sin(π * x) * sin(4 * π * y)
    return Task({"pde": (u.laplacian(x, y) + u + (17 * π**2 - 1) * exact).mse}, {"u": Answer(u, exact)})


PROBLEMS = (LibraryProblem("helmholtz", "Δu + u = f", "closed form sin(πx) sin(4πy)", helmholtz, 400, 1e-7, 40, 1e-2),)
