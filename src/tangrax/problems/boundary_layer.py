"""A boundary layer for every strength of the wind: a parameter of the equation as an input of the network."""

from .. import domain, nn, numpy as tnp
from .problem import Answer, LibraryProblem, Task


def layer(seed: int) -> Task:
    """k u' = u'' on (0, 1), u(0) = 0, u(1) = 1 as hard constraints, for k from 1 to 20: a layer at x = 1, 1/k wide.

    The second axis is the parameter, along which nothing is derived: one network for all of its values.
    """
    x, k, _ = domain.rect((0.0, 1.0), (1.0, 20.0), n=1000).variable("interior")
    u = x + x * (1 - x) * nn.mlp(2, width=20, depth=2, key=seed)(x, k / 10)
    exact = tnp.expm1(k * x) / tnp.expm1(k)
    return Task({"pde": (u.d(x) - u.d2(x) / k).mse}, {"u": Answer(u, exact, over={"x": x, "k": k})})


PROBLEMS = (LibraryProblem("layer", "k u' = u'' for all k in (1, 20)", "closed form", layer, 200, 2e-8, 40, 1e-1),)
