"""The tangent kernel K = J Jᵀ of a solver that `train.py` saved: its eigenvalues and effective rank.

Rows of J and of K stay split over the devices; the first process draws and writes.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import optax
import tyro
from common import use_devices
from jaxtyping import Float
from train import poisson

import tangrax as tx
from tangrax import report


@dataclass(frozen=True)
class Summary:
    """What the spectrum says, and which part of it rounding leaves.

    `condition` is λ_max/λ_min of K where every eigenvalue is resolved, else a number that it exceeds.
    """

    field: str
    processes: int
    points: int
    parameters: int
    effective_rank: float
    largest: float
    resolved: int
    eps: float
    condition: float


def main(
    saved: tyro.conf.Positional[Path],
    devices: int | None = None,
    emulate: bool = False,
    field: Literal["u", "residual"] = "u",
    points: int = 1024,
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
        dtype: precision of J and K. Eigenvalues below its rounding times the largest are not resolved.
        out: directory of the figures and the picture; that of the saved solver unless said.
    """
    devices = use_devices(devices, emulate)
    settings = tx.setup(dtype=dtype)
    out = saved.parent if out is None else out

    net = tx.nn.wrap(tx.load(saved), name="net")
    problem = poisson(net, points)
    solver = tx.core({"pde": problem.residual.mse}, optimizer=optax.sgd(0.0), devices=devices)

    # Collective: every process takes part up to here and has all of K, N² numbers.
    J = solver.eval((problem.u if field == "u" else problem.residual).grad(net), sharded=True)
    K = (J @ J.T).gather()
    if settings.writes:
        eigenvalues = np.linalg.eigvalsh(K.astype(np.float64))[::-1]
        eps, largest = float(np.finfo(K.dtype).eps), float(eigenvalues[0])
        resolved = int(np.sum(eigenvalues > eps * largest))
        summary = Summary(
            field=field,
            processes=settings.processes,
            points=len(K),
            parameters=J.shape[1],
            effective_rank=float(np.trace(K) ** 2 / np.sum(K**2)),
            largest=largest,
            resolved=resolved,
            eps=eps,
            condition=1 / eps if resolved < len(K) else largest / float(eigenvalues[-1]),
        )
        write(summary, eigenvalues, K, out)


def write(summary: Summary, eigenvalues: Float[np.ndarray, " n"], kernel: Float[np.ndarray, "n n"], out: Path) -> None:
    """Three files in `out`, and the figures as lines."""
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "kernel.npz", eigenvalues=eigenvalues, kernel=kernel)
    (out / "kernel.json").write_text(json.dumps(asdict(summary), indent=2) + "\n")
    report.save(report.spectrum(eigenvalues, summary.eps), out / "kernel.png")
    all_resolved = summary.resolved == summary.points
    print(f"tangent kernel of {summary.field}: {summary.points} points, {summary.parameters} parameters")
    print(f"effective rank tr(K)²/‖K‖²  {summary.effective_rank:.2f}")
    print(f"largest eigenvalue          {summary.largest:.3g}")
    print(f"eigenvalues resolved        {summary.resolved} of {summary.points}: above ε·λ_max, ε = {summary.eps:.1e}")
    print(f"condition number            {'' if all_resolved else 'at least '}{summary.condition:.1e}")
    print(f"written: {out}/kernel.npz, kernel.json, kernel.png")


if __name__ == "__main__":
    tyro.cli(main)
