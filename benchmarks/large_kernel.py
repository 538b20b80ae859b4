"""Kernels whose J does not fit: seconds, and the most memory resident, over what each is held to.

"gram": 20,000 points, 256x4, residuals of a 2-D Poisson problem, float32: K, effective rank, largest eigenvalue.
"top": 200,000 points, 32x3, the same in float64: effective rank, the 20 largest eigenvalues.

Exit code 1 says that a result is wrong: a block of K must agree with rows of J by plain JAX, the spectrum with all of
K, or with JᵀJ.
"""

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import tyro
from gram import Case, plain_kernel, problem, relative_difference
from timing import verdict

import tangrax as tx

GIB = 2**30
CHECKED = 40  # points, spread evenly, whose block of K is compared with plain JAX


@dataclass(frozen=True)
class Large:
    """One kernel; `memory` in bytes is what the whole process is held to."""

    case: Case
    points: int
    dtype: str
    largest: int  # eigenvalues
    memory: int
    exact: float  # what figures may differ by, in terms of the largest


LARGE = {
    "gram": Large(Case(True, 256, 4), 20_000, "float32", 1, 8 * GIB, 1e-5),
    "top": Large(Case(True, 32, 3), 200_000, "float64", 20, 2 * GIB, 1e-10),
}


@dataclass
class Options:
    """What is run. On two cores the defaults take about five minutes."""

    cases: tuple[str, ...] = tuple(LARGE)
    """of gram, top"""
    points: int | None = None
    """in place of those of the case"""


def main(options: Options) -> None:
    unknown = [name for name in options.cases if name not in LARGE]
    if unknown:
        sys.exit(f"--cases {' '.join(unknown)}: there are {', '.join(LARGE)}")
    if len(options.cases) != 1:  # the most memory resident is known of a process alone
        arguments = [] if options.points is None else ["--points", str(options.points)]
        one = [sys.executable, __file__, *arguments, "--cases"]
        sys.exit(max([subprocess.run([*one, name], check=False).returncode for name in options.cases]))
    name = options.cases[0]
    if not measure(name, LARGE[name], options.points or LARGE[name].points):
        sys.exit(f"{name} is WRONG")


def measure(name: str, large: Large, count: int) -> bool:
    """One kernel, printed; whether it is right."""
    tx.setup(dtype=large.dtype)
    points, net, J, solver = problem(large.case, count, large.dtype)
    size, item = sum(leaf.size for leaf in jax.tree.leaves(net.params)), np.dtype(large.dtype).itemsize
    print(f"{name}: {count} points, {size} parameters, {large.dtype}; J would take {item * count * size / GIB:.1f} GiB")

    request = J.spectrum(large.largest, way="lanczos")
    start = time.perf_counter()
    spectrum = solver.eval(request, limit=large.memory)
    print(f"{spectrum}\n  in {time.perf_counter() - start:.0f} s")
    right = spectrum.resolved == large.largest
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if name == "gram":
        start = time.perf_counter()
        K = solver.eval(J.gram(), sharded=True, limit=large.memory)
        jax.block_until_ready(K.padded)
        print(f"  K, {item * count**2 / GIB:.2f} GiB, in {time.perf_counter() - start:.0f} s")
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        right = block_is_right(K, net, points, large, count) and right
        square = float(sum(np.sum(np.square(rows, dtype=np.float64)) for rows in np.array_split(K.padded, 50)))
        trace = float(np.sum(np.diagonal(K.padded), dtype=np.float64))
    else:
        matrix = np.asarray(solver.eval(J.dual_gram(), limit=large.memory))
        square, trace = float(np.sum(matrix**2)), float(np.trace(matrix))
        top = np.linalg.eigvalsh(matrix)[::-1][: large.largest]
        off = relative_difference(spectrum.eigenvalues, top)
        print(f"  eigenvalues differ from LAPACK's of JᵀJ by {off:.1e} of the largest")
        right = right and off < large.exact
    rank = trace**2 / square
    print(f"  effective rank from all of the matrix {rank:.8g}")
    right = right and abs(spectrum.effective_rank / rank - 1) < large.exact
    text = verdict([used / large.memory], 1.0, at_least=False)
    print(f"  memory resident at most {used / GIB:.2f} GiB; over its limit: {text}")
    return right


def block_is_right(K: Any, net: Any, points: Any, large: Large, count: int) -> bool:
    """K of some points against rows of J by plain JAX."""
    some = np.unique(np.linspace(0, count - 1, CHECKED).astype(int))
    kernel, arguments = plain_kernel(net.module, large.case.residual, points.coordinates[some][:, : large.case.inputs])
    off = relative_difference(np.asarray(K.padded[some][:, some]), np.asarray(jax.jit(kernel)(*arguments)))
    print(f"  K at {len(some)} points differs from plain JAX by {off:.1e} of the largest entry")
    return off < large.exact


if __name__ == "__main__":
    main(tyro.cli(Options))
