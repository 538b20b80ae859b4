"""Weak scaling: the same number of points for every core, on one core and on two.

2^16 points a core, net of width 64 and depth 4, the tutorial's equation. Two MPI processes, each held to a core of its
own, against one; beside them the same two processes that do not talk, which is the ceiling the machine sets, and two
emulated devices of one process. All run in turn, one contestant at a time; efficiencies are taken round by round.

Then a model, not a measurement, of 8 to 512 GPUs. `docs/benchmarks.md` says how to read the figures.
"""

import concurrent.futures
import math
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from timing import Worker, in_turn, ratios, spread, verdict

HERE = Path(__file__).resolve().parent
TARGET = 90.0  # percent
BYTES = 4  # of a float32 number
GPUS = (8, 16, 32, 64, 128, 256, 512)


@dataclass
class Options:
    """What is run. The defaults take about four minutes on two cores."""

    points: int = 2**16
    """collocation points a core"""
    width: int = 64
    depth: int = 4
    rounds: int = 15
    epochs: int = 8
    """epochs of one timed run"""
    gpu_points: int = 2**16
    """collocation points a GPU in the model"""
    gpu_flops: float = 10e12
    """floating-point operations a second that a GPU sustains in the model: an assumption"""
    gpus_per_node: int = 4
    inside: float = 300e9
    """bytes a second between GPUs of a node: an assumption"""
    between: float = 25e9
    """bytes a second between nodes (200 Gbit/s): an assumption"""
    latency: float = 20e-6
    """seconds of one hop of an all-reduce: an assumption"""


def main(options: Options) -> None:
    cores = sorted(os.sched_getaffinity(0))[:2]
    mpirun = shutil.which("mpirun", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if len(cores) < 2 or mpirun is None:
        sys.exit(f"this needs two cores and an mpirun (make mpi): found cores {cores} and {mpirun or 'no mpirun'}")
    net = ["--width", str(options.width), "--depth", str(options.depth)]
    one, two = ([f"--points={count * options.points}", *net] for count in (1, 2))

    def worker(arguments: list[str], cores: list[int], devices: int = 1, before: tuple[str, ...] = ()) -> Worker:
        variables = {"SCALING_CORES": ",".join(map(str, cores))}
        return Worker(sys.executable, HERE / "scale_ours.py", devices, arguments, before, variables)

    alone = worker([*one, "--count"], cores[:1])
    beside = worker(one, cores[1:])
    ranks = worker(two, cores, before=(mpirun, "-n", "2"))
    devices = worker(two, [], devices=2)
    if ranks.notes["processes"] != 2:
        sys.exit(f"mpirun started {ranks.notes['processes']} process(es) of one run: is mpi4jax built against it?")
    flops, numbers = float(str(alone.notes["flops"])), int(str(alone.notes["numbers"]))

    def seconds(name: str) -> float:
        """A step's."""
        who = {"one": [alone], "silent": [alone, beside], "ranks": [ranks], "devices": [devices]}[name]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            walls = pool.map(lambda each: each.run("tangrax", options.epochs)[0], who)
            return max(walls) / options.epochs

    labels = {
        "one": "one process",
        "silent": "two that do not talk",
        "ranks": "two MPI ranks",
        "devices": "two emulated devices",
    }
    print(
        f"{options.points} points a core, net {options.width}x{options.depth}, cores {cores}, {options.rounds} rounds"
    )
    times = in_turn(list(labels), options.rounds, seconds)
    for each in (alone, beside, ranks, devices):
        each.close()
    print(f"  {'':24}s a step: median [min .. max]")
    for name, label in labels.items():
        print(f"  {label:24}{spread(times[name])}")
    percent = {name: [100 * ratio for ratio in ratios(times["one"], times[name])] for name in labels}
    print("  efficiency, % of one process:")
    print(f"  {labels['ranks']:24}{verdict(percent['ranks'], TARGET, at_least=True)}")
    print(f"  {'ceiling: no talk':24}{spread(percent['silent'])}")
    print(f"  {'ranks of the ceiling':24}{spread([100 * r for r in ratios(times['silent'], times['ranks'])])}")
    print(f"  {labels['devices']:24}{spread(percent['devices'])}")
    work = flops * options.points
    print(f"  {work / 1e9:.1f} GFLOP a step and core, {work / min(times['one']) / 1e9:.1f} GFLOP/s at best;", end=" ")
    print(f"{numbers * BYTES} bytes summed a step")
    model(options, flops, numbers)


def model(options: Options, flops: float, numbers: int) -> None:
    """Weak scaling of a step as computing plus one all-reduce, nothing overlapped."""
    work = flops * options.gpu_points
    print("\nA MODEL, not a measurement: time = computing + all-reduce, nothing overlapped. Assumed:")
    print(f"  {options.gpu_points} points and {work / 1e9:.1f} GFLOP a GPU and step (counted by XLA) at", end=" ")
    print(f"{options.gpu_flops / 1e12:g} TFLOP/s; {numbers * BYTES} bytes all-reduced;")
    print(f"  {options.gpus_per_node} GPUs a node, {options.inside / 1e9:g} GB/s inside it,", end=" ")
    print(f"{options.between / 1e9:g} GB/s between nodes, {1e6 * options.latency:g} µs a hop")
    print(f"  {'GPUs':>6}{'points':>12}{'computing ms':>14}{'all-reduce ms':>15}{'efficiency %':>14}")
    computing = work / options.gpu_flops
    for gpus in GPUS:
        talking = all_reduce(options, gpus, numbers * BYTES)
        efficiency = 100 * computing / (computing + talking)
        points = gpus * options.gpu_points
        print(f"  {gpus:>6}{points:>12}{1e3 * computing:>14.3f}{1e3 * talking:>15.3f}{efficiency:>14.1f}")


def all_reduce(options: Options, gpus: int, size: int) -> float:
    """Seconds of an all-reduce of `size` bytes: summed in each node, then up and down a tree of nodes.

    Each level of the tree takes a hop and the whole message; a ring inside a node moves it nearly twice.
    """
    per_node = min(gpus, options.gpus_per_node)
    nodes = math.ceil(gpus / options.gpus_per_node)
    ring = 2 * (per_node - 1) * options.latency + 2 * (per_node - 1) / per_node * size / options.inside
    tree = 2 * math.ceil(math.log2(nodes)) * (options.latency + size / options.between) if nodes > 1 else 0.0
    return ring + tree


if __name__ == "__main__":
    main(tyro.cli(Options))
