"""What checkpoints and sinks cost: time of training with them over that without, on the tutorial problem.

-u'' = sin(πx), soft boundary conditions, 999 points, net of width 32 and depth 3, Adam. Three solvers of one process
take turns: plain, with checkpoints, with checkpoints and all sinks (W&B offline). Each turn ends when its last
checkpoint and row are written. Processor seconds of this process are compared beside those of the clock: other programs
on the machine change them less. Exit code 1 says that a median of the clock's is above the target.
"""

import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import optax
import tyro
from timing import clocked, in_turn, ratios, spread, verdict

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
    rounds: int = 31
    """turns of each of the three"""


def tutorial(devices: int | None) -> tx.Solver:
    domain = tx.domain.line(mesh_size=0.001)
    (x, _), (edge, _) = domain.variable("interior"), domain.variable("boundary")
    net = tx.nn.mlp(1, width=32, depth=3, key=0)
    pde = net(x).d2(x) + tx.np.sin(tx.np.pi * x)
    return tx.core([pde.mse, net(edge).mse], optimizer=optax.adam(1e-3), devices=devices)


def sinks(directory: Path) -> dict[str, Any]:
    return {
        "json_lines": tx.sinks.json_lines(directory / "log.jsonl"),
        "csv": tx.sinks.csv(directory / "log.csv"),
        "tensorboard": tx.sinks.tensorboard(directory / "board"),
        "wandb": tx.sinks.wandb("checkpoints", directory=directory, mode="offline"),
    }


def of_a_row(sink: Any, rows: int = 200) -> tuple[float, float]:
    """Processor seconds in this process, where they may keep Python's lock from training: once, and of a row."""
    begun = time.process_time()
    writer = sink.open_writer()
    opened = time.process_time()
    for epoch in range(rows):
        writer.write({"epoch": epoch, "epochs per second": 1e3, "loss": 0.1 / (1 + epoch), "0": 0.1, "1": 0.2})
    written = time.process_time()
    writer.close()
    return time.process_time() - written + opened - begun, (written - opened) / rows


def main(options: Options) -> None:
    devices = use_devices(options.devices, True)
    solvers = {name: tutorial(devices) for name in ("plain", "kept", "told")}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "rows").mkdir()
        for kind, sink in sinks(directory / "rows").items():
            of_a_row(sink, 1)  # starts what W&B keeps running
            once, each = of_a_row(sink)
            print(f"{kind}: {1e3 * once:.1f} ms once, {1e6 * each:.0f} us a row", flush=True)
        every = options.every
        more: dict[str, Any] = {
            "plain": {},
            "kept": {"run_dir": directory / "kept", "checkpoint_every": every},
            "told": {
                "run_dir": directory / "told",
                "checkpoint_every": every,
                "listeners": list(sinks(directory).values()),
            },
        }

        busy: dict[str, list[float]] = {name: [] for name in solvers}

        def turn(name: str) -> float:
            """Seconds of a turn; those of the processors are put down."""
            wall, cpu = clocked(lambda: solvers[name].solve(options.epochs, progress=False, **more[name]))
            busy[name].append(cpu)
            return wall

        for contestant in solvers:
            turn(contestant)  # compiles
        result = in_turn(list(solvers), options.rounds, turn)
    labels = {"kept": f"with a checkpoint every {every} epochs", "told": "with these and four sinks"}
    costs = {name: ratios(result[name], result["plain"]) for name in labels}
    print(f"{1e6 * statistics.median(result['plain']) / options.epochs:.0f} us an epoch without checkpoints")
    for name, what in labels.items():
        print(f"{what}, times that: {verdict(costs[name], TARGET, at_least=False, form='.4f')}")
        print(f"  in processor seconds {spread(ratios(busy[name][1:], busy['plain'][1:]), '.4f')}")
        # What else the machine does only adds: the fastest turns have least of it.
        print(f"  the fastest turn against the fastest {min(result[name]) / min(result['plain']):.4f}")
    sys.exit(int(any(statistics.median(cost) > TARGET for cost in costs.values())))


if __name__ == "__main__":
    main(tyro.cli(Options))
