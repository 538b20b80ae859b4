"""The tangent kernel K = J Jᵀ, `solver.eval(field.grad(net).gram(), sharded=True)`: time and memory against its peers.

Against `J @ J.T` of plain JAX, against neural-tangents and against jNO, for the values and the residuals of nets of
several widths. One device, float32. Exit code 1 says that K is wrong; the figures have no say in it.
"""

import gc
import itertools
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from timing import PeerFailed, Worker, clocked, in_turn, ratios, spread, verdict

import tangrax as tx

HERE = Path(__file__).resolve().parent
MIB = 2**20
SLICE = 0.1  # seconds that a contestant is timed for in a round at least, unless one evaluation takes longer
MATMULS = (1024, 2048, 3072)  # sizes tried for the rate of a large product
CHECKED = 250  # points, spread evenly, whose block of K is compared with float64
EXACT, SAME = 2e-6, 5e-6  # what K may differ by, in terms of its largest entry: from float64, and two in float32
FLOAT32 = 1.25  # the first also as a multiple of what plain JAX differs by, where that is more: once 2.2e-6
NEVER_SLOWER, LESS = 0.95, 25.0  # targets: ratios of time, and of temporaries


@dataclass(frozen=True)
class Case:
    """A field of a net; `aim` is the target for the time of plain JAX over that of Tangrax."""

    residual: bool
    width: int
    depth: int
    inputs: int = 2
    share: int = 1  # points, in multiples of the option
    aim: float = NEVER_SLOWER
    less: float | None = None  # the same for temporaries

    @property
    def uses(self) -> int:
        """S: a value, the first derivatives and their Laplacian each use a weight once."""
        return self.inputs + 2 if self.residual else 1

    @property
    def weights(self) -> list[tuple[int, int]]:
        sizes = [self.inputs, *[self.width] * self.depth, 1]
        return list(itertools.pairwise(sizes))


CASES = {
    "u-32x3": Case(False, 32, 3),
    "u-128x4": Case(False, 128, 4, aim=50),
    "u-256x4": Case(False, 256, 4, aim=80, less=LESS),
    "pde1d-32x3": Case(True, 32, 3, inputs=1, share=2),
    "pde-32x3": Case(True, 32, 3),
    "pde-128x4": Case(True, 128, 4, aim=3.5),
    "pde-256x4": Case(True, 256, 4, aim=10, less=LESS),
}


@dataclass(frozen=True)
class Peer:
    """Another library, in an environment of its own that a variable names the Python of."""

    name: str
    variable: str
    script: str


PEERS = (
    Peer("neural-tangents", "TANGRAX_NT_PYTHON", "peer_nt.py"),
    Peer("jNO", "TANGRAX_JNO_PYTHON", "peer_jno_gram.py"),
)


@dataclass
class Options:
    """What is run. The defaults take about ten minutes on two cores with both peers, half of it without."""

    points: int = 1000
    """points of a case; the one in one dimension has twice as many"""
    rounds: int = 5
    cases: tuple[str, ...] = field(default_factory=lambda: tuple(CASES))
    """of u-32x3, u-128x4, u-256x4, pde1d-32x3, pde-32x3, pde-128x4, pde-256x4"""


@dataclass
class Entry:
    """One that takes part: evaluates K so many times and says the seconds, wall and CPU, that it took."""

    label: str
    run: Callable[[int], tuple[float, float]]
    temporaries: float | None = None  # bytes


def main(options: Options) -> None:
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        sys.exit(f"--cases {' '.join(unknown)}: there are {', '.join(CASES)}")
    for peer in PEERS:
        why = absent(peer)
        if why:
            print(f"{peer.name}: skipped, {why} (docs/benchmarks.md tells how to make an environment for it)")
    matmul, flops = fastest_matmul()
    wrong = [name for name in options.cases if not measure(options, name, matmul, flops)]
    if wrong:
        sys.exit(f"K is WRONG: {', '.join(wrong)}")


