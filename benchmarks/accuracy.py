"""How far errors fall: Gauss-Newton beside SPRING, Adam and L-BFGS, each in the same seconds; solutions are known.

Errors are relative L2 at points that nobody trained on. Runs are stored in `--store` with the commit and, while
that stays, not repeated: an interrupted benchmark goes on. Exit code 1 says that Gauss-Newton missed a target.
"""

import functools
import math
import operator
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
import references
import tyro
from storing import stored

import tangrax as tx
from tangrax.expr import Node

π = math.pi
sin, cos = tx.np.sin, tx.np.cos
EACH = {"gauss-newton": 5, "spring": 5, "adam": 500, "l-bfgs": 50}  # epochs between two looks at the error
METHODS: dict[str, Callable[[], Any]] = {
    "gauss-newton": tx.optim.gauss_newton,
    "spring": tx.optim.spring,
    "adam": lambda: optax.adam(1e-3),
    "l-bfgs": optax.lbfgs,
}


@dataclass(frozen=True)
class Problem:
    """Terms to train on, and a solution to compare with; both on the points of `tag`.

    `exact` is an expression, or its values at `held_out`, rows of coordinates.
    """

    terms: dict[str, Node]
    u: Node
    exact: Node | np.ndarray
    tag: str = "interior"
    held_out: np.ndarray | None = None


@dataclass(frozen=True)
class Case:
    """A problem from the seed of its network; `target` is for the error, within `seconds`."""

    build: Callable[[int], Problem]
    target: float
    seconds: float


def poisson_1d(seed: int, width: int, depth: int, points: int) -> Problem:
    """-u'' = sin(πx), u = 0 at both ends by its form."""
    x, _ = tx.domain.line(n=points).variable("interior")
    u = tx.nn.mlp(1, width=width, depth=depth, key=seed)(x) * x * (1 - x)
    return Problem({"pde": (u.d2(x) + sin(π * x)).mse}, u, sin(π * x) / π**2)


def soft_1d(seed: int) -> Problem:
    """The same with the ends as a term of the loss."""
    line = tx.domain.line(mesh_size=0.001)
    x, _ = line.variable("interior")
    xb, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=32, depth=3, key=seed)
    u = net(x)
    return Problem({"pde": (u.d2(x) + sin(π * x)).mse, "ends": net(xb).mse}, u, sin(π * x) / π**2)


def poisson_2d(seed: int) -> Problem:
    """-Δu = 2π² sin(πx) sin(πy) on the unit square."""
    x, y, _ = tx.domain.rect(n=1500).variable("interior")
    u = tx.nn.mlp(2, width=24, depth=3, key=seed)(x, y) * x * (1 - x) * y * (1 - y)
    exact = sin(π * x) * sin(π * y)
    return Problem({"pde": (u.laplacian(x, y) + 2 * π**2 * exact).mse}, u, exact)


def poisson_5d(seed: int) -> Problem:
    """-Δu = (π²/4) Σ sin(πxᵢ/2) in five dimensions, u given on the boundary.

    A sum of functions of one coordinate each needs one layer, and of few enough parameters J is decomposed as it is.
    """
    box = tx.domain.box((0.0,) * 5, (1.0,) * 5, n=3000, boundary=1000)
    *x, _ = box.variable("interior")
    *xb, _ = box.variable("boundary")
    net = tx.nn.mlp(5, width=96, depth=1, key=seed)

    def solution(x: list[Node]) -> Node:
        return functools.reduce(operator.add, [sin(π / 2 * each) for each in x])

    u = net(*x)
    terms = {"pde": (u.laplacian(*x) + π**2 / 4 * solution(x)).mse, "boundary": 10 * (net(*xb) - solution(xb)).mse}
    return Problem(terms, u, solution(x))


