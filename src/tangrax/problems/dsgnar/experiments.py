"""The problems of DSGNAR by name."""

from collections.abc import Mapping

from ..problem import BenchmarkProblem
from . import evolutions, steady_states

EXPERIMENTS: Mapping[str, BenchmarkProblem] = {
    problem.name: problem for module in (evolutions, steady_states) for problem in module.PROBLEMS
}
