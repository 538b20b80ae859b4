"""Computes the references that the package keeps: `python -m references`, run in benchmarks/."""

from . import bistable_heat, burgers_2d, dispersive, gray_scott, regular_cavity

MODULES = (dispersive, gray_scott, bistable_heat, burgers_2d, regular_cavity)
