"""Problems of the library, solved and drawn: the solution as it was found and where it is off, side by side."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

import tangrax as tx
from tangrax.launch import use_devices
from tangrax.problems import Solved

POINTS = 20_000  # drawn of each solution


@dataclass
class Panel:
    """Values of a field and how far they are off, at rows of coordinates, the last one time."""

    name: str
    axes: tuple[str, ...]
    at: np.ndarray
    values: np.ndarray
    off: np.ndarray
    region: tx.domain.Shape | None = None

    def show(self, axes, numbers: np.ndarray) -> None:
        """As a curve over one coordinate that varies, as colours over two, over the first two where there are more."""
        from tangrax import report

        varying = [i for i in range(len(self.axes)) if np.ptp(self.at[:, i]) > 0]
        if len(varying) == 1:
            order = np.argsort(self.at[:, varying[0]])
            axes.plot(self.at[order, varying[0]], numbers[order], linewidth=1)
        else:
            # Over time, as it is at last.
            last = self.at[:, -1] > 0.9 * self.at[:, -1].max() if len(varying) == 3 else slice(None)
            at = self.at[last]
            x, y = at[:, varying[0]], at[:, varying[1]]
            between = report.triangles(x, y, at, report.inside_of(self.region))
            points = axes.tripcolor(between, numbers[last], shading="gouraud")
            points.set_rasterized(True)
            axes.figure.colorbar(points, ax=axes).ax.tick_params(labelsize=7)
            axes.set_ylabel(self.axes[varying[1]], fontsize=8, rotation=0)
        axes.set_xlabel(self.axes[varying[0]], fontsize=8)


def main(
    names: tuple[str, ...] = ("poisson-1d", "poisson-l-shape", "lorenz"),
    devices: int | None = None,
    emulate: bool = False,
    epochs: int | None = None,
    columns: int = 3,
    out: Path = Path("runs/gallery"),
) -> None:
    """Solve problems by name and draw them.

    Args:
        names: problems; `tangrax problems` lists them.
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: those of each problem unless said.
        columns: problems in a row of the picture.
        out: directory for the picture.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")
    panels = []
    for name in names:
        problem = tx.problems.get(name)
        print(f"{name}: {problem.equation}", flush=True)
        solved = problem.solve(epochs=epochs, devices=devices)
        print(tx.problems.report(problem, solved), flush=True)
        panels.append((f"{name}, relative error {solved.error:.0e}", values(solved)))
    draw(panels, columns, out)


def values(solved: Solved) -> Panel:
    """Of the first answer that is a field, at places where training did not look."""
    name, answer = next((n, a) for n, a in solved.task.answers.items() if a.unknown.points is not None)
    at, result, exact = answer.compared(solved.solver, POINTS)
    points = answer.unknown.points
    assert at is not None and points is not None
    off = abs(result - exact)
    if answer.over is None:
        return Panel(name, points.axes, at, result, off, points.region)
    over = solved.solver.eval(list(answer.over.values()), points={points.tag: at})
    return Panel(name, tuple(answer.over), np.stack(over, axis=1), result, off)


def draw(panels: list[tuple[str, Panel]], columns: int, out: Path) -> None:
    """Two panels a problem: as colours over two coordinates, as a curve over one."""
    try:
        from matplotlib.figure import Figure

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(5.2 * columns, 2.5 * rows), layout="constrained")
    figures = figure.subfigures(rows, columns, squeeze=False).ravel()
    for box, (title, panel) in zip(figures, panels, strict=False):
        box.suptitle(title, fontsize=10)
        for axes, numbers, label in zip(
            box.subplots(1, 2), (panel.values, panel.off), (panel.name, f"error of {panel.name}"), strict=True
        ):
            axes.tick_params(labelsize=7)
            axes.set_title(label, fontsize=8)
            panel.show(axes, numbers)
    first = figures[0].axes[0]
    print(f"picture: {report.save(first, out / 'gallery.png', dpi=80)}")


if __name__ == "__main__":
    tyro.cli(main)
