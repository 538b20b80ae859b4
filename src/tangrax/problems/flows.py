"""The equations of Navier and Stokes where their solutions are known: Kovasznay's wake, Taylor and Green's vortices."""

import math

from .. import domain, nn, numpy as tnp
from ..expr import Node
from .problem import Answer, LibraryProblem, Task

π = math.pi
sin, cos, exp = tnp.sin, tnp.cos, tnp.exp


def momentum(u: Node, v: Node, p: Node, x: Node, y: Node, viscosity: float) -> tuple[Node, Node]:
    """Return residuals of the steady momentum equations along x and y."""
    return (
        u * u.d(x) + v * u.d(y) + p.d(x) - viscosity * u.laplacian(x, y),
        u * v.d(x) + v * v.d(y) + p.d(y) - viscosity * v.laplacian(x, y),
    )


def kovasznay(seed: int) -> Task:
    """Steady flow behind a grid at Reynolds number 40. Kovasznay, Proc. Cambridge Phil. Soc. 44 (1948), 58-62."""
    reynolds = 40
    λ = reynolds / 2 - math.sqrt(reynolds**2 / 4 + 4 * π**2)
    area = domain.rect((-0.5, -0.5), (1.0, 1.5), n=1000, boundary=300)
    x, y, _ = area.variable("interior")
    xb, yb, _ = area.variable("boundary")
    net = nn.mlp(2, 3, width=20, depth=3, key=seed)

    def exact(x: Node, y: Node) -> tuple[Node, Node]:
        return 1 - exp(λ * x) * cos(2 * π * y), λ / (2 * π) * exp(λ * x) * sin(2 * π * y)

    flow, edge = net(x, y), net(xb, yb)
    u, v, p = flow[0], flow[1], flow[2]
    along, across = momentum(u, v, p, x, y, 1 / reynolds)
    ub, vb = exact(xb, yb)
    terms = {
        "along": along.mse,
        "across": across.mse,
        "mass": (u.d(x) + v.d(y)).mse,
        "edges": 100 * ((edge[0] - ub).mse + (edge[1] - vb).mse),
    }
    ue, ve = exact(x, y)
    pe = -exp(2 * λ * x) / 2
    return Task(terms, {"u": Answer(u, ue), "v": Answer(v, ve), "p": Answer(p - p.mean, pe - pe.mean)})


def taylor_green(seed: int) -> Task:
    """Vortices that fade, ν = 1/10, periodic by the inputs of the network, initial values by a hard constraint."""
    viscosity = 0.1
    area = domain.rect((0.0, 0.0), (2 * π, 2 * π), n=1200).over_time(0.0, 1.0)
    x, y, t = area.variable("interior")
    out = nn.mlp(5, 3, width=20, depth=2, key=seed)(tnp.periodic(x, 2 * π), tnp.periodic(y, 2 * π), t)
    u0, v0 = cos(x) * sin(y), -sin(x) * cos(y)
    u, v, p = u0 + t * out[0], v0 + t * out[1], out[2]
    along, across = momentum(u, v, p, x, y, viscosity)
    terms = {"along": (u.d(t) + along).mse, "across": (v.d(t) + across).mse, "mass": (u.d(x) + v.d(y)).mse}
    fading = exp(-2 * viscosity * t)
    pe = -(fading**2) / 4 * (cos(2 * x) + cos(2 * y))
    # Pressure is known up to a function of time alone: its slopes are compared.
    return Task(
        terms,
        {"u": Answer(u, u0 * fading), "v": Answer(v, v0 * fading), "p_x": Answer(p.d(x), pe.d(x))},
    )


PROBLEMS = (
    LibraryProblem("kovasznay", "u·∇u + ∇p = Δu / 40, div u = 0", "closed form", kovasznay, 240, 1e-6, 40, 3e-2),
    LibraryProblem(
        "taylor-green", "u_t + u·∇u + ∇p = Δu / 10, div u = 0", "closed form", taylor_green, 160, 1e-5, 20, 5e-2
    ),
)
