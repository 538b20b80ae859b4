"""The tutorial problem without Tangrax: plain JAX, as one would write it for speed on the same devices.

One jitted `lax.scan` over epochs, second derivatives by nested forward mode. On several devices the scan runs inside
`jax.shard_map`, points padded to blocks of equal size, loss and gradient ravelled into one all-reduce.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Layers = Sequence[tuple[jax.Array, jax.Array]]  # weight and bias of each


def make_loop(
    layers: Layers,
    interior: np.ndarray,
    boundary: np.ndarray,
    optimizer: optax.GradientTransformation,
    devices: int,
    epochs: int,
) -> Callable[[], np.ndarray]:
    """A function that trains `epochs` more epochs and returns the two terms of each, (epochs, 2)."""
    mesh = Mesh(np.array(jax.devices()[:devices]), ("points",))
    split, same = PartitionSpec("points"), PartitionSpec()

    def train(shard: Any, layers: Layers, state: Any) -> tuple[Any, Any, Any]:
        def epoch(carry: Any, _: None) -> tuple[Any, Any]:
            layers, state = carry
            parts, pull = jax.vjp(lambda layers: terms(layers, *shard), layers)
            (gradient,) = pull(jnp.ones_like(parts))
            flat, unravel = ravel_pytree((gradient, parts))
            gradient, parts = unravel(jax.lax.psum(flat, "points") if devices > 1 else flat)
            updates, state = optimizer.update(gradient, state, layers)
            return (optax.apply_updates(layers, updates), state), parts

        (layers, state), history = jax.lax.scan(epoch, (layers, state), length=epochs)
        return layers, state, history

    if devices > 1:
        whole, out = (split, same, same), (same, same, same)
        train = jax.shard_map(train, mesh=mesh, in_specs=whole, out_specs=out, check_vma=False)
    shard = jax.device_put((padded(interior, devices), padded(boundary, devices)), NamedSharding(mesh, split))
    now = jax.device_put((layers, optimizer.init(layers)), NamedSharding(mesh, same))
    with jax.default_matmul_precision("highest"):  # as Tangrax does
        compiled = jax.jit(train).lower(shard, *now).compile()

    def advance() -> np.ndarray:
        nonlocal now
        *now, history = compiled(shard, *now)
        return np.asarray(history)

    return advance


def terms(layers: Layers, interior: Any, boundary: Any) -> jax.Array:
    """A shard's share of the two mean squares; padding has weight 0."""

    def u(x):
        hidden = x[None]
        for weight, bias in layers[:-1]:
            hidden = jnp.tanh(weight @ hidden + bias)
        weight, bias = layers[-1]
        return (weight @ hidden + bias)[0]

    def along(function):
        return lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1]

    (x, weight), (edge, edge_weight) = interior, boundary
    residual = -jax.vmap(along(along(u)))(x) - jnp.sin(jnp.pi * x)
    return jnp.stack([weight @ residual**2, edge_weight @ jax.vmap(u)(edge) ** 2])


def padded(points: np.ndarray, devices: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in blocks of equal size, the last repeated, and weights that make a sum over them a mean."""
    rows = -(-len(points) // devices) * devices
    blocks = np.concatenate([points, np.repeat(points[-1:], rows - len(points))])
    weights = np.where(np.arange(rows) < len(points), 1 / len(points), 0)
    return blocks.astype(np.float32), weights.astype(np.float32)
