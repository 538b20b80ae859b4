"""How far errors fall: Gauss-Newton beside SPRING, Adam and L-BFGS, each in the same seconds; solutions are known.

Errors are relative L2 at points that nobody trained on. Runs are stored in `--store` with the commit and, while
that stays, not repeated: an interrupted benchmark goes on. Exit code 1 says that Gauss-Newton missed a target.
"""

import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import optax
import tyro
from storing import stored
from timing import spread

import tangrax as tx
from tangrax.problems import Answer, Task

π = math.pi
sin = tx.np.sin
EACH = {"gauss-newton": 5, "spring": 5, "adam": 500, "l-bfgs": 50}  # epochs between two looks at the error
METHODS: dict[str, Callable[[], Any]] = {
    "gauss-newton": tx.optim.gauss_newton,
    "spring": tx.optim.spring,
    "adam": lambda: optax.adam(1e-3),
    "l-bfgs": optax.lbfgs,
}


@dataclass(frozen=True)
class Case:
    """A task from the seed of its network; `target` is for the error of u, within `seconds`."""

    build: Callable[[int], Task]
    target: float
    seconds: float


def tutorial(seed: int) -> Task:
    """-u'' = sin(πx) with the tutorial's net and number of points, u = 0 at both ends by its form."""
    x, _ = tx.domain.line(n=999).variable("interior")
    u = tx.nn.mlp(1, width=32, depth=3, key=seed)(x) * x * (1 - x)
    return Task({"pde": (u.d2(x) + sin(π * x)).mse}, {"u": Answer(u, sin(π * x) / π**2)})


def soft_1d(seed: int) -> Task:
    """The same with the ends as a term of the loss."""
    line = tx.domain.line(mesh_size=0.001)
    x, _ = line.variable("interior")
    xb, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=32, depth=3, key=seed)
    u = net(x)
    return Task({"pde": (u.d2(x) + sin(π * x)).mse, "ends": net(xb).mse}, {"u": Answer(u, sin(π * x) / π**2)})


def library(name: str) -> Callable[[int], Task]:
    return tx.problems.get(name).build


CASES = {
    "poisson-1d": Case(library("poisson-1d"), 1e-14, 30),
    "tutorial": Case(tutorial, 1e-14, 90),
    "soft-1d": Case(soft_1d, 1e-12, 90),
    "poisson-2d": Case(library("poisson-2d"), 1e-13, 120),
    "klein-gordon": Case(library("klein-gordon"), 1e-9, 120),
    "poisson-5d": Case(library("poisson-5d"), 1e-8, 600),
    "burgers": Case(library("burgers"), 1e-5, 900),
    "allen-cahn": Case(library("allen-cahn"), 1e-5, 900),
}


@dataclass
class Options:
    """What is run. On two cores all of it takes about six hours with the peers, one for Gauss-Newton alone."""

    cases: tuple[str, ...] = field(default_factory=lambda: tuple(CASES))
    """of poisson-1d, tutorial, soft-1d, poisson-2d, klein-gordon, poisson-5d, burgers, allen-cahn"""
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: int | None = None
    """of the network; 5 unless a run may take two minutes or more, then 3"""
    store: Path = Path("runs/accuracy")
    stop: bool = True
    """end a run of Gauss-Newton at its target, in place of at the end of its time"""
    peers: int | None = None
    """seeds of the other methods, if fewer"""
    longest: float = math.inf
    """seconds after which a run of another method ends, if its problem allows more"""


def main(options: Options) -> None:
    for name, known in (("cases", CASES), ("methods", METHODS)):
        unknown = [each for each in getattr(options, name) if each not in known]
        if unknown:
            sys.exit(f"--{name} {' '.join(unknown)}: there are {', '.join(known)}")
    tx.setup(dtype="float64")
    print(f"{'problem':14}{'method':14}{'error: median [least .. most]':34}{'target':10}seconds to 1e-2, 1e-4, …")
    missed = []
    for name in options.cases:
        case = CASES[name]
        seeds = options.seeds or (5 if case.seconds < 120 else 3)
        for method in options.methods:
            count = seeds if method == "gauss-newton" else options.peers or seeds
            runs = [stored_cell(options, name, method, seed) for seed in range(count)]
            errors = [min(run["errors"]) for run in runs]
            middle = statistics.median(errors)
            if method == "gauss-newton" and not middle <= case.target:
                missed.append(name)
            print(f"{name:14}{method:14}{spread(errors, '.1e'):34}{case.target:<10.0e}{decades(runs)}", flush=True)
    if missed:
        sys.exit(f"target MISSED: {', '.join(missed)}")


def stored_cell(options: Options, name: str, method: str, seed: int) -> dict[str, Any]:
    """A run, from the store if this commit's is there."""
    of_time = "" if method == "gauss-newton" or options.longest >= CASES[name].seconds else f"-{options.longest:g}s"
    path = options.store / f"{name}-{method}-{seed}{of_time}.json"
    about = {"problem": name, "method": method, "seed": seed}
    return stored(path, lambda: {**about, **run(options, name, method, seed)})


def run(options: Options, name: str, method: str, seed: int) -> dict[str, list[float]]:
    """Errors, and the seconds after which they were reached, compilation included."""
    case = CASES[name]
    task = case.build(seed)
    solver = tx.core(dict(task.terms), optimizer=METHODS[method](), devices=1)
    seconds, errors, spent = [], [], 0.0
    allowed = case.seconds if method == "gauss-newton" else min(case.seconds, options.longest)
    while spent < allowed:
        began = time.perf_counter()
        solver.solve(EACH[method], progress=False)
        spent += time.perf_counter() - began
        seconds.append(spent)
        errors.append(task.answers["u"].error(solver))
        reached = method == "gauss-newton" and options.stop and errors[-1] <= case.target
        if reached or solver.stalled:
            break
    return {"seconds": seconds, "errors": errors}


def decades(runs: list[dict[str, Any]]) -> str:
    """Median seconds to errors of 1e-2, 1e-4, …; a dash where most runs did not come so far."""
    cells = []
    for power in range(2, 16, 2):
        reached = [
            next((s for s, e in zip(run["seconds"], run["errors"], strict=True) if e <= 10.0**-power), math.inf)
            for run in runs
        ]
        middle = statistics.median(reached)
        cells.append(f"{middle:.0f}" if math.isfinite(middle) else "-")
    return " ".join(f"{text:>4}" for text in cells)


if __name__ == "__main__":
    main(tyro.cli(Options))
