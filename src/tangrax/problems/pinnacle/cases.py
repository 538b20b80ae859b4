"""The cases of PINNacle by name."""

from collections.abc import Mapping
from types import ModuleType

from ..problem import BenchmarkProblem
from . import five_dimensions, noisy_readings, patterns, square_plates, standing_waves, viscous_burgers

MODULES: tuple[ModuleType, ...] = (
    viscous_burgers,
    square_plates,
    standing_waves,
    patterns,
    five_dimensions,
    noisy_readings,
)
CASES: Mapping[str, BenchmarkProblem] = {case.name: case for module in MODULES for case in module.PROBLEMS}
