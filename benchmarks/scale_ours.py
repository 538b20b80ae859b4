"""A process of `scaling.py`: Tangrax on its share of the points, held to one core if it is told which."""

import os
from collections.abc import Sequence

import jax
import numpy as np
import optax
import tyro
from timing import clocked, serve

import tangrax as tx

SMALL = 512, 1024  # points of two programs small enough not to be cut into chunks, whose loop XLA would count once


def problem(points: int, width: int, depth: int) -> tx.Solver:
    """The tutorial's equation on so many points."""
    x, _ = tx.domain.line(mesh_size=1 / (points + 1)).variable("interior")
    net = tx.nn.mlp(1, width=width, depth=depth, key=0)
    pde = -(net(x) * x * (1 - x)).d2(x) - tx.np.sin(np.pi * x)
    return tx.core([pde.mse], optimizer=optax.adam(1e-3))


def flops_per_point(width: int, depth: int) -> float:
    """Floating-point operations of a step at one point, by XLA's count for two numbers of points on one device."""
    counts = []
    for points in SMALL:
        solver = problem(points, width, depth)
        loop = solver.training.current_loop()
        state = loop.init(solver.training.parameters)
        compiled = loop.program.lower(*loop.arguments(state, state, 0, 1)).compile()
        analysis = compiled.cost_analysis()
        counts.append((analysis[0] if isinstance(analysis, list) else analysis)["flops"])
    return (counts[1] - counts[0]) / (SMALL[1] - SMALL[0])


def hold() -> None:
    """Keep to the core that is this rank's, if the benchmark named any; threads made from now on inherit it."""
    cores = [int(core) for core in os.environ.get("SCALING_CORES", "").split(",") if core]
    if cores:
        rank = int(os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK", "0")))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})


def main(points: int, width: int, depth: int, count: bool = False) -> None:
    """Serve runs of so many epochs; `points` are those of all processes together."""
    hold()
    solver = problem(points, width, depth).solve(1, progress=False)
    peers = tx.parallel.settings().peers
    notes = {
        "numbers": sum(leaf.size for leaf in jax.tree.leaves(solver.training.parameters)) + 1,
        "flops": flops_per_point(width, depth) if count else 0.0,
        "processes": peers.size,
    }

    def run(epochs: int) -> Sequence[float]:
        agreed(epochs)
        return clocked(lambda: solver.solve(epochs, progress=False))

    def agreed(epochs: int) -> int:
        # Only the first process hears the benchmark.
        return int(peers.exchange("what to run", lambda: str(epochs))[0])

    if peers.rank == 0:
        serve({"tangrax": run}, notes)
        agreed(0)
    else:
        while epochs := agreed(0):
            solver.solve(epochs, progress=False)


if __name__ == "__main__":
    tyro.cli(main)