def measure(options: Options, name: str, matmul: Callable[[], Any], flops: float) -> bool:
    """One case, printed; whether K is right."""
    case, count = CASES[name], options.points * CASES[name].share
    point_set, net, J, solver = problem(case, count)
    points = point_set.coordinates[:, : case.inputs]
    size = sum(leaf.size for leaf in jax.tree.leaves(net.params))
    print(f"\n{name}: {count} points in {case.inputs} dimension(s), {size} parameters, K {4 * count**2 / MIB:.0f} MiB")

    def ours() -> jax.Array:
        return solver.eval(J.gram(), sharded=True).padded

    kernel, arguments = plain_kernel(net.module, case.residual, points)
    dense = jax.jit(kernel)
    K, expected = np.asarray(ours())[:count], np.asarray(dense(*arguments))
    right = check(K, expected, net.module, case.residual, points)
    entries = {
        "tangrax": Entry("solver.eval(K, sharded=True)", repeated(ours)),
        "plain": Entry("J @ J.T of jit(vmap(grad))", repeated(lambda: dense(*arguments))),
    }
    entries["tangrax"].temporaries = temporaries_of(solver, ours)
    entries["plain"].temporaries = temporaries(dense, arguments)
    with tempfile.TemporaryDirectory() as folder:
        workers = join(entries, case, net.module, points, expected, Path(folder))
        compare(entries, {"matmul": Entry("", repeated(matmul))}, case, count, flops, options.rounds)
        for worker in workers:
            worker.close()
    return right


def problem(case: Case, count: int, dtype: str = "float32") -> tuple[Any, Any, Any, tx.Solver]:
    domain = tx.domain.line(n=count) if case.inputs == 1 else tx.domain.rect(n=count)
    coordinates = domain.variable("interior")[: case.inputs]
    net = tx.nn.mlp(case.inputs, width=case.width, depth=case.depth, key=0)
    u = net(*coordinates)
    source = case.inputs * math.pi**2 * math.prod(tx.np.sin(math.pi * x) for x in coordinates)
    wanted = -u.laplacian(*coordinates) - source if case.residual else u
    solver = tx.core([wanted.mse], optimizer=optax.adam(1e-3), devices=1, dtype=dtype)
    return domain.point_set("interior"), net, wanted.grad(net), solver


def plain_kernel(module: eqx.Module, residual: bool, points: Any) -> tuple[Callable[..., jax.Array], tuple[Any, Any]]:
    """What one would write: K of rows joined to (N, P), and its arguments. The source is no matter of J."""
    parameters, static = eqx.partition(module, eqx.is_inexact_array)

    def value(parameters: Any, point: Any) -> Any:
        def u(x: Any) -> Any:
            return eqx.combine(parameters, static)(x)[0]

        def second(direction: Any) -> Any:
            return jax.jvp(lambda x: jax.jvp(u, (x,), (direction,))[1], (point,), (direction,))[1]

        return -sum(second(axis) for axis in jnp.eye(point.size, dtype=point.dtype)) if residual else u(point)

    def kernel(parameters: Any, points: Any) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            leaves = jax.tree.leaves(jax.vmap(jax.grad(value), in_axes=(None, 0))(parameters, points))
            J = jnp.concatenate([leaf.reshape(len(points), -1) for leaf in leaves], axis=1)
            return J @ J.T

    return kernel, (parameters, jnp.asarray(points, jnp.float32))


def check(K: np.ndarray, expected: np.ndarray, module: eqx.Module, residual: bool, points: np.ndarray) -> bool:
    """Print what K and that of plain JAX differ by, from float64 and from each other; whether K is right."""
    some = np.unique(np.linspace(0, len(points) - 1, CHECKED).astype(int))
    with jax.enable_x64(True):
        kernel, (parameters, rounded) = plain_kernel(module, residual, points)
        double = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), parameters)
        reference = np.asarray(jax.jit(kernel)(double, rounded[some].astype(jnp.float64)))
    block = np.ix_(some, some)
    own, plain, between = (
        relative_difference(K[block], reference),
        relative_difference(expected[block], reference),
        relative_difference(K, expected),
    )
    right = own < max(EXACT, FLOAT32 * plain) and between < SAME
    print(
        f"  largest error, relative to the largest entry, at {len(some)} points: {own:.1e}, of plain JAX {plain:.1e}; "
        f"largest difference at all {between:.1e}{'' if right else ': WRONG'}"
    )
    return right


