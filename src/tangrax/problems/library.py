"""All problems by name."""

from . import (
    allen_cahn,
    boundary_layer as layer,
    burgers,
    cavity,
    elasticity,
    flows,
    heat,
    helmholtz,
    lorenz,
    poisson,
    waves,
)
from .problem import Problem

MODULES = (poisson, helmholtz, heat, waves, burgers, allen_cahn, flows, cavity, elasticity, layer, lorenz)
PROBLEMS = {problem.name: problem for module in MODULES for problem in module.PROBLEMS}


def names() -> list[str]:
    """Of all problems, in the order of the gallery."""
    return list(PROBLEMS)


def get(name: str) -> Problem:
    """The problem of that name."""
    if name not in PROBLEMS:
        raise KeyError(f"there is no problem '{name}': there are {', '.join(PROBLEMS)}")
    return PROBLEMS[name]
