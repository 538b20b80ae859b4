"""Problems and results as text."""

from collections.abc import Callable

from .library import LIBRARY
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


def table() -> str:
    """Return the same as text, with the median error."""
    cells = rows(lambda measurement: f"{measurement.error:.0e}")
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    machines = sorted({measurement.machine for measurement in measured().values()})
    where = "; ".join(machines) or "no machine yet"
    return "\n".join([*lines, f"Relative L2 error of the worst answer on points not trained on; on {where}."])


def report(problem: Problem, solved: Solved) -> str:
    """Return the error of each answer, and how training ended, as text."""
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
