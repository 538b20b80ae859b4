"""Rows of the parameter Jacobian, `solver.eval(u.grad(net), sharded=True)`: time and memory against plain JAX.

The limit is `jit(vmap(grad))`, whose rows are one array a weight; what plain JAX takes to join them to one (N, P)
array is shown beside it. One device, float32, 8000 points in two dimensions.
"""

import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import tyro
from timing import clocked, in_turn, ratios, spread, verdict

import tangrax as tx
from tangrax import lower

TIME, MORE = 1.3, 0.0  # targets: a ratio to plain JAX, and GiB of temporaries beyond its own
GIB = 2**30
# Temporaries of jNO's Jacobian at N = 8000, as measured when Tangrax was planned; a run here would not fit.
QUOTED = {(128, 4): "577 GiB (0.3.1 and later), 92 GiB (0.2.3)", (32, 3): "8.4 GiB (0.3.1 and later), 22.9 GiB (0.2.3)"}


@dataclass
class Options:
    """What is run. At the default size a result takes 1.6 GB, and the comparison of two needs four times that."""

    points: int = 8000
    rounds: int = 9


def main(options: Options) -> None:
    for width, depth in ((32, 3), (128, 4)):
        measure(options, width, depth)


def measure(options: Options, width: int, depth: int) -> None:
    domain = tx.domain.rect(n=options.points)
    x, y, _ = domain.variable("interior")
    net = tx.nn.mlp(2, width=width, depth=depth, key=0)
    u = net(x, y)
    rows = u.grad(net)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1)
    size = sum(leaf.size for leaf in jax.tree.leaves(net.params))
    result = options.points * size * 4
    print(f"\nnet {width}x{depth}: {options.points} rows of {size} numbers, {result / GIB:.2f} GiB")

    plain, joined, arguments = plain_rows(net.module, domain.point_set("interior").coordinates[:, :2])
    contestants: dict[str, Callable[[], Any]] = {
        "tangrax": lambda: vars(solver.eval(rows, sharded=True)),  # whatever arrays it holds are waited for
        "vmap(grad)": lambda: plain(*arguments),
        "joined": lambda: joined(*arguments),
    }
    labels = {
        "tangrax": "solver.eval(J, sharded=True)",
        "vmap(grad)": "jit(vmap(grad)), one array a weight",
        "joined": "jit(vmap(grad)), joined to (N, P)",
    }
    error = difference(solver.eval(rows, sharded=True).padded, joined(*arguments))
    temporary = {
        "tangrax": temporaries(*program_of(solver)),
        "vmap(grad)": temporaries(plain, arguments),
        "joined": temporaries(joined, arguments),
    }

    def seconds(name: str) -> float:
        gc.collect()
        wall, _ = clocked(lambda: jax.block_until_ready(contestants[name]()))
        return wall

    for name in contestants:
        seconds(name)
    outcome = in_turn(list(contestants), options.rounds, seconds)
    print(f"  {'':37}{'seconds: median [min .. max]':32}temporaries, GiB")
    for name, label in labels.items():
        print(f"  {label:37}{spread(outcome[name]):32}{temporary[name] / GIB:.3f}")
    for other in ("vmap(grad)", "joined"):
        times = ratios(outcome["tangrax"], outcome[other])
        text = verdict(times, TIME, at_least=False) if other == "vmap(grad)" else spread(times)
        print(f"  time, Tangrax / {labels[other]}: {text}")
    more = [(temporary["tangrax"] - temporary["vmap(grad)"]) / GIB]
    print(f"  temporaries, Tangrax - {labels['vmap(grad)']}, GiB: {verdict(more, MORE, at_least=False)}")
    print(f"  temporaries of jNO here (quoted, not measured): {QUOTED[width, depth]}")
    print(f"  largest difference between the rows: {error:.1e}")


def plain_rows(module: eqx.Module, points: Any) -> tuple[Any, Any, tuple[Any, Any]]:
    """What one would write: rows as a tree of arrays, the same joined into one, and the arguments of both."""
    parameters, static = eqx.partition(module, eqx.is_inexact_array)

    def row(parameters: Any, point: Any) -> Any:
        return jax.grad(lambda p: eqx.combine(p, static)(point)[0])(parameters)

    def rows(parameters: Any, points: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return jax.vmap(row, in_axes=(None, 0))(parameters, points)

    def joined(parameters: Any, points: Any) -> Any:
        leaves = jax.tree.leaves(rows(parameters, points))
        return jnp.concatenate([leaf.reshape(len(points), -1) for leaf in leaves], axis=1)

    return jax.jit(rows), jax.jit(joined), (parameters, jnp.asarray(points, jnp.float32))


def program_of(solver: tx.Solver) -> tuple[Any, tuple[Any, Any]]:
    """The jitted program that `eval` ran, and its arguments."""
    executor = solver.training.executor
    (((roots, _), program),) = executor.programs.items()
    points = executor.place(lower.Program(roots).tags).rows.values()
    return program, (tuple(points), [solver.training.parameters[t] for t in lower.trainables_of(roots)])


def temporaries(function: Any, arguments: tuple[Any, ...]) -> int:
    """Bytes that XLA sets aside besides arguments and results."""
    return function.lower(*arguments).compile().memory_analysis().temp_size_in_bytes


def difference(outcome: jax.Array, expected: jax.Array) -> float:
    return float(jnp.max(jnp.abs(outcome - expected)))


if __name__ == "__main__":
    main(tyro.cli(Options))
