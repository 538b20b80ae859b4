"""The problems of DSGNAR by name."""

from collections.abc import Mapping
from types import ModuleType

from ..problem import BenchmarkProblem

MODULES: tuple[ModuleType, ...] = ()
EXPERIMENTS: Mapping[str, BenchmarkProblem] = {
    problem.name: problem for module in MODULES for problem in module.PROBLEMS
}
