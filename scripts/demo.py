"""1-D Poisson problem -u'' = sin(πx), u(0) = u(1) = 0, trained under watch.

Prints the solution error, the cosines and a summary of the tangent kernel as a table, draws them, and leaves a page
that tells the run.
"""

import shutil
from pathlib import Path

import numpy as np
import optax
import tyro
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import tangrax as tx
from tangrax import report
from tangrax.jacobian import Spectrum
from tangrax.launch import use_devices
from tangrax.solve import History

WARN_COSINE = 0.3  # below it, groups that should learn together do not
WARN_RANK = 1.5  # below it, hardly more than one pattern is learned


def main(devices: int | None = None, emulate: bool = False, epochs: int = 5000, out: Path = Path("runs/demo")) -> None:
    """Solve the 1-D Poisson problem and show what the network learned.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
        out: directory of the pictures, the page, and the run, which begins anew each time.
    """
    if epochs < 1:
        raise SystemExit(f"--epochs {epochs}: at least 1")
    devices = use_devices(devices, emulate)

    domain = tx.domain.line(mesh_size=0.001)
    x, _ = domain.variable("interior")
    ends, _ = domain.variable("boundary")
    net = tx.nn.mlp(1, width=32, depth=3)
    u = net(x)
    exact = tx.np.sin(tx.np.pi * x) / tx.np.pi**2
    pde = (-u.d2(x) - tx.np.sin(tx.np.pi * x)).mse
    boundary = 10 * net(ends).mse

    J = u.grad(net)
    left = x < 0.5
    of_terms = tx.np.cosine(pde.grad(net), boundary.grad(net))
    of_halves = tx.np.cosine(J[left].mean, J[~left].mean)

    solver = tx.core(
        {
            "pde": pde,
            "boundary": boundary,
            "cos_terms": of_terms.tracker(50),
            "cos_halves": of_halves.tracker(50, warn_below=WARN_COSINE),
        },
        optimizer=optax.adam(optax.exponential_decay(2e-3, 1000, 0.5)),
        devices=devices,
    )
    run = out / "run"
    if (run / "run.json").exists():
        shutil.rmtree(run)
    solver.solve(epochs, run_dir=run, checkpoint_every=500, show={"u": (u, exact), "kernel": J.spectrum()})

    nodes = [x, u, exact, of_terms, of_halves, J.spectrum()]
    places, values, wanted, terms, halves, kernel = solver.eval(nodes)
    error = float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted))

    Console().print(summary(error, float(terms), float(halves), kernel))
    draw(solver.history, places, values, wanted, kernel, out)
    print(f"pictures: {out}/solution.png, loss.png, cosine.png, spectrum.png, overview.png")
    print(f"the run as a page, to open in a browser: {report.write_report(run, out / 'report.html')}")


def summary(error: float, terms: float, halves: float, kernel: Spectrum) -> Table:
    """The figures, what each of them is, and what they call for."""
    table = Table(title="1-D Poisson problem after training", show_lines=True)
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("meaning")

    def row(quantity: str, value: str, meaning: str, *, unless: bool = True, advice: str = "") -> None:
        table.add_row(quantity, value, meaning if unless else f"{meaning}.\n[yellow]→ {advice}")

    more = "add collocation points or resample them"
    row("relative L2 error", f"{error:.1e}", "against sin(πx)/π²")
    row(
        "cosine, loss terms",
        f"{terms:+.3f}",
        "gradients of the loss, equation against boundary: below 0, a step for one undoes part of the other; at a "
        "minimum of their sum it is -1 of necessity",
        unless=terms >= WARN_COSINE,
        advice=f"below {WARN_COSINE}: if the loss has stalled, {more}",
    )
    row(
        "cosine, halves",
        f"{halves:+.3f}",
        "sensitivity of the output, J = ∂u/∂θ, left half against right half: do the same parameters move both? "
        "The loss is not in it",
        unless=halves >= WARN_COSINE,
        advice=f"below {WARN_COSINE}: {more}",
    )
    row(
        "effective rank",
        f"{kernel.effective_rank:.2f}",
        f"tr(K)²/‖K‖² of K = J Jᵀ: patterns that count in training ({kernel.rows} points, {kernel.columns} parameters)",
        unless=kernel.effective_rank >= WARN_RANK,
        advice="near 1: take a wider network or more collocation points",
    )
    row("largest eigenvalue", f"{kernel.largest:.3g}", "of K: the pattern learned fastest")
    row(
        "eigenvalues resolved",
        f"{kernel.resolved} of {kernel.rows}",
        f"above {kernel.floor / kernel.largest:.1e} of the largest: the rest is lost in the rounding of J",
    )
    condition = kernel.condition
    row(
        "condition number",
        f"{'' if condition.exact else 'at least '}{condition.value:.1e}",
        "λ_max/λ_min of K: fastest against slowest pattern",
    )
    return table


def draw(
    history: History,
    x: Float[np.ndarray, " n"],
    u: Float[np.ndarray, " n"],
    exact: Float[np.ndarray, " n"],
    kernel: Spectrum,
    out: Path,
) -> None:
    """Four pictures, and all of them in one."""
    labels = {"cos_terms": "loss gradients: equation, boundary", "cos_halves": "output sensitivity J: left, right half"}
    pictures = {
        "solution": lambda axes: report.solution(x, u, exact, axes),
        "loss": lambda axes: report.losses(history, axes=axes),
        "cosine": lambda axes: report.tracker(history, labels, axes, warn_below=WARN_COSINE),
        "spectrum": lambda axes: report.spectrum(kernel.eigenvalues, kernel.floor, axes),
    }
    for name, picture in pictures.items():
        report.save(picture(None), out / f"{name}.png")
    overview = Figure(figsize=(11, 7.4), layout="constrained").subplots(2, 2)
    for picture, axes in zip(pictures.values(), overview.flat, strict=True):
        picture(axes)
    report.save(overview[0, 0], out / "overview.png", dpi=90)


if __name__ == "__main__":
    tyro.cli(main)
