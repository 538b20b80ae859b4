"""The problems in Tangrax: `python -m peers.in_tangrax FILE SECONDS [METHOD]`."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax

import tangrax as tx

from .facts import (
    BURGERS_VISCOSITY,
    CAVITY_VISCOSITY,
    DEPTH,
    DIFFUSION_UNIT,
    RATE,
    WIDTH,
    Problem,
    Weights,
    heat_source,
    layers_of,
)
from .training import Looks, State, cell, clocked, follow

METHODS: dict[str, tuple[str, Callable[[], Any]]] = {
    "adam": ("float32", lambda: optax.adam(RATE)),
    "gauss-newton": ("float64", tx.optim.gauss_newton),
}


def burgers(out: Any, x: Any, t: Any) -> list[Any]:
    return [out.d(t) + out * out.d(x) - BURGERS_VISCOSITY * out.d2(x)]


def flow(out: Any, x: Any, y: Any, viscosity: Any, convection: Any = 1.0) -> list[Any]:
    u, v, p = out[0], out[1], out[2]
    return [
        convection * (u * u.d(x) + v * u.d(y)) + p.d(x) - viscosity * u.laplacian(x, y),
        convection * (u * v.d(x) + v * v.d(y)) + p.d(y) - viscosity * v.laplacian(x, y),
        u.d(x) + v.d(y),
    ]


def cavity(out: Any, x: Any, y: Any) -> list[Any]:
    return flow(out, x, y, CAVITY_VISCOSITY)


def pinv(out: Any, x: Any, y: Any) -> list[Any]:
    u, a = out[0], out[1]
    return [a.d(x) * u.d(x) + a.d(y) * u.d(y) + a * u.laplacian(x, y) + heat_source(x, y, tx.np)]


def reaction(out: Any, x: Any, t: Any, rate: Any, diffusion: Any) -> list[Any]:
    a, b = out[0], out[1]
    consumed, spread = rate * a * b**2, DIFFUSION_UNIT * diffusion
    return [a.d(t) - spread * a.d2(x) + consumed, b.d(t) - spread * b.d2(x) + 2 * consumed]


def wake(out: Any, x: Any, y: Any, t: Any, convection: Any, viscosity: Any) -> list[Any]:
    along, across, mass = flow(out, x, y, viscosity, convection)
    return [along + out[0].d(t), across + out[1].d(t), mass]


EQUATIONS: dict[str, Callable[..., list[Any]]] = {
    each.__name__: each for each in (burgers, cavity, pinv, reaction, wake)
}


def started(weights: Weights) -> tx.nn.Network:
    """A perceptron with these weights."""
    net = tx.nn.mlp(weights[0][0].shape[1], len(weights[-1][1]), width=WIDTH, depth=DEPTH)
    own = [leaf for layer in weights for leaf in layer]
    module = eqx.tree_at(leaves, net.module, [jnp.asarray(leaf, dtype=float) for leaf in own])
    return tx.nn.wrap(module)


def leaves(module: Any) -> list[Any]:
    return [leaf for layer in (*module.layers, module.output_layer) for leaf in (layer.weight, layer.bias)]


def train(method: str, problem: Problem, looks: Looks) -> dict[str, object]:
    dtype, optimizer = METHODS[method]
    tx.setup(dtype=dtype)
    sets = {"interior": problem.interior, **{name: given.points for name, given in problem.conditions.items()}}
    cloud = tx.domain.cloud(sets, over_time=problem.over_time)
    axes = problem.inputs
    net = started(problem.weights())
    unknowns = {name: tx.nn.parameter(start, name=name) for name, (start, _) in problem.unknowns.items()}
    inner = cloud.variable("interior")[:axes]
    residuals = EQUATIONS[problem.name](net(*inner), *inner, **unknowns)
    terms = {f"equation {i}": residual.mse for i, residual in enumerate(residuals)}
    for name, given in problem.conditions.items():
        out = net(*cloud.variable(name)[:axes])
        for column, output in enumerate(given.outputs):
            part = out[output] if problem.outputs > 1 else out
            terms[f"{name} {output}"] = (part - cloud.values(name, given.values[:, column], f"given{output}")).mse
    solver = tx.core(terms, optimizer=optimizer(), devices=1)

    def state() -> State:
        module = solver.module(net)
        flat = leaves(module)
        return layers_of(list(zip(flat[::2], flat[1::2], strict=True))), {
            name: float(solver.module(unknown)) for name, unknown in unknowns.items()
        }

    def advance(steps: int) -> float:
        return clocked(lambda: solver.solve(steps, progress=False))

    before = follow(advance, state, looks)
    return {"before": before, "loss": float(solver.history["loss"][0])}


if __name__ == "__main__":
    cell(functools.partial(train, sys.argv[3] if len(sys.argv) > 3 else "adam"))
