"""Speed of a training step: Tangrax against a loop written by hand, against jNO, and with a tracker.

The tutorial problem: -u'' = sin(πx), soft boundary conditions, 999 points, net of width 32 and depth 3, Adam.
Each number of devices is emulated in processes of its own; whatever is compared runs in turn, one at a time, and
ratios are taken round by round. Compilation is not timed. `docs/benchmarks.md` says how to read the figures.
"""

import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro
from timing import PeerFailed, Worker, in_turn, ratios, spread, verdict

HERE = Path(__file__).resolve().parent
PEER = "TANGRAX_JNO_PYTHON"
FUSED = 100  # steps in one compiled program, jNO's option inner_steps
LABELS = {
    "tangrax": "Tangrax, solver.solve",
    "by hand": "by hand, lax.scan",
    "jNO": "jNO, as it comes",
    "jNO fused": f"jNO, inner_steps={FUSED}",
    "jNO even": "jNO, 1000 points",
}
BY_HAND, OTHER, TRACKER = 0.9, 1.5, 2.0  # targets: ratios of steps/s, and percent
Contestants = dict[str, tuple[Worker, str]]


@dataclass
class Options:
    """What is run. The defaults take about five minutes on two cores."""

    devices: tuple[int, ...] = (1, 4)
    rounds: int = 9
    epochs: int = 600
    """epochs of one timed run"""
    peer_epochs: int = 300
    """the same for jNO, whose first call of a program is not timed; a multiple of 100"""
    pairs: int = 15
    """pairs of runs with and without the tracker"""
    pair_epochs: int = 2000
    """epochs of each of those; with a few hundred, what is wanted is lost in the noise of a shared machine"""


def main(options: Options) -> None:
    for devices in options.devices:
        began = time.perf_counter()
        print(f"\n{devices} device{'s' if devices > 1 else ''}: {options.rounds} rounds of {options.epochs} epochs")
        arguments = ["--devices", str(devices), "--epochs", str(options.epochs)]
        ours = Worker(sys.executable, HERE / "train_ours.py", devices, arguments)
        points, difference = ours.notes["points"], ours.notes["difference"]
        print(f"  Tangrax and by hand: {points} points, terms of the first epochs equal to {difference:.0e}")
        others = peers(devices)
        speed(options, {"tangrax": (ours, "tangrax"), "by hand": (ours, "by hand"), **others})
        for worker in {worker for worker, _ in others.values()}:
            worker.close()
        tracker(options, ours)
        ours.close()
        print(f"  ({time.perf_counter() - began:.0f} s)", flush=True)


def peers(devices: int) -> Contestants:
    """jNO's contestants, if there is an environment that has it."""
    python = os.environ.get(PEER)
    if not python or not Path(python).is_file():
        why = f"{PEER}={python} is not a file" if python else f"{PEER} is not set"
        print(f"  jNO: skipped, {why} (docs/benchmarks.md tells how to make an environment for it)")
        return {}
    result: Contestants = {}
    # It splits points only if the devices divide their number, so on several it gets a second try: 1000 points.
    tries = [("0.001", {"jNO": "jNO", "jNO fused": "jNO fused"})]
    tries += [(str(1 / 999), {"jNO even": "jNO"})] if devices > 1 else []
    for mesh_size, names in tries:
        try:
            worker = Worker(os.path.abspath(python), HERE / "peer_jno.py", devices, [mesh_size, str(FUSED)])
        except PeerFailed as error:
            print(f"  jNO: skipped, {error}")
            continue
        notes = worker.notes
        print(f"  jNO {notes['version']}: {notes['points']} points, {notes['rows']} a device: {notes['how']}")
        result |= {name: (worker, contestant) for name, contestant in names.items()}
    return result


def speed(options: Options, who: Contestants) -> None:
    """Steps per second of all, and of Tangrax relative to each other."""
    failed: dict[str, str] = {}
    cpu: dict[str, list[float]] = {name: [] for name in who}

    def rate(name: str) -> float:
        worker, contestant = who[name]
        epochs = options.peer_epochs if name.startswith("jNO") else options.epochs
        if name not in failed:
            try:
                wall, used = worker.run(contestant, epochs)
                cpu[name].append(used / epochs * 1e3)
                return epochs / wall
            except PeerFailed as error:
                failed.update({other: str(error) for other in who if who[other][0] is worker})
        return math.nan

    rates = in_turn(list(who), options.rounds, rate)
    print(f"  {'':24}{'steps/s: median [min .. max]':32}CPU ms a step")
    for name, label in LABELS.items():
        if name in failed:
            print(f"  {label:24}failed: {failed[name]}")
        elif name in who:
            print(f"  {label:24}{spread(rates[name], '.0f'):32}{spread(cpu[name], '.2f')}")
    for name, label in LABELS.items():
        if name in who and name not in failed and name != "tangrax":
            target = BY_HAND if name == "by hand" else OTHER
            text = verdict(ratios(rates["tangrax"], rates[name]), target, at_least=True, form=".2f")
            print(f"  Tangrax / {label}: {text}; of CPU time {spread(ratios(cpu[name], cpu['tangrax']), '.2f')}")


def tracker(options: Options, ours: Worker) -> None:
    """What a tracker due every 100 epochs costs, in percent of the time without it."""
    cpu: dict[str, list[float]] = {"tangrax": [], "tracked": []}

    def seconds(name: str) -> float:
        wall, used = ours.run(name, options.pair_epochs)
        cpu[name].append(used)
        return wall

    wall = in_turn(list(cpu), options.pairs, seconds)
    for kind, times in (("wall", wall), ("CPU", cpu)):
        costs = [100 * (ratio - 1) for ratio in ratios(times["tracked"], times["tangrax"])]
        text = verdict(costs, TRACKER, at_least=False, form=".1f")
        print(f"  tracker every 100 epochs, % of {kind} time, {options.pairs} pairs: {text}")


if __name__ == "__main__":
    main(tyro.cli(Options))