def relative_difference(result: np.ndarray, expected: np.ndarray) -> float:
    """NaN if there is one in either: no comparison with it holds."""
    return float(np.max(np.abs(result - expected)) / np.max(np.abs(expected)))


def absent(peer: Peer) -> str:
    """Why a peer cannot take part; empty if it can."""
    python = os.environ.get(peer.variable)
    if not python:
        return f"{peer.variable} is not set"
    return "" if Path(python).is_file() else f"{peer.variable}={python} is not a file"


def join(
    entries: dict[str, Entry], case: Case, module: Any, points: np.ndarray, expected: np.ndarray, folder: Path
) -> list[Worker]:
    """Add the peers that are there and have the memory, with the same weights and points, to the entries."""
    layers = [*module.layers, module.output_layer]
    arrays = {f"weight{i}": layer.weight for i, layer in enumerate(layers)}
    arrays |= {f"bias{i}": layer.bias for i, layer in enumerate(layers)}
    np.savez(folder / "given.npz", points=points.astype(np.float32), **arrays)
    workers = []
    for peer in PEERS:
        if absent(peer):
            continue
        result = folder / f"{peer.name}.npy"
        arguments = [str(folder / "given.npz"), "residual" if case.residual else "value", str(result)]
        try:
            worker = Worker(os.path.abspath(os.environ[peer.variable]), HERE / peer.script, 1, arguments)
        except PeerFailed as error:
            print(f"  {peer.name}: skipped, {error}")
            continue
        workers.append(worker)
        if not worker.names:
            print(f"  {peer.name}: skipped, {worker.notes['why']}")
            continue
        label = f"{peer.name} {worker.notes['version']}"
        print(
            f"  {label}: {worker.notes['how']}; its K differs by {relative_difference(np.load(result), expected):.1e}"
        )
        held = worker.notes["temporaries"]
        entries[peer.name] = Entry(label, in_worker(worker), held if isinstance(held, int) else None)
    return workers


def in_worker(worker: Worker) -> Callable[[int], tuple[float, float]]:
    return lambda times: worker.run("kernel", times)


