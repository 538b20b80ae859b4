"""Problems that others set, straight from the equations: which optimizer gets how far in the same seconds of one core?

Cases are those of `tx.problems.names("pinnacle")` and `"dsgnar"`: the equations alone, all weights 1, one network and
one number of points for each number of inputs. Each cell, a case by a method, is a process on a core of its own, with
one thread. Cells are kept in `--store` with their commit and, while that stays, not repeated: an interrupted benchmark
goes on, and with --minutes it stops by itself. `--show` prints the table of what is stored, and runs nothing.
"""

import json
import math
import os
import queue
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import optax
import tyro
from storing import stored
from timing import spread

import tangrax as tx
from tangrax.problems import BenchmarkProblem

CASES = (*tx.problems.names("pinnacle"), *tx.problems.names("dsgnar"))
LOOK = 3.0  # seconds of training between two looks at the error, at least
MANY = 2**13  # points of a tag from which on a step takes a batch of them
BATCH = 1024  # points of a tag in a step of DSGNAR's cases: all 2^15 of them make a Gauss-Newton step of minutes
SPARE = 3600  # seconds beyond its own after which a cell counts as hung: other programs may have its core


@dataclass(frozen=True)
class Method:
    """An optimizer, what comes before it, the weight of the equations, and the precision of all."""

    optimizer: Callable[[], Any]
    first: Callable[[], Any] | None = None
    share: float = 0.0
    """of the seconds, for what comes first"""
    weight: float = 1.0
    balance: Callable[[], Any] | None = None
    dtype: str = "float64"


def adam() -> optax.GradientTransformation:
    return optax.adam(1e-3)


METHODS = {
    "adam": Method(adam, dtype="float32"),
    "adam, l-bfgs": Method(optax.lbfgs, adam, 0.5),
    "adam, ssbroyden": Method(tx.optim.self_scaled_broyden, adam, 0.1),
    "soap": Method(tx.optim.soap, dtype="float32"),
    "spring": Method(tx.optim.spring),
    "gauss-newton": Method(tx.optim.gauss_newton),
    "gauss-newton 1e-2": Method(tx.optim.gauss_newton, weight=1e-2),
    "gauss-newton 1e-4": Method(tx.optim.gauss_newton, weight=1e-4),
    "gauss-newton 1e-6": Method(tx.optim.gauss_newton, weight=1e-6),
    "conditions first": Method(lambda: tx.optim.gauss_newton(sketch=700), balance=tx.optim.conditions_first),
}


@dataclass
class Options:
    """What is run: 32 cases by 10 methods by 120 s are eleven hours of one core."""

    cases: tuple[str, ...] = CASES
    methods: tuple[str, ...] = tuple(METHODS)
    seeds: tuple[int, ...] = (0,)
    """of the networks"""
    seconds: float = 120.0
    """of training, compilation included"""
    cores: tuple[int, ...] = field(default_factory=lambda: tuple(sorted(os.sched_getaffinity(0))))
    """a cell runs on each"""
    minutes: float = math.inf
    """after which no cell is begun"""
    store: Path = Path("runs/straight")
    show: bool = False
    picture: Path | None = None
    """file for the errors against seconds of all stored cells, a panel a case"""


def main(options: Options) -> None:
    for name, known in (("cases", CASES), ("methods", METHODS)):
        unknown = [each for each in getattr(options, name) if each not in known]
        if unknown:
            sys.exit(f"--{name} {' '.join(unknown)}: there are {', '.join(known)}")
    if not options.show:
        fill(options)
    print(table(options))
    if options.picture is not None:
        draw(options, options.picture)


def fill(options: Options) -> None:
    """Run the cells that are not stored, one on each core."""
    began = time.monotonic()
    cores: queue.Queue[int] = queue.Queue()
    for core in options.cores:
        cores.put(core)

    def run(cell: tuple[int, str, str]) -> None:
        if time.monotonic() - began > 60 * options.minutes:
            return
        core = cores.get()
        try:
            result = stored(path(options, *cell), lambda: in_own_process(options, *cell, core))
            seed, name, method = cell
            print(f"{name:32}{method:20}{seed:<4}{brief(result)}", flush=True)
        finally:
            cores.put(core)

    cells = [(seed, name, method) for seed in options.seeds for name in options.cases for method in options.methods]
    with ThreadPoolExecutor(len(options.cores)) as pool:
        list(pool.map(run, cells))


def path(options: Options, seed: int, name: str, method: str) -> Path:
    words = f"{name}-{method}-{seed}-{options.seconds:g}s".replace(", ", "-").replace(" ", "-").replace("/", "-")
    return options.store / f"{words}.json"


