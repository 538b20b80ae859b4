"""A process of `gram.py`: the tangent kernel in neural-tangents 0.6.5, run by a Python that has it."""

import sys
from importlib.metadata import version

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from timing import clocked, serve

JACOBIAN_CONTRACTION = 1  # nt.NtkImplementation: the one that runs under this JAX for any function


def network(params, x):
    *hidden, (weight, bias) = params
    for w, b in hidden:
        x = jnp.tanh(x @ w.T + b)
    return x @ weight.T + bias


def residual(params, point):
    """-Δu; the source is no matter of J."""

    def second(direction):
        return jax.jvp(lambda x: jax.jvp(lambda x: network(params, x), (x,), (direction,))[1], (point,), (direction,))[
            1
        ]

    return -sum(second(axis) for axis in jnp.eye(point.size, dtype=point.dtype))


def main(inputs: str, field: str, result: str) -> None:
    """Weights and points from the file `inputs`; K goes into the file `result`."""
    arrays = {name: jnp.asarray(values) for name, values in np.load(inputs).items()}
    count = sum(name.startswith("weight") for name in arrays)
    params = [(arrays[f"weight{i}"], arrays[f"bias{i}"]) for i in range(count)]
    points = arrays["points"]
    batch = jax.vmap(residual if field == "residual" else network, in_axes=(None, 0))
    kernel = jax.jit(
        lambda params, points: nt.empirical_ntk_fn(batch, vmap_axes=0, implementation=JACOBIAN_CONTRACTION)(
            points, None, params
        )
    )
    compiled = kernel.lower(params, points).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    np.save(result, compiled(params, points))

    def repeat(times: int) -> None:
        for _ in range(times):
            jax.block_until_ready(compiled(params, points))

    serve(
        {"kernel": lambda times: clocked(lambda: repeat(times))},
        {
            "version": version("neural-tangents"),
            "how": f"Jacobian contraction, JAX {jax.__version__}",
            "temporaries": memory.temp_size_in_bytes,
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
