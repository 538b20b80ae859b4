"""Five problems in jinns, DeepXDE, jNO and Tangrax: steps per second, and seconds to given errors.

`python -m peers`, in `benchmarks/`. Problems, points and first weights are in `facts.py` and `problems.py`, and each
library has a module that states the problems as its documentation does. A cell, a problem in a library, is a process on
one core with one thread: Adam at the same rate in float32, all points in each step. The last column is another method,
Gauss-Newton in float64. Libraries are installed into environments below `--environments`, all with the same JAX.

Cells run one after another and are kept in `--store` with their commit. `--show` prints the table of what is stored,
and runs nothing.
"""

import json
import math
import os
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import tyro
from storing import stored

from .facts import write
from .problems import PROBLEMS

BENCHMARKS = Path(__file__).resolve().parents[1]
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4)
SPARE = 900  # seconds beyond its own after which a cell counts as hung: compilation, looks, other programs' share


@dataclass(frozen=True)
class Library:
    """A column: its module, what it is installed by, and the method."""

    module: str
    packages: tuple[str, ...] = ()
    method: str = "adam"


LIBRARIES = {
    "jinns": Library("in_jinns", ("jinns==1.10.2",)),
    "DeepXDE": Library("in_deepxde", ("deepxde==1.15.0", "flax", "optax")),
    "jNO": Library("in_jno", ("jax-numerical-operators==0.4.2", "folx", "foundax")),
    "Tangrax": Library("in_tangrax"),
    "Tangrax, Gauss-Newton": Library("in_tangrax", method="gauss-newton"),
}
YARDSTICK = "jinns"


@dataclass
class Options:
    """What is run: 5 problems by 5 columns by 60 s are half an hour of one core; compilation and looks come on top."""

    problems: tuple[str, ...] = tuple(PROBLEMS)
    libraries: tuple[str, ...] = tuple(LIBRARIES)
    seconds: float = 60.0
    """of training, compilation not counted"""
    core: int = field(default_factory=lambda: max(os.sched_getaffinity(0)))
    environments: Path = BENCHMARKS.parent / ".cache" / "peers"
    store: Path = BENCHMARKS.parent / "runs" / "peers"
    show: bool = False


def main(options: Options) -> None:
    for name, known in (("problems", PROBLEMS), ("libraries", LIBRARIES)):
        unknown = [each for each in getattr(options, name) if each not in known]
        if unknown:
            sys.exit(f"--{name} {' '.join(unknown)}: there are {', '.join(known)}")
    if not options.show:
        fill(options)
    print(table(options))


def fill(options: Options) -> None:
    """Run the cells that are not stored."""
    files = {name: options.store / f"{name}.npz" for name in options.problems}
    options.store.mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        write(PROBLEMS[name](), file)
    for library in options.libraries:
        python = environment(options, library)
        for name, file in files.items():
            found = stored(path(options, name, library), lambda p=python, f=file, at=library: cell(options, p, f, at))
            print(f"{name:12}{library:24}{brief(found)}", flush=True)


def environment(options: Options, library: str) -> str:
    """The Python of a library's environment, which is made if it is not there."""
    packages = LIBRARIES[library].packages
    if not packages:
        return sys.executable
    folder = (options.environments / library.lower()).absolute()
    python, marker = folder / "bin" / "python", folder / "installed"
    wanted = " ".join((*packages, f"jax=={version('jax')}"))
    if not marker.is_file() or marker.read_text() != wanted:
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted.split()], check=True)
        marker.write_text(wanted)
    return str(python)


def path(options: Options, name: str, library: str) -> Path:
    words = library.lower().replace(", ", "-")
    return options.store / f"{name}-{words}-{options.seconds:g}s.json"


def cell(options: Options, python: str, file: Path, library: str) -> dict[str, Any]:
    """What a cell in a process of its own has found, or why it has not."""
    alone = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    alone |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    about = LIBRARIES[library]
    alone.pop("JAX_COMPILATION_CACHE_DIR", None)  # each compiles
    own = [] if about.packages else [alone.get("PYTHONPATH", "")]
    alone["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), *filter(None, own)])
    command = [python, "-m", f"peers.{about.module}", str(file.absolute()), str(options.seconds), about.method]
    try:
        done = subprocess.run(
            ["taskset", "-c", str(options.core), *command],
            env=alone,
            cwd=options.store,
            capture_output=True,
            text=True,
            check=False,
            timeout=options.seconds + SPARE,
        )
    except subprocess.TimeoutExpired:
        return {"failure": f"no end after {options.seconds + SPARE:.0f} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [""]
        return {"failure": f"exit code {done.returncode}: {last[0]}"[:500]}
    # Libraries print too.
    (answer,) = [line for line in done.stdout.splitlines() if line.startswith('{"before"')]
    return json.loads(answer)


def brief(found: dict[str, Any]) -> str:
    if "failure" in found:
        return found["failure"]
    error = f"{found['errors'][-1]:.1e} after {found['steps'][-1]:.0f} steps, {found['seconds'][-1]:.0f} s"
    return f"{rate(found):.3g} steps/s, {error}, {found['before']:.1f} s before, first loss {found['loss']:.6g}"


def rate(found: dict[str, Any]) -> float:
    """Steps per second of training."""
    return found["steps"][-1] / found["seconds"][-1]


def seconds_to(found: dict[str, Any], target: float) -> str:
    """Seconds of training after which the error was first at most the target, or a dash."""
    for seconds, error in zip(found["seconds"], found["errors"], strict=True):
        if error <= target:
            return f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"
    return "-"


def table(options: Options) -> str:
    """Rates, seconds to errors, and what was left at the end, of all stored cells; for the page."""
    rows = [["problem", "", *options.libraries]]
    rows.append(["---"] * len(rows[0]))
    commits, told = set(), []
    for name in options.problems:
        files = {library: path(options, name, library) for library in options.libraries}
        cells = {library: json.loads(file.read_text()) for library, file in files.items() if file.is_file()}
        commits |= {found["commit"] for found in cells.values()}
        told += [f"{library}, {name}: {found['failure']}" for library, found in cells.items() if "failure" in found]
        done = {library: found for library, found in cells.items() if "failure" not in found}
        reference = rate(done[YARDSTICK]) if YARDSTICK in done else math.nan
        lines = {
            f"steps/s (over those of {YARDSTICK})": lambda found, by=reference: (
                f"{rate(found):.3g} ({rate(found) / by:.2f})"
            ),
            "seconds to " + ", ".join(f"{each:g}" for each in TARGETS): lambda found: ", ".join(
                seconds_to(found, target) for target in TARGETS
            ),
            "error at the end": lambda found: f"{found['errors'][-1]:.1e}",
            "seconds before training": lambda found: f"{found['before']:.1f}",
        }
        for line, (what, of) in enumerate(lines.items()):
            shown = [of(done[each]) if each in done else "failed" if each in cells else "" for each in files]
            rows.append([f"`{name}`" if line == 0 else "", what, *shown])
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = "\n".join(told)
    return f"{text}\n\n{options.seconds:g} s of one core; commits: {', '.join(sorted(commits)) or 'none'}\n{notes}"


if __name__ == "__main__":
    main(tyro.cli(Options))
