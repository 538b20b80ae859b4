"""The cases of PINNacle by name."""

from collections.abc import Mapping
from types import ModuleType

from ..problem import BenchmarkProblem
from . import (
    domains_with_holes,
    five_dimensions,
    layered_media,
    navier_stokes,
    noisy_readings,
    patterns,
    square_plates,
    standing_waves,
    viscous_burgers,
)

MODULES: tuple[ModuleType, ...] = (
    domains_with_holes,
    layered_media,
    navier_stokes,
    viscous_burgers,
    square_plates,
    standing_waves,
    patterns,
    five_dimensions,
    noisy_readings,
)
CASES: Mapping[str, BenchmarkProblem] = {case.name: case for module in MODULES for case in module.PROBLEMS}
