"""A process of `gram.py`: J and J @ J.T in jNO 0.4.2, run by the Python of an environment that has it."""

import functools
import os
import sys
from importlib.metadata import version
from typing import Any

os.environ.setdefault("JNO_COMPILE_CACHE", "0")

import equinox as eqx
import foundax
import jax
import jax.numpy as jnp
import jno
import numpy as np
import optax
import psutil
from jno.core import TraceCompiler, cse, fuse_laplacian, refuse_point_index
from timing import clocked, serve

GIB = 2**30
FILL = 0.6  # part of the free memory that its Jacobian may take


def network(arrays, points):
    """jNO's own perceptron, with the weights given."""
    count = sum(name.startswith("weight") for name in arrays)
    module = foundax.mlp(
        in_features=points.shape[1], hidden_dims=arrays["weight0"].shape[0], num_layers=count - 1, key=jax.random.key(0)
    )
    weights = [jnp.asarray(arrays[f"{kind}{i}"]) for i in range(count) for kind in ("weight", "bias")]

    def leaves(module):
        return [leaf for layer in (*module.hidden_layers, module.output_layer) for leaf in (layer.weight, layer.bias)]

    return eqx.tree_at(leaves, module, weights)


def account(core, rows):
    """XLA's own account of the program that `core.eval` makes, which is compiled here and not run."""
    function = TraceCompiler.compile_traced_expression(cse(fuse_laplacian(refuse_point_index(rows))), core.all_ops)
    program: Any = eqx.filter_jit(functools.partial(function, min_consecutive=1))
    models = eqx.nn.inference_mode(core._unwrapped_models)
    lowered = program.lower(models, core.domain_data.context, batchsize=None, key=None)
    return lowered.compile().compiled.memory_analysis().temp_size_in_bytes


def main(inputs: str, field: str, result: str) -> None:
    """Weights and points from the file `inputs`; K goes into the file `result`."""
    arrays = dict(np.load(inputs))
    points = arrays["points"]
    domain = jno.domain.from_array({"interior": points})
    coordinates = domain.variable("interior")[: points.shape[1]]
    net = jno.nn.wrap(network(arrays, points)).optimizer(optax.adam(1e-3))
    u = net(*coordinates)
    wanted = -u.laplacian(*coordinates) if field == "residual" else u
    core = jno.core([wanted.mse])
    rows = wanted.grad(net)
    notes = {"version": version("jax-numerical-operators"), "how": "core.eval of J, then J @ J.T"}

    taken, free = account(core, rows), psutil.virtual_memory().available
    if taken > FILL * free:
        why = f"its Jacobian takes {taken / GIB:.1f} GiB of temporaries by XLA's account, {free / GIB:.1f} GiB are free"
        serve({}, {**notes, "why": why})
        return
    product = jax.jit(lambda J: J[0] @ J[0].T)
    np.save(result, product(core.eval([rows])))

    def repeat(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(product(core.eval([rows])))

    serve({"kernel": lambda times: clocked(lambda: repeat(times))}, {**notes, "temporaries": taken})


if __name__ == "__main__":
    main(*sys.argv[1:])
