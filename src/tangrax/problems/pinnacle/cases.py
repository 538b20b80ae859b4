"""The cases of PINNacle by name."""

from collections.abc import Mapping
from types import ModuleType

from ..problem import BenchmarkProblem

MODULES: tuple[ModuleType, ...] = ()
CASES: Mapping[str, BenchmarkProblem] = {case.name: case for module in MODULES for case in module.PROBLEMS}
