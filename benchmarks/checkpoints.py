"""What checkpoints cost: time of training with `run_dir` over that without, on the tutorial problem.

-u'' = sin(πx), soft boundary conditions, 999 points, net of width 32 and depth 3, Adam. Two solvers of one process take
turns; each turn ends with a checkpoint that is waited for. Exit code 1 says that the median is above the target.
"""

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import optax
import tyro
from timing import clocked, in_turn, ratios, verdict

import tangrax as tx
from tangrax.launch import use_devices

TARGET = 1.03


@dataclass
class Options:
    """How long, how often."""

    devices: int = 1
    """emulated CPU devices"""
    every: int = 500
    """epochs between two checkpoints"""
    epochs: int = 5000
    """of a turn"""
    rounds: int = 9
    """turns of each of the two"""


def tutorial(devices: int | None) -> tx.Solver:
    domain = tx.domain.line(mesh_size=0.001)
    (x, _), (edge, _) = domain.variable("interior"), domain.variable("boundary")
    net = tx.nn.mlp(1, width=32, depth=3, key=0)
    pde = net(x).d2(x) + tx.np.sin(tx.np.pi * x)
    return tx.core([pde.mse, net(edge).mse], optimizer=optax.adam(1e-3), devices=devices)


def main(options: Options) -> None:
    devices = use_devices(options.devices, True)
    solvers = {"plain": tutorial(devices), "kept": tutorial(devices)}
    with tempfile.TemporaryDirectory() as directory:
        more: dict[str, Any] = {"plain": {}, "kept": {"run_dir": directory, "checkpoint_every": options.every}}

        def turn(name: str) -> float:
            """Seconds of a turn."""
            return clocked(lambda: solvers[name].solve(options.epochs, progress=False, **more[name]))[0]

        for name in solvers:
            turn(name)  # compiles
        found = in_turn(list(solvers), options.rounds, turn)
    cost = ratios(found["kept"], found["plain"])
    print(f"{1e6 * statistics.median(found['plain']) / options.epochs:.0f} us an epoch without checkpoints")
    print(f"with one every {options.every} epochs, times that: {verdict(cost, TARGET, at_least=False, form='.4f')}")
    sys.exit(statistics.median(cost) > TARGET)


if __name__ == "__main__":
    main(tyro.cli(Options))
