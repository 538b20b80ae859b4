"""What each network of `tx.nn` does for two solutions that oscillate, with about 600 to 700 parameters each.

All runs of a problem have the same points and epochs, float64. Errors are relative L2 at points that nobody trained on.
Runs are stored in `--store` with the commit and, while that stays, not repeated.
"""

import math
import os
import sys
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
from tangrax.expr import Node

π = math.pi
sin = tx.np.sin
Problem = tuple[Node, Node, Node]  # term, u, exact solution


def waves(net: Any) -> Problem:
    """-u'' = f on the unit interval, u = sin(2πx) + sin(20πx)/10, zero at the ends by its form."""
    x, _ = tx.domain.line(n=200).variable("interior")
    u, exact = net(x) * x * (1 - x), sin(2 * π * x) + sin(20 * π * x) / 10
    source = 4 * π**2 * sin(2 * π * x) + 40 * π**2 * sin(20 * π * x)
    return (u.d2(x) + source).mse, u, exact


def helmholtz(net: Any) -> Problem:
    """Δu + u = f on the unit square, u = sin(4πx) sin(4πy), zero on the boundary by its form."""
    x, y, _ = tx.domain.rect(n=600).variable("interior")
    u, exact = net(x, y) * x * (1 - x) * y * (1 - y), sin(4 * π * x) * sin(4 * π * y)
    return (u.laplacian(x, y) + u - (1 - 32 * π**2) * exact).mse, u, exact


PROBLEMS: dict[str, tuple[int, Callable[[Any], Problem]]] = {"waves": (1, waves), "helmholtz": (2, helmholtz)}
NETWORKS: dict[str, Callable[[int, int], Any]] = {
    "mlp": lambda inputs, seed: tx.nn.mlp(inputs, width=24, depth=2, key=seed),
    "mlp, Fourier 1": lambda inputs, seed: tx.nn.mlp(inputs, width=16, depth=2, fourier_features=10, key=seed),
    "mlp, Fourier 3": lambda inputs, seed: tx.nn.mlp(
        inputs, width=16, depth=2, fourier_features=10, fourier_scale=3.0, key=seed
    ),
    "modified_mlp": lambda inputs, seed: tx.nn.modified_mlp(inputs, width=22, depth=2, key=seed),
    "siren 5": lambda inputs, seed: tx.nn.siren(inputs, width=24, depth=2, frequency=5.0, key=seed),
    "siren 10": lambda inputs, seed: tx.nn.siren(inputs, width=24, depth=2, frequency=10.0, key=seed),
    "siren 30": lambda inputs, seed: tx.nn.siren(inputs, width=24, depth=2, frequency=30.0, key=seed),
    "pirate 1": lambda inputs, seed: tx.nn.pirate(inputs, width=10, blocks=1, key=seed),
    "pirate 3": lambda inputs, seed: tx.nn.pirate(inputs, width=10, blocks=1, fourier_scale=3.0, key=seed),
}
METHODS: dict[str, tuple[int, Callable[[], Any]]] = {
    "gauss-newton": (60, tx.optim.gauss_newton),
    "adam": (4000, lambda: optax.adam(optax.exponential_decay(2e-3, 1000, 0.8))),
}


@dataclass
class Options:
    """What is run."""

    problems: tuple[str, ...] = tuple(PROBLEMS)
    methods: tuple[str, ...] = tuple(METHODS)
    networks: tuple[str, ...] = field(default_factory=lambda: tuple(NETWORKS))
    seeds: int = 3
    store: Path = Path("runs/networks")


def main(options: Options) -> None:
    for name, known in (("problems", PROBLEMS), ("methods", METHODS), ("networks", NETWORKS)):
        unknown = [each for each in getattr(options, name) if each not in known]
        if unknown:
            sys.exit(f"--{name} {' '.join(unknown)}: there are {', '.join(known)}")
    tx.setup(dtype="float64")
    print(f"{'problem':12}{'method':14}{'network':16}{'parameters':>10}  error: median [least .. most]")
    for problem in options.problems:
        for method in options.methods:
            for network in options.networks:
                runs = [stored_cell(options, problem, method, network, seed) for seed in range(options.seeds)]
                errors = [run["error"] for run in runs]
                label = f"{problem:12}{method:14}{network:16}{runs[0]['parameters']:>10}"
                print(f"{label}  {spread(errors, '.1e')}", flush=True)


def stored_cell(options: Options, problem: str, method: str, network: str, seed: int) -> dict[str, Any]:
    """A run, from the store if this commit's is there."""
    path = options.store / f"{problem}-{method}-{network}-{seed}.json".replace(" ", "").replace(",", "-")
    about = {"problem": problem, "method": method, "network": network, "seed": seed}
    return stored(path, lambda: {**about, **run(problem, method, network, seed)})


def run(problem: str, method: str, network: str, seed: int) -> dict[str, float]:
    """The error at the end, and the number of parameters."""
    inputs, build = PROBLEMS[problem]
    epochs, optimizer = METHODS[method]
    net = NETWORKS[network](inputs, seed)
    term, u, exact = build(net)
    solver = tx.core([term], optimizer=optimizer(), devices=1).solve(epochs, progress=False)
    error = tx.np.relative_l2(u.held_out(2000), exact.held_out(2000))
    return {"error": float(solver.eval(error)), "parameters": net.selection.size}


if __name__ == "__main__":
    main(tyro.cli(Options))
