"""Poisson's equation -Δu = 2π² sin(πx) sin(πy) on the unit square, u = 0 on its edge, on all devices of all processes.

What the batch files in slurm/ run unless told otherwise. Writes checkpoints, the solver that `analyse.py` reads, and a
summary.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax.expr import Node
from tangrax.launch import use_devices


@dataclass(frozen=True)
class Problem:
    """The solution u as the network gives it, the residual of the equation, and what u should be."""

    u: Node
    residual: Node
    exact: Node


def poisson(net: tx.nn.Network, points: int) -> Problem:
    """The equation at Sobol points of the square; the factor keeps u at 0 on the edge whatever the network says."""
    x, y, _ = tx.domain.rect(n=points).variable("interior")
    u = net(x, y) * x * (1 - x) * y * (1 - y)
    exact = tx.np.sin(tx.np.pi * x) * tx.np.sin(tx.np.pi * y)
    return Problem(u, -u.laplacian(x, y) - 2 * tx.np.pi**2 * exact, exact)


def main(
    devices: int | None = None,
    emulate: bool = False,
    epochs: int = 5000,
    points: int = 4096,
    width: int = 64,
    depth: int = 3,
    rate: float = 3e-3,
    seed: int = 0,
    dtype: Literal["float32", "float64"] = "float32",
    checkpoint_every: int = 1000,
    out: Path = Path("runs/train"),
) -> None:
    """Solve Poisson's equation on the unit square.

    Args:
        devices: number of devices that share the points; all visible ones of all processes unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
        points: collocation points.
        width: units of each hidden layer.
        depth: hidden layers.
        rate: learning rate at the start; it falls to 0 along a cosine.
        seed: of the network's initial weights.
        dtype: precision of the training.
        checkpoint_every: epochs between two checkpoints; the same command goes on from the newest one.
        out: directory of the checkpoints, the saved solver and the summary.
    """
    if epochs < 1:
        raise SystemExit(f"--epochs {epochs}: at least 1")
    devices = use_devices(devices, emulate)
    settings = tx.setup(dtype=dtype)

    net = tx.nn.mlp(2, width=width, depth=depth, key=seed, name="net")
    problem = poisson(net, points)
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, epochs))
    solver = tx.core({"pde": problem.residual.mse}, optimizer=optimizer, devices=devices)
    start = time.perf_counter()
    solver.solve(epochs, run_dir=out, checkpoint_every=checkpoint_every)
    seconds = time.perf_counter() - start

    # Every process takes part in what the devices compute, and in saving; only what follows is one's own.
    axis = np.linspace(0, 1, 51)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values, exact = solver.eval([problem.u, problem.exact], points={"interior": grid})
    error = float(np.linalg.norm(values - exact) / np.linalg.norm(exact))
    solver.save(out / "solver.npz")
    if settings.writes:
        summary = {
            "error": error,
            "loss": float(solver.history["loss"][-1]),
            "seconds": round(seconds, 3),
            "transport": settings.launch.transport if settings.launch else "single",
            "processes": settings.processes,
            "epochs": epochs,
            "points": points,
            "width": width,
            "depth": depth,
            "rate": rate,
            "seed": seed,
            "dtype": dtype,
        }
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        print(f"relative L2 error on a 51 x 51 grid: {error:.1e}")
        print(f"{epochs} epochs in {seconds:.1f} s, compilation included; saved: {out}/solver.npz, summary.json")


if __name__ == "__main__":
    tyro.cli(main)
