"""Problems and results as text."""

from .library import PROBLEMS
from .measured import measured
from .problem import Problem, Solved


def table() -> str:
    """All problems with the error and time that were measured, medians over seeds."""
    known = measured()
    rows: list[tuple[str, ...]] = [
        ("problem", "equation", "reference", "error", "seconds", "epochs", "points", "parameters")
    ]
    for name, problem in PROBLEMS.items():
        found = known.get(name)
        figures = ["-"] * 5
        if found is not None:
            counts = (f"{found.seconds:.0f}", str(found.epochs), str(found.points), str(found.parameters))
            figures = [f"{found.error:.0e}", *counts]
        rows.append((name, problem.equation, problem.reference, *figures))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    machines = sorted({found.machine for found in known.values()})
    where = "; ".join(machines) or "no machine yet"
    return "\n".join([*lines, f"Relative L2 error of the worst answer on points not trained on; on {where}."])


def report(problem: Problem, solved: Solved) -> str:
    """The error of each answer, and how training ended."""
    solver = solved.solver
    lines = [f"loss {solver.history['loss'][-1]:.1e} after {solver.epoch} epochs and {solved.seconds:.0f} s"]
    lines += [f"  {name}: relative error {error:.1e}" for name, error in solved.errors.items()]
    if solver.epoch == problem.epochs and solved.error > problem.target:
        lines.append(f"The library expects {problem.target:.0e}: another --seed may get there.")
    if solver.stalled:
        lines.append(f"ended: {solver.stalled}")
    return "\n".join(lines)
