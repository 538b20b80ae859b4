"""All problems by name and family."""

from collections.abc import Mapping

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
from .dsgnar import EXPERIMENTS as DSGNAR
from .pinnacle import CASES as PINNACLE
from .problem import LibraryProblem, Problem

MODULES = (poisson, helmholtz, heat, waves, burgers, allen_cahn, flows, cavity, elasticity, layer, lorenz)
LIBRARY: Mapping[str, LibraryProblem] = {problem.name: problem for module in MODULES for problem in module.PROBLEMS}
FAMILIES: Mapping[str, Mapping[str, Problem]] = {
    "library": LIBRARY,
    "pinnacle": PINNACLE,
    "dsgnar": DSGNAR,
}


def families() -> list[str]:
    """Return the names of the families: `library`, solved by known settings, and benchmarks as others state them."""
    return list(FAMILIES)


def names(family: str = "library") -> list[str]:
    """Return the names of a family's problems, in the order of its page.

    Args:
        family: one of `families()`.

    Raises:
        KeyError: there is no such family.
    """
    if family not in FAMILIES:
        raise KeyError(f"there is no family '{family}': there are {', '.join(FAMILIES)}")
    return list(FAMILIES[family])


def get(name: str) -> Problem:
    """Return the problem of a name.

    Args:
        name: one of `every_name()`, such as `burgers` or `pinnacle/burgers1d-c`.

    Raises:
        KeyError: there is no such problem.
    """
    for family in FAMILIES.values():
        if name in family:
            return family[name]
    raise KeyError(f"there is no problem '{name}': there are {', '.join(every_name())}")


def every_name() -> list[str]:
    """Return the names of the problems of all families."""
    return [name for family in FAMILIES.values() for name in family]
