"""Problems and results as text."""

import math
from collections.abc import Callable, Sequence

from .library import LIBRARY, get, names
from .problem import BenchmarkProblem, LibraryProblem, Problem, Solved
from .results import Measured, measured


def rows(error: Callable[[Measured], str]) -> list[tuple[str, ...]]:
    """Return the names of the columns, then a row for each problem: measurements are medians over seeds."""
    measurements = measured()
    lines: list[tuple[str, ...]] = [
        ("problem", "equation", "reference", "error", "seconds", "epochs", "points", "parameters")
    ]
    for name, problem in LIBRARY.items():
        measurement = measurements.get(name)
        figures = ["-"] * 5
        if measurement is not None:
            counts = map(str, (measurement.epochs, measurement.points, measurement.parameters))
            figures = [error(measurement), f"{measurement.seconds:.0f}", *counts]
        lines.append((name, problem.equation, problem.reference, *figures))
    return lines


def benchmark_rows(family: str) -> list[tuple[str, ...]]:
    """Return the names of the columns, then a row for each benchmark of a family."""
    lines: list[tuple[str, ...]] = [("problem", "equation", "reference", "its error", "least published", "by")]
    for name in names(family):
        problem = get(name)
        if isinstance(problem, BenchmarkProblem):
            error = problem.reference_error
            known = "exact" if error == 0 else "-" if math.isnan(error) else f"{error:.0e}"
            published = f"{problem.published:.3g}", problem.published_by
            lines.append((name, problem.equation, problem.reference, known, *published))
    return lines


def table(family: str = "library") -> str:
    """Return a family's problems as text.

    Those of the library with the median error that was measured, benchmarks with the error of our reference and the
    least that was published.

    Args:
        family: one of `tx.problems.families()`.

    Raises:
        KeyError: there is no such family.
    """
    if family != "library":
        return "\n".join([*columns(benchmark_rows(family)), "Relative L2 errors, of all outputs together."])
    machines = sorted({measurement.machine for measurement in measured().values()})
    where = "; ".join(machines) or "no machine yet"
    lines = columns(rows(lambda measurement: f"{measurement.error:.0e}"))
    return "\n".join([*lines, f"Relative L2 error of the worst answer on points not trained on; on {where}."])


def columns(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines, the columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def report(problem: Problem, solved: Solved) -> str:
    """Return the error of each answer, and how training ended, as text.

    Args:
        problem: one of the library's, or a benchmark.
        solved: what its `solve` returned.
    """
    solver = solved.solver
    lines = [f"loss {solver.history['loss'][-1]:.1e} after {solver.epoch} epochs and {solved.seconds:.0f} s"]
    lines += [f"  {name}: relative error {error:.1e}" for name, error in solved.errors.items()]
    if isinstance(problem, BenchmarkProblem):
        lines.append(
            f"  all outputs together: {solved.score:.1e}; "
            f"the least published is {problem.published:.1e} ({problem.published_by})"
        )
    complete = solver.epoch == problem.epochs
    if isinstance(problem, LibraryProblem) and complete and solved.error > problem.target:
        lines.append(f"The library expects {problem.target:.0e}: another --seed may get there.")
    if solver.stalled:
        lines.append(f"ended: {solver.stalled}")
    return "\n".join(lines)
