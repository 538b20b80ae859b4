"""The problems in Tangrax: `python -m peers.in_tangrax FILE SECONDS [METHOD]`."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax

import tangrax as tx

from .facts import DEPTH, RATE, WIDTH, Problem, Weights, layers_of
from .symbolic import equations
from .training import Looks, State, cell, clocked, follow

METHODS: dict[str, tuple[str, Callable[[], Any]]] = {
    "adam": ("float32", lambda: optax.adam(RATE)),
    "gauss-newton": ("float64", tx.optim.gauss_newton),
}


def fields_of(out: Any, count: int) -> list[Any]:
    """The outputs of a network, each as a field."""
    return [out[i] for i in range(count)] if count > 1 else [out]


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
    residuals = equations(tx.np)[problem.name](fields_of(net(*inner), problem.outputs), *inner, **unknowns)
    terms = {f"equation {i}": residual.mse for i, residual in enumerate(residuals)}
    for name, given in problem.conditions.items():
        fields = fields_of(net(*cloud.variable(name)[:axes]), problem.outputs)
        for column, output in enumerate(given.outputs):
            values = cloud.values(name, given.values[:, column], f"given{output}")
            terms[f"{name} {output}"] = (fields[output] - values).mse
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