def in_own_process(options: Options, seed: int, name: str, method: str, core: int) -> dict[str, Any]:
    """A cell in a process of its own: what it has found, or why it has not."""
    alone = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
    alone["OPENBLAS_NUM_THREADS"] = "1"
    about = {"case": name, "method": method, "seed": seed, "allowed": options.seconds}
    command = [sys.executable, __file__, "cell", name, method, str(seed), str(options.seconds), str(core)]
    try:
        done = subprocess.run(
            command, env=alone, capture_output=True, text=True, check=False, timeout=options.seconds + SPARE
        )
    except subprocess.TimeoutExpired:
        return {**about, "failure": f"no end after {options.seconds + SPARE:.0f} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return {**about, "failure": f"exit code {done.returncode}: {last[0]}"[:500]}
    return {**about, **json.loads(done.stdout.splitlines()[-1])}


def cell(name: str, method: Method, seed: int, allowed: float) -> dict[str, Any]:
    """Errors against our reference, and the seconds and epochs after which they were reached.

    Seconds are of CPU, of all threads, on one core: other programs on the machine do not count.
    """
    tx.setup(dtype=method.dtype)
    task = tx.problems.get(name).build(seed)
    first = (method.first or method.optimizer)()
    batch = {points.tag: BATCH for points in task.point_sets if len(points) > MANY}
    balance = method.balance and method.balance()
    solver = tx.core(task.weighted(method.weight), optimizer=first, balance=balance, devices=1, batch=batch)
    stages = [(method.share * allowed, None), (allowed, method.optimizer)] if method.first else [(allowed, None)]
    seconds, errors, epochs, spent = [], [], [], 0.0
    for until, optimizer in stages:
        if optimizer is not None:
            solver.optimizer(optimizer())
        each = 1
        while spent < until and not solver.stalled:
            began = time.process_time()
            solver.solve(each, progress=False)
            took = time.process_time() - began
            spent += took
            seconds.append(spent)
            epochs.append(solver.epoch)
            errors.append(task.score(solver))
            if took < LOOK:
                each *= 2
    return {
        "seconds": seconds,
        "errors": errors,
        "epochs": epochs,
        "loss": float(solver.history["loss"][-1]),
        "ended": solver.stalled or "",
        "points": task.points,
        "parameters": task.parameters,
    }


def brief(result: dict[str, Any]) -> str:
    """Error at the end, epochs and seconds, or what went wrong."""
    if "failure" in result:
        return result["failure"]
    ended = f", {result['ended']}" if result["ended"] else ""
    return f"{result['errors'][-1]:.1e} after {result['epochs'][-1]} epochs, {result['seconds'][-1]:.0f} s{ended}"


def cells_of(options: Options, name: str, method: str) -> list[dict[str, Any]]:
    """The stored cells of a case by a method, one a seed."""
    files = [path(options, seed, name, method) for seed in options.seeds]
    return [json.loads(file.read_text()) for file in files if file.is_file()]


def least_published(name: str) -> tuple[float, str]:
    """The least relative L2 error that was published, and by which method."""
    problem = tx.problems.get(name)
    assert isinstance(problem, BenchmarkProblem)
    return problem.published, problem.published_by


def table(options: Options) -> str:
    """Errors at the end of all stored cells, medians over seeds, beside the least published; for the page."""
    head = ["case", "published", *options.methods]
    lines, commits = [head, ["---"] * len(head)], set()
    for name in options.cases:
        error, by = least_published(name)
        row = [f"`{name}`", f"{error:.1e} ({by})"]
        for method in options.methods:
            cells = cells_of(options, name, method)
            commits |= {each["commit"] for each in cells}
            errors = [each["errors"][-1] for each in cells if "errors" in each]
            row.append(spread(errors, ".0e") if errors else "failed" if cells else "")
        lines.append(row)
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{options.seconds:g} s of one core; commits: {', '.join(sorted(commits)) or 'none'}"


def draw(options: Options, file: Path) -> None:
    """Draw the error of each method against seconds, a panel a case; a dotted line is the least published."""
    from matplotlib.figure import Figure

    columns = min(5, len(options.cases))
    rows = -(-len(options.cases) // columns)
    figure = Figure((3 * columns, 2.4 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, options.cases, strict=False):
        least, most = least_published(name)[0], 1.0
        for method in options.methods:
            color = f"C{list(METHODS).index(method)}"
            for each in cells_of(options, name, method):
                if "errors" in each:
                    panel.loglog(each["seconds"], each["errors"], ".-", ms=3, lw=1.2, color=color, label=method)
                    least, most = min(least, *each["errors"]), max(most, *each["errors"])
        panel.axhline(least_published(name)[0], color="black", ls=":", lw=1)
        panel.set(xscale="log", yscale="log", xlim=(3, 1.5 * options.seconds))
        panel.set_ylim(min(least / 2, 1e-2), 2 * most)
        panel.minorticks_off()
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=7)
    for panel in panels[len(options.cases) :]:
        panel.set_axis_off()
    lines = {line.get_label(): line for panel in panels for line in panel.get_lines() if line.get_label()[0] != "_"}
    figure.legend(list(lines.values()), list(lines), loc="outside upper center", ncols=5, fontsize=8)
    figure.supxlabel("seconds of one core", fontsize=9)
    figure.supylabel("relative L2 error", fontsize=9)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    if sys.argv[1:2] == ["cell"]:
        name, method, seed, allowed, core = sys.argv[2:]
        os.sched_setaffinity(0, [int(core)])
        print(json.dumps(cell(name, METHODS[method], int(seed), float(allowed))))
    else:
        main(tyro.cli(Options))