def repeated(once: Callable[[], Any]) -> Callable[[int], tuple[float, float]]:
    def work(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(once())

    return lambda times: clocked(lambda: work(times))


def compare(
    entries: Mapping[str, Entry], limit: Mapping[str, Entry], case: Case, count: int, flops: float, rounds: int
) -> None:
    """Time all in turn, and print times, ratios and the share of the limit, which is the rate of a large product."""
    everyone = {**entries, **limit}
    failed: dict[str, str] = {}
    cpu: dict[str, list[float]] = {name: [] for name in everyone}

    def seconds(name: str, times: int) -> tuple[float, float]:
        gc.collect()
        try:
            wall, used = (math.nan, math.nan) if name in failed else everyone[name].run(times)
        except PeerFailed as error:
            failed[name], wall, used = str(error), math.nan, math.nan
        return wall / times, used / times

    def timed(name: str) -> float:
        wall, used = seconds(name, times[name])
        cpu[name].append(used)
        return wall

    warm = {name: seconds(name, 1)[0] for name in everyone}
    times = {name: max(1, math.ceil(SLICE / taken)) if taken > 0 else 1 for name, taken in warm.items()}
    result = in_turn(list(everyone), rounds, timed)
    print(f"  {'':31}{'ms: median [min .. max]':29}{'CPU ms':29}temporaries, MiB")
    for name, entry in entries.items():
        if name in failed:
            print(f"  {entry.label:31}failed: {failed[name]}")
            continue
        wall, used = in_ms(result[name]), in_ms(cpu[name])
        print(f"  {entry.label:31}{wall:29}{used:29}{in_mib(entry.temporaries)}")
    for name, entry in entries.items():
        if name == "tangrax" or name in failed:
            continue
        wall, used = (ratios(taken[name], taken["tangrax"]) for taken in (result, cpu))
        text = verdict(wall, case.aim, at_least=True) if name == "plain" else spread(wall)
        print(f"  time, {entry.label} / Tangrax: {text}; of CPU time {spread(used)}")
    ours, plain = entries["tangrax"].temporaries, entries["plain"].temporaries
    if ours and plain:
        text = verdict([plain / ours], case.less, at_least=True) if case.less else spread([plain / ours])
        print(f"  temporaries, {entries['plain'].label} / Tangrax: {text}")
    rates = [flops / taken for taken in result["matmul"]]
    needed = work(case, count)
    shares = [100 * needed / taken / rate for taken, rate in zip(result["tangrax"], rates, strict=True)]
    print(
        f"  {needed / 1e9:.3g} GFLOP by estimate, at % of the rate of a large product "
        f"({spread([rate / 1e9 for rate in rates])} GFLOP/s): {spread(shares)}"
    )


def work(case: Case, count: int) -> float:
    """FLOPs of the products that half of K needs: of each weight the cheaper of factors and rows."""
    factors_or_rows = [min(case.uses**2 * (d0 + d1), d0 * d1) for d0, d1 in case.weights]
    return float(count**2 * sum(factors_or_rows))


def fastest_matmul() -> tuple[Callable[[], Any], float]:
    """A float32 product of the size at which this machine is fastest, and its FLOPs."""
    candidates = []
    for size in MATMULS:
        a, b = (jax.random.normal(key, (size, size), jnp.float32) for key in jax.random.split(jax.random.key(0)))
        product = jax.jit(lambda a, b: jnp.matmul(a, b, precision="highest"))
        run = repeated(lambda product=product, a=a, b=b: product(a, b))
        run(1)
        best = min(run(1)[0] for _ in range(3))
        candidates.append((2 * size**3 / best, size, lambda product=product, a=a, b=b: product(a, b)))
    rate, size, product = max(candidates, key=lambda result: result[0])
    print(f"a large product: float32, {size} x {size}, {rate / 1e9:.3g} GFLOP/s, the best of sizes {MATMULS}")
    return product, 2.0 * size**3


def temporaries_of(solver: tx.Solver, evaluate: Callable[[], Any]) -> int | None:
    """Bytes set aside by the programs behind a kernel, with what they hand to each other; None if not to be found."""
    programs = solver.training.executor.programs
    kernels = {key: program for key, program in programs.items() if key[0] == "tangent kernel"}
    called: list[tuple[Any, tuple[Any, ...]]] = []

    def noted(program: Any) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            called.append((program, arguments))
            return program(*arguments)

        return call

    programs.update({key: noted(program) for key, program in kernels.items()})
    evaluate()
    programs.update(kernels)
    if not called or not all(hasattr(program, "lower") for program, _ in called):
        return None
    result = [program.lower(*arguments).compile().memory_analysis() for program, arguments in called]
    return sum(each.temp_size_in_bytes for each in result) + sum(each.output_size_in_bytes for each in result[:-1])


def temporaries(function: Any, arguments: tuple[Any, ...]) -> int:
    """Bytes that XLA sets aside besides arguments and results."""
    return function.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def in_ms(seconds: list[float]) -> str:
    return spread([1e3 * taken for taken in seconds], ".0f" if max(seconds) > 0.5 else ".3g")


def in_mib(size: float | None) -> str:
    return "unknown" if size is None else f"{size / MIB:.3g}" if size < 1000 * MIB else f"{size / MIB:.0f}"


if __name__ == "__main__":
    main(tyro.cli(Options))
