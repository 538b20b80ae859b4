"""How strong the suite is: fifteen faults, each put into a copy of the sources; which test sees it?

    python tests/seeded_faults.py                     all, against the tests of this checkout: `make test-faults`
    python tests/seeded_faults.py --only rad normals  some
    python tests/seeded_faults.py --suite ELSEWHERE   against the tests of another checkout

A fault is a line or two. Only tests of packages that can see it run, the stage of `make test` first and those of the
slower stages where it sees nothing, each until its first failure. docs/testing.md has the table.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# As in the Makefile.
STAGES = {
    "make test": "not slow and not slurm and not processes and not pages",
    "make test-processes": "processes and not slow",
    "make test-slow": "slow and not slurm",
}


@dataclass(frozen=True)
class Fault:
    """Texts of a file under src/tangrax and what stands in their place; the tests that can see it."""

    what: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]


FAULTS = {
    "padding": Fault(
        "padding is not masked before sums",
        "lower/shard_work.py",
        (("in groups], valid)", "in groups], jnp.ones_like(valid))"),),
        ("tests/lower", "tests/invariance"),
    ),
    "psum": Fault(
        "a second psum, of the same value",
        "parallel/collectives.py",
        (
            (
                "unravel(jax.lax.psum(flat, self.axis))",
                "unravel((jax.lax.psum(jax.lax.psum(flat, self.axis), self.axis) / self.size).astype(flat.dtype))",
            ),
        ),
        ("tests/lower", "tests/expr", "tests/invariance", "tests/processes"),
    ),
    "last-row": Fault(
        "the last row of the last shard is left out",
        "parallel/layout.py",
        (("jnp.arange(self.rows) < self.count\n", "jnp.arange(self.rows) < self.count - (self.shards > 1)\n"),),
        ("tests/lower", "tests/invariance"),
    ),
    "tracker": Fault(
        "a tracker is evaluated one epoch after it is due",
        "solve/compiled_loop.py",
        (
            ("epoch, tracker.interval)\n", "epoch - 1, tracker.interval)\n"),
            ("epoch % tracker.interval == 0, write", "epoch % tracker.interval == 1 % tracker.interval, write"),
            (
                "(epochs.epoch // each.interval + 1) * each.interval)",
                "((epochs.epoch - 1) // each.interval + 1) * each.interval + 1)",
            ),
        ),
        ("tests/solve", "tests/expr"),
    ),
    "mask": Fault(
        "a Jacobian by several networks takes the leaves of the next one's mask",
        "expr/masks.py",
        (
            (
                "return [leaf for leaf, flag in zip(leaves, self.flags, strict=True) if flag]",
                "return [leaf for leaf, flag in zip(leaves, self.flags[1:] + self.flags[:1], strict=True) if flag]",
            ),
        ),
        ("tests/lower", "tests/nn", "tests/expr"),
    ),
    "group-mean": Fault(
        "the mean of a group is divided by all points",
        "lower/expand.py",
        (
            (
                'return total(field) / Node(PointSum(), apply(indicator, "indicator", *group))',
                "return total(field) / Node(Count(inner.points))",
            ),
        ),
        ("tests/lower", "tests/expr"),
    ),
    "mirror": Fault(
        "a tile of the Gram matrix is not mirrored",
        "jacobian/gram.py",
        (
            (
                "kernel = _transposed_into(kernel, tile, position.column, position.shard * b.size + position.row)",
                "kernel = jax.lax.cond(position.twice == 1, lambda k: _transposed_into(k, tile, position.column, "
                "position.shard * b.size + position.row), lambda k: k, kernel)",
            ),
        ),
        ("tests/jacobian",),
    ),
    "ring": Fault(
        "half a ring without its last hop",
        "jacobian/gram_tiles.py",
        (("fori_loop(1, (size - 1) // 2 + 1, hop,", "fori_loop(1, (size - 1) // 2, hop,"),),
        ("tests/jacobian",),
    ),
    "factors": Fault(
        "one use of a weight that is used several times has no factors",
        "jacobian/weight_factors.py",
        (
            (
                "    return (vectors, cotangents) if use.axis == 0 else (cotangents, vectors)",
                "    cotangents = cotangents * (use.probe != 1)\n"
                "    return (vectors, cotangents) if use.axis == 0 else (cotangents, vectors)",
            ),
        ),
        ("tests/jacobian",),
    ),
    "floor": Fault(
        "the floor above which eigenvalues count as resolved is halved",
        "jacobian/spectrum.py",
        (("        return float(root**2)", "        return float(root**2) / 2"),),
        ("tests/jacobian", "tests/test_notebook.py"),
    ),
    "damping": Fault(
        "damping with the wrong sign in the reduction that a step promises",
        "optim/second_order/trust_region.py",
        (("self.values[None] ** 2 + 2 * damping[:, None]", "self.values[None] ** 2 - 2 * damping[:, None]"),),
        ("tests/optim",),
    ),
    "moments": Fault(
        "a checkpoint without the optimizer's second moments",
        "checkpoint/state_arrays.py",
        (("            array = np.asarray(raw)\n", "            array = np.asarray(raw) * (1 - ('.nu' in path))\n"),),
        ("tests/checkpoint",),
    ),
    "resume": Fault(
        "a resumed run skips an epoch",
        "checkpoint/snapshot.py",
        (('return int(self.about["epoch"])', 'return int(self.about["epoch"]) + 1'),),
        ("tests/checkpoint",),
    ),
    "rad": Fault(
        "points are drawn where the residual is small",
        "optim/adaptive_sampling.py",
        (("    return scaled / np.mean(scaled) + offset", "    return np.mean(scaled) / (scaled + 1e-9) + offset"),),
        ("tests/solve",),
    ),
    "normals": Fault(
        "normals point inward",
        "domain/shapes.py",
        (("return slope / jnp.linalg.norm(slope)", "return -slope / jnp.linalg.norm(slope)"),),
        ("tests/domain", "tests/solve/test_conditions.py"),
    ),
}


def seed(fault: Fault, sources: Path, folder: Path) -> Path:
    """A copy of the sources with the fault in it."""
    copy = folder / "src"
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / "tangrax" / fault.file
    text = path.read_text()
    for old, new in fault.edits:
        assert text.count(old) == 1, f"{fault.file} has {text.count(old)} times {old!r}: mend the fault"
        text = text.replace(old, new)
    path.write_text(text)
    return copy


def caught(fault: Fault, suite: Path, stages: list[str]) -> tuple[str, str]:
    """The first test that fails, and its stage."""
    with tempfile.TemporaryDirectory() as folder:
        sources = seed(fault, suite / "src", Path(folder))
        for stage in stages:
            environment = {**os.environ, "PYTHONPATH": str(sources), "JAX_PLATFORMS": "cpu"}
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-m", STAGES[stage], *fault.tests]
            run = subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True)
            failed = re.search(r"^(?:FAILED|ERROR) (\S+(?: .*?\])?)", run.stdout, re.MULTILINE)
            if failed:
                return stage, failed[1].removeprefix("tests/")
            # 5: no test of that stage is there.
            assert run.returncode in (0, 5), run.stdout[-3000:] + run.stderr[-1000:]
    return "-", "no test"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--suite", type=Path, default=ROOT, help="a checkout, with its sources")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    options = parser.parse_args()
    print("| fault | stage | first test that sees it | seconds |\n|---|---|---|---|", flush=True)
    missed = []

    def row(name: str) -> str:
        start = time.monotonic()
        stage, test = caught(FAULTS[name], options.suite.resolve(), options.stages)
        if stage == "-":
            missed.append(name)
        return f"| {FAULTS[name].what} | {stage} | `{test}` | {time.monotonic() - start:.0f} |"

    # Side by side, each in one process: with -x, workers of pytest-xdist may end in an internal error.
    with ThreadPoolExecutor(2) as pool:
        for line in pool.map(row, options.only):
            print(line, flush=True)
    print(f"{len(options.only) - len(missed)} passed, {len(missed)} failed")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