def klein_gordon(seed: int) -> Problem:
    """u_tt - u_xx + u³ = f with u = sin(πx) cos(2πt), starting values and ends by its form."""
    x, t = tx.domain.line(n=1500).over_time(0.0, 1.0).variable("interior")
    exact = sin(π * x) * cos(2 * π * t)
    u = sin(π * x) + t**2 * x * (1 - x) * tx.nn.mlp(2, width=24, depth=3, key=seed)(x, t)
    source = -3 * π**2 * exact + exact**3
    return Problem({"pde": (u.d2(t) - u.d2(x) + u**3 - source).mse}, u, exact)


def gathered(s: Any, width: float) -> tuple[Any, Any]:
    """x = width sinh(a s), from -1 to 1 as s is, and dx/ds: even points in s gather round x = 0, within that width."""
    a = math.asinh(1 / width)
    return width * tx.np.sinh(a * s), width * a * tx.np.cosh(a * s)


def burgers(seed: int) -> Problem:
    """u_t + u u_x = ν u_xx, u(x, 0) = -sin(πx), u = 0 at x = ±1: a shock of width ν = 0.01/π stands at x = 0.

    u is odd by its form, so that half of the line is enough; starting value and ends by the form too. Points gather
    round the shock, and the coordinate in which they are even is an input of the net beside x.
    """
    s, t = tx.domain.line(n=2000).over_time(0.0, 1.0).variable("interior")
    x, stretch = gathered(s, 0.02)
    u = -sin(π * x) + t * s * (1 - s**2) * tx.nn.mlp(3, width=24, depth=3, key=seed)(s**2, x**2, t)
    u_x = u.d(s) / stretch
    pde = u.d(t) + u * u_x - references.VISCOSITY * u_x.d(s) / stretch
    at = evenly((-1, 0), (1, 1), 2000, seed)
    exact = references.burgers(at[:, 0], at[:, 1])
    at[:, 0] = np.arcsinh(at[:, 0] / 0.02) / math.asinh(1 / 0.02)
    return Problem({"pde": (stretch * pde).mse}, u, exact, held_out=at)


def allen_cahn(seed: int) -> Problem:
    """u_t = ε u_xx + 5 (u - u³), ε = 1e-4, u(x, 0) = x² cos(πx), even and periodic: fronts at x = ±1/2, 0.006 wide.

    Even and periodic by the input cos(πx), so that half of the line is enough; points gather at its front. The form of
    u has what is known of it, so that the net adds only the rest of what diffusion does: the reaction alone, which
    turns v into u, and, in v, how heat rounds off the kink 2y that the starting value has at x = 1, y being the
    distance: y becomes y erf(y/w) + w exp(-y²/w²)/√π with w² = 4εt.
    u without the net and the slope of the kink are inputs too, and residuals have a weight exp(-5t), because an
    error where u = 0 grows as exp(5t).
    """
    s, t = tx.domain.line(-1.0, 1.0, n=2000).over_time(0.0, 1.0).variable("interior")
    x, stretch = (each / 2 for each in gathered(s, 0.06))
    x = x + 0.5
    start, y, w = x**2 * cos(π * x), 2 / π * cos(π / 2 * x), tx.np.sqrt(4 * references.DIFFUSION * t)
    slope = tx.np.erf(y / w)
    rounded = start + 2 * (y * slope + w / math.sqrt(π) * tx.np.exp(-((y / w) ** 2)) - y)

    def reacted(v: Node) -> Node:
        """u at t of u_t = 5 (u - u³) from v at 0."""
        return v * tx.np.exp(5 * t) / tx.np.sqrt(1 + v**2 * tx.np.expm1(10 * t))

    net = tx.nn.mlp(4, width=24, depth=3, key=seed)
    u = reacted(rounded + 0.02 * t * net(cos(π * x), reacted(rounded), slope**2, t))
    pde = u.d(t) - references.DIFFUSION * (u.d(s) / stretch).d(s) / stretch + 5 * u**3 - 5 * u
    at = evenly((-1, 0), (1, 1), 2000, seed)
    at[:, 1] = np.ceil(at[:, 1] * references.STEPS) / references.STEPS
    exact = references.allen_cahn(at[:, 0], at[:, 1])
    at[:, 0] = np.arcsinh((2 * abs(at[:, 0]) - 1) / 0.06) / math.asinh(1 / 0.06)
    return Problem({"pde": (tx.np.sqrt(stretch) * tx.np.exp(-5 * t) * pde).mse}, u, exact, held_out=at)


