"""The problem library, solved: errors and times of all of it, or with --smoke a short run of each that has a limit.

Runs are stored in `--store` with the commit and, while that stays, not repeated. With all seeds there, what they say
is written to the package's `measured.json`, which `tangrax problems` shows, and to the table of docs/problems.md. Exit
code 1 says that an error was above its limit, in a smoke run that of the short run, else the target; or that a problem
took more time than its budget.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import tyro
from storing import stored
from timing import spread

import tangrax as tx
from tangrax.problems import Measured
from tangrax.problems.library import LIBRARY
from tangrax.problems.tables import rows

FIGURES = Path(tx.problems.__file__).parent / "measured.json"
PAGE = Path(__file__).parent.parent / "docs" / "problems.md"


@dataclass
class Options:
    """What is run. On one core all of it takes about 75 minutes; a smoke run, on two, two to four."""

    names: tuple[str, ...] = field(default_factory=lambda: tuple(tx.problems.names()))
    """problems, all unless said"""
    seeds: int = 3
    """of the networks"""
    smoke: bool = False
    """a short run of each, of one seed, several at once"""
    store: Path = Path("runs/problems")


def main(options: Options) -> None:
    unknown = [name for name in options.names if name not in tx.problems.names()]
    if unknown:
        sys.exit(f"--names {' '.join(unknown)}: there are {', '.join(tx.problems.names())}")
    tx.setup(dtype="float64")
    missed = smoke(options) if options.smoke else measure(options)
    if missed:
        sys.exit(f"error ABOVE its limit, or time above its budget: {', '.join(missed)}")


def measure(options: Options) -> list[str]:
    """Solve each with every seed; the names of those above their targets or budgets."""
    print(f"{'problem':18}{'error: median [least .. most]':36}{'target':10}{'seconds':9}{'budget':8}epochs")
    missed, result = [], {}
    for name in options.names:
        runs = [run(options, name, seed) for seed in range(options.seeds)]
        errors = [each["error"] for each in runs]
        middle = statistics.median(errors)
        target, budget = LIBRARY[name].target, LIBRARY[name].budget
        seconds = statistics.median(each["seconds"] for each in runs)
        if not middle <= target or seconds > budget:
            missed.append(name)
        epochs = "/".join(str(each["epochs"]) for each in runs)
        print(f"{name:18}{spread(errors, '.1e'):36}{target:<10.0e}{seconds:<9.0f}{budget:<8.0f}{epochs}", flush=True)
        result[name] = Measured(
            error=middle,
            errors=errors,
            seconds=round(seconds, 1),
            epochs=round(statistics.median(each["epochs"] for each in runs)),
            points=runs[0]["points"],
            parameters=runs[0]["parameters"],
            commit=runs[0]["commit"],
            machine=runs[0]["machine"],
        )
    keep(result)
    return missed


def run(options: Options, name: str, seed: int) -> dict[str, Any]:
    """A solution's figures, from the store if this commit's are there."""

    def solve() -> dict[str, Any]:
        solved = LIBRARY[name].solve(seed=seed, progress=False)
        task = solved.task
        return {
            "errors": solved.errors,
            "error": solved.error,
            "seconds": solved.seconds,
            "epochs": solved.solver.epoch,
            "points": task.points,
            "parameters": task.parameters,
            "machine": f"{len(os.sched_getaffinity(0))} CPU core(s), {platform.machine()}",
        }

    return stored(options.store / f"{name}-{seed}.json", solve)


def keep(result: dict[str, Measured]) -> None:
    """Put them beside those of other problems, in the order of the library.

    At the end alone: the file belongs to the commit that runs are stored with.
    """
    known = json.loads(FIGURES.read_text(encoding="utf-8")) | {name: asdict(each) for name, each in result.items()}
    ordered = {name: known[name] for name in tx.problems.names() if name in known}
    FIGURES.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition("| problem | equation |")
    PAGE.write_text(head + markdown() + rest[rest.index("\n\n") :], encoding="utf-8")


def markdown() -> str:
    """The table of docs/problems.md."""
    names, *cells = rows(lambda each: spread(each.errors, ".0e"))
    # A bar is the edge of a cell, but for one of a formula.
    marked = [(f"`{name}`", *(figure.replace("|", "\\|") for figure in figures)) for name, *figures in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ("---",) * len(names), *marked])


def smoke(options: Options) -> list[str]:
    """A short run of each in a process of its own, one to a core; the names of those above their limits."""
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        # The last ones of the library take longest: begun at the end, one of them would leave the other cores idle.
        result = list(pool.map(short, reversed(options.names)))[::-1]
    print(f"{len(result)} problems in {time.perf_counter() - began:.0f} s")
    return [name for name, error in zip(options.names, result, strict=True) if not error <= limit(name)]


def limit(name: str) -> float:
    return LIBRARY[name].limit


def short(name: str) -> float:
    """The error after a short run."""
    # One thread each: threads of several processes that wait for the same cores are twenty times as slow.
    alone = {**os.environ, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, "one", name], env=alone, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return float("inf")
    error, seconds = map(float, done.stdout.split())
    print(f"{name:18}{error:<10.1e}limit {limit(name):<10.0e}{seconds:.0f} s", flush=True)
    return error


def one(name: str) -> None:
    """What `short` starts: error and seconds of a short run."""
    began = time.perf_counter()
    tx.setup(dtype="float64")
    print(LIBRARY[name].solve(epochs=LIBRARY[name].quick, devices=1, progress=False).error, time.perf_counter() - began)


if __name__ == "__main__":
    if sys.argv[1:2] == ["one"]:
        one(sys.argv[2])
    else:
        main(tyro.cli(Options))
