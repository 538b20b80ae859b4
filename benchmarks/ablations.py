"""What balancing and conflict-free updates do for Adam: each against none, on problems whose terms compete.

All runs of a problem have the same network, points, epochs and learning rate. Errors are relative L2 at points that
nobody trained on; cosines are the least of those between two terms' gradients, in the mean over a run. Runs are stored
in `--store` with the commit and, while that stays, not repeated.
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

import numpy as np
import optax
import tyro
from storing import stored
from timing import spread

import tangrax as tx
from tangrax.expr import Node

π = math.pi
sin, cos = tx.np.sin, tx.np.cos


@dataclass(frozen=True)
class Problem:
    """Terms to train on, a solution to compare with on the points of the interior, and the coordinate of time."""

    terms: dict[str, Node]
    u: Node
    exact: Node
    net: Any
    time: Node | None = None


def poisson(seed: int) -> Problem:
    """-u'' = 16 π² sin(4πx), both ends as a term: a residual a hundred times the ends'."""
    line = tx.domain.line(n=200)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=24, depth=2, key=seed)
    exact = sin(4 * π * x)
    terms = {"pde": (net(x).d2(x) + 16 * π**2 * exact).mse, "ends": net(ends).mse}
    return Problem(terms, net(x), exact, net)


def helmholtz(seed: int) -> Problem:
    """Δu + u = f in the square (-1, 1)², u = sin(πx) sin(4πy), zero on the boundary."""
    square = tx.domain.rect((-1.0, -1.0), (1.0, 1.0), n=800, boundary=200)
    x, y, _ = square.variable("interior")
    xb, yb, _ = square.variable("boundary")
    net = tx.nn.mlp(2, width=32, depth=3, key=seed)
    u, exact = net(x, y), sin(π * x) * sin(4 * π * y)
    terms = {"pde": (u.laplacian(x, y) + u + (17 * π**2 - 1) * exact).mse, "boundary": net(xb, yb).mse}
    return Problem(terms, u, exact, net)


def klein_gordon(seed: int) -> Problem:
    """u_tt - u_xx + u³ = f, u = x cos(5πt) + (xt)³: starting value, starting speed and ends as terms."""
    bar = tx.domain.line(n=800, boundary=100).over_time(0.0, 1.0, initial=100)
    x, t = bar.variable("interior")
    xi, ti = bar.variable("initial")
    xb, tb = bar.variable("boundary")
    net = tx.nn.mlp(2, width=32, depth=3, key=seed)

    def solution(x: Node, t: Node) -> Node:
        return x * cos(5 * π * t) + (x * t) ** 3

    u, exact = net(x, t), solution(x, t)
    source = -25 * π**2 * x * cos(5 * π * t) + 6 * x**3 * t - 6 * x * t**3 + exact**3
    terms = {
        "pde": (u.d2(t) - u.d2(x) + u**3 - source).mse,
        "start": (net(xi, ti) - xi).mse,
        "speed": net(xi, ti).d(ti).mse,
        "ends": (net(xb, tb) - solution(xb, tb)).mse,
    }
    return Problem(terms, u, exact, net, t)


def convection(seed: int) -> Problem:
    """u_t + 10 u_x = 0 with u = sin(x - 10t), periodic in x: what starts at t = 0 has to reach all later times."""
    ring = tx.domain.line(0.0, 2 * π, n=800).over_time(0.0, 1.0, initial=100)
    x, t = ring.variable("interior")
    xi, ti = ring.variable("initial")
    net = tx.nn.mlp(3, width=32, depth=3, key=seed)

    def at(x: Node, t: Node) -> Node:
        return net(cos(x), sin(x), t)

    u = at(x, t)
    terms = {"pde": (u.d(t) + 10 * u.d(x)).mse, "start": (at(xi, ti) - sin(xi)).mse}
    return Problem(terms, u, sin(x - 10 * t), net, t)