CASES = {
    "poisson-1d": Case(lambda seed: poisson_1d(seed, 24, 2, 256), 1e-14, 30),
    "tutorial": Case(lambda seed: poisson_1d(seed, 32, 3, 999), 1e-14, 90),
    "soft-1d": Case(soft_1d, 1e-12, 90),
    "poisson-2d": Case(poisson_2d, 1e-13, 120),
    "klein-gordon": Case(klein_gordon, 1e-9, 120),
    "poisson-5d": Case(poisson_5d, 1e-8, 600),
    "burgers": Case(burgers, 1e-5, 900),
    "allen-cahn": Case(allen_cahn, 1e-5, 900),
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
            runs = [kept(options, name, method, seed) for seed in range(seeds)]
            errors = [min(run["errors"]) for run in runs]
            middle = statistics.median(errors)
            if method == "gauss-newton" and not middle <= case.target:
                missed.append(name)
            spread = f"{middle:.1e} [{min(errors):.1e} .. {max(errors):.1e}]"
            print(f"{name:14}{method:14}{spread:34}{case.target:<10.0e}{decades(runs)}", flush=True)
    if missed:
        sys.exit(f"target MISSED: {', '.join(missed)}")


def kept(options: Options, name: str, method: str, seed: int) -> dict[str, Any]:
    """A run, from the store if this commit's is there."""
    path = options.store / f"{name}-{method}-{seed}.json"
    about = {"problem": name, "method": method, "seed": seed}
    return stored(path, lambda: {**about, **run(options, name, method, seed)})


def run(options: Options, name: str, method: str, seed: int) -> dict[str, list[float]]:
    """Errors, and the seconds after which they were reached, compilation included."""
    case = CASES[name]
    problem = case.build(seed)
    solver = tx.core(problem.terms, optimizer=METHODS[method](), devices=1)
    new = between(problem, 2000, seed) if problem.held_out is None else problem.held_out
    exact = problem.exact
    if isinstance(exact, Node):
        exact = solver.eval(exact, points={problem.tag: new})
    seconds, errors, spent = [], [], 0.0
    while spent < case.seconds:
        began = time.perf_counter()
        solver.solve(EACH[method], progress=False)
        spent += time.perf_counter() - began
        u = solver.eval(problem.u, points={problem.tag: new})
        seconds.append(spent)
        errors.append(float(np.linalg.norm(u - exact) / np.linalg.norm(exact)))
        reached = method == "gauss-newton" and options.stop and errors[-1] <= case.target
        if reached or solver.stalled:
            break
    return {"seconds": seconds, "errors": errors}


def between(problem: Problem, count: int, seed: int) -> np.ndarray:
    """Points between those trained on, evenly drawn from the box that holds them."""
    assert problem.u.points is not None
    known = problem.u.points.coordinates
    return evenly(known.min(axis=0), known.max(axis=0), count, seed)


def evenly(lower: Any, upper: Any, count: int, seed: int) -> np.ndarray:
    """Random points of a box."""
    return np.random.default_rng(seed).uniform(lower, upper, (count, len(lower)))


def decades(runs: list[dict[str, Any]]) -> str:
    """Median seconds to errors of 1e-2, 1e-4, …; a dash where most runs did not come so far."""
    shown = []
    for power in range(2, 16, 2):
        reached = [
            next((s for s, e in zip(run["seconds"], run["errors"], strict=True) if e <= 10.0**-power), math.inf)
            for run in runs
        ]
        middle = statistics.median(reached)
        shown.append(f"{middle:.0f}" if math.isfinite(middle) else "-")
    return " ".join(f"{text:>4}" for text in shown)


if __name__ == "__main__":
    main(tyro.cli(Options))
