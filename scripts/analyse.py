"""The tangent kernel K = J Jᵀ of a solver that `train.py` saved: its eigenvalues, effective rank, eigenfunctions.

Rows of J stay split over the devices; the first process draws and writes.
"""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optax
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from train import poisson

import tangrax as tx
from tangrax import report
from tangrax.jacobian import Spectrum
from tangrax.launch import use_devices

SHOWN = 4  # eigenfunctions


def main(
    saved: tyro.conf.Positional[Path],
    devices: int | None = None,
    emulate: bool = False,
    field: Literal["u", "residual"] = "u",
    points: int = 1024,
    largest: int | None = None,
    dtype: Literal["float32", "float64"] = "float64",
    out: Path | None = None,
) -> None:
    """Show the tangent kernel of a trained network.

    Args:
        saved: what train.py wrote, such as runs/train/solver.npz.
        devices: number of devices that share the points; all visible ones of all processes unless said.
        emulate: make that many devices of this machine's CPU.
        field: of which J is taken: "u" tells how fast the solution can change, "residual" how fast the equation is met.
        points: collocation points; K has as many rows and columns.
        largest: how many of the largest eigenvalues; all of them unless said, while that fits.
        dtype: precision of J. How far the eigenvalues are resolved follows from its rounding.
        out: directory of the figures and the picture; that of the saved solver unless said.
    """
    devices = use_devices(devices, emulate)
    settings = tx.setup(dtype=dtype)
    out = saved.parent if out is None else out

    net = tx.nn.wrap(tx.load(saved), name="net")
    problem = poisson(net, points)
    solver = tx.core({"pde": problem.residual.mse}, optimizer=optax.sgd(0.0), devices=devices)

    # Every process takes part in what the devices compute, and has the result; the first one writes it.
    chosen = problem.u if field == "u" else problem.residual
    request = chosen.grad(net).spectrum(largest, vectors=min(SHOWN, largest or points))
    plan = solver.plan(request)
    if settings.writes:
        print(plan)
    spectrum = solver.eval(request)
    if settings.writes:
        write(spectrum, field, settings.processes, out)
        assert chosen.points is not None
        draw(spectrum, chosen.points.coordinates, report.inside_of(chosen.points.region), out)


def write(spectrum: Spectrum, field: str, processes: int, out: Path) -> None:
    """Three files in `out`, and the figures as lines."""
    condition = spectrum.condition
    summary = {
        "field": field,
        "processes": processes,
        "points": spectrum.rows,
        "parameters": spectrum.columns,
        "largest": spectrum.largest,
        "floor": spectrum.floor,
        "resolved": spectrum.resolved,
        "effective_rank": spectrum.effective_rank,
        "entropy_rank": spectrum.entropy_rank if spectrum.complete else None,
        "condition": condition.value,
        "condition_is_a_bound": not condition.exact,
    }
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "kernel.npz", eigenvalues=spectrum.eigenvalues, singular_values=spectrum.singular_values)
    (out / "kernel.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{field}: {spectrum}")
    print(f"written: {out}/kernel.npz, kernel.json, kernel.png, eigenfunctions.png")


def draw(spectrum: Spectrum, coordinates: Float[np.ndarray, "n columns"], inside: Any, out: Path) -> None:
    """The eigenvalues with the floor of what is resolved, and the first eigenfunctions: what is learned first."""
    report.save(report.spectrum(spectrum.eigenvalues, spectrum.floor), out / "kernel.png")
    assert spectrum.vectors is not None
    figure = Figure(figsize=(9, 8), layout="constrained")
    for number, axes in enumerate(figure.subplots(2, 2).flat):
        if number >= spectrum.vectors.shape[1]:
            axes.set_axis_off()
            continue
        title = f"eigenvalue {number + 1}: {spectrum.eigenvalues[number]:.3g}"
        report.eigenfunction(coordinates[:, :2], spectrum.vectors[:, number], axes, title=title, inside=inside)
    report.save(figure.axes[0], out / "eigenfunctions.png")


if __name__ == "__main__":
    tyro.cli(main)