PROBLEMS: dict[str, Callable[[int], Problem]] = {
    "poisson": poisson,
    "helmholtz": helmholtz,
    "klein-gordon": klein_gordon,
    "convection": convection,
}
METHODS: dict[str, Callable[[Problem], dict[str, Any] | None]] = {
    "none": lambda p: {},
    "ntk_balance": lambda p: {"balance": tx.optim.ntk_balance()},
    "grad_norm": lambda p: {"balance": tx.optim.grad_norm()},
    "relobralo": lambda p: {"balance": tx.optim.relobralo()},
    "self_adaptive": lambda p: {"balance": tx.optim.self_adaptive()},
    "residual_attention": lambda p: {"balance": tx.optim.residual_attention()},
    "causal": lambda p: None if p.time is None else {"balance": tx.optim.causal(p.time, "pde")},
    "pcgrad": lambda p: {"conflict": tx.optim.pcgrad()},
    "config": lambda p: {"conflict": tx.optim.config()},
    "config(below=0)": lambda p: {"conflict": tx.optim.config(below=0.0)},
    "grad_norm + config": lambda p: {"balance": tx.optim.grad_norm(), "conflict": tx.optim.config()},
}


@dataclass
class Options:
    """What is run. On two cores all of it takes about an hour."""

    problems: tuple[str, ...] = field(default_factory=lambda: tuple(PROBLEMS))
    """of poisson, helmholtz, klein-gordon, convection"""
    methods: tuple[str, ...] = field(default_factory=lambda: tuple(METHODS))
    seeds: int = 3
    epochs: int = 5000
    store: Path = Path("runs/ablations")


def main(options: Options) -> None:
    for name, known in (("problems", PROBLEMS), ("methods", METHODS)):
        unknown = [each for each in getattr(options, name) if each not in known]
        if unknown:
            sys.exit(f"--{name} {' '.join(unknown)}: there are {', '.join(known)}")
    print(f"{'problem':14}{'method':20}{'error: median [least .. most]':34}{'over none':>10}{'cosine':>9}{'time':>7}")
    for name in options.problems:
        none = None
        for method in options.methods:
            runs = [result for seed in range(options.seeds) if (result := stored_cell(options, name, method, seed))]
            if not runs:
                continue
            errors, cosines = [run["error"] for run in runs], [run["cosine"] for run in runs]
            middle, seconds = statistics.median(errors), statistics.median(run["seconds"] for run in runs)
            if method == "none":
                none = (middle, seconds)
            over, slower = ("", "") if none is None else (f"{middle / none[0]:.2f}", f"{seconds / none[1]:.1f}")
            label = f"{name:14}{method:20}{spread(errors, '.1e'):34}"
            print(f"{label}{over:>10}{statistics.median(cosines):>9.2f}{slower:>7}", flush=True)


def stored_cell(options: Options, name: str, method: str, seed: int) -> dict[str, Any] | None:
    """A run, from the store if this commit's is there; None where a method is not for the problem."""
    problem = PROBLEMS[name](seed)
    how = METHODS[method](problem)
    if how is None:
        return None
    path = options.store / f"{name}-{method}-{seed}-{options.epochs}.json".replace(" ", "")
    about = {"problem": name, "method": method, "seed": seed}
    return stored(path, lambda: {**about, **run(options, problem, how)})


def run(options: Options, problem: Problem, how: dict[str, Any]) -> dict[str, float]:
    """Error at the end, mean of the least cosine of two terms' gradients, seconds without compilation."""
    rate = optax.exponential_decay(2e-3, 1000, 0.8)
    cosines = tx.np.cosine([term.grad(problem.net) for term in problem.terms.values()])
    watched = {**problem.terms, "cosines": cosines.tracker(100)}
    solver = tx.core(watched, optimizer=optax.adam(rate), devices=1, **how)
    solver.solve(10, progress=False)
    began = time.perf_counter()
    solver.solve(options.epochs - 10, progress=False)
    seconds = time.perf_counter() - began
    error = tx.np.relative_l2(problem.u.held_out(2000), problem.exact.held_out(2000))
    every = solver.history["cosines"]
    least = np.min(every[:, *np.triu_indices(len(problem.terms), 1)], axis=1)
    return {
        "error": float(solver.eval(error)),
        "cosine": float(np.mean(least)),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main(tyro.cli(Options))
