"""Parts of the networks of `tx.nn`: affine maps, random frequencies, activations and checks of sizes."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from ..expr import as_jax
from ..processes import refuse_fork

Activation = Callable[[Array], Array]
Frequencies = tuple[tuple[float, ...], ...]  # rows of B, cycles per unit length


@jax.custom_jvp
def _tanh(x: Array) -> Array:
    return jnp.tanh(x)


@_tanh.defjvp
def _(primals, tangents):
    # 1 - a² where JAX has (t + ta)(1 - a): two operations less in each order of derivative, forwards and backwards.
    (x,), (t,) = primals, tangents
    a = _tanh(x)
    return a, (1 - a * a) * t


# Activations that a saved network can name.
ACTIVATIONS: dict[str, Activation] = {
    "tanh": jnp.tanh,
    "sin": jnp.sin,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
}


def quick(activation: Activation) -> Activation:
    """The same activation, with cheaper derivatives where there are some."""
    return _tanh if activation is jnp.tanh else activation


class Dense(eqx.Module):
    """An affine map; with `factorised`, its weight is diag(exp(scale)) V.

    Random weight factorisation: Wang, Wang, Seidman, Perdikaris, arXiv 2210.01274, eq. 3.1, scales drawn from
    N(1, 0.1) as they advise.
    """

    weight: Float[Array, "outputs inputs"]
    bias: Float[Array, " outputs"]
    scale: Float[Array, " outputs"] | None

    def __init__(self, inputs: int, outputs: int, factorised: bool, *, key: PRNGKeyArray):
        weight_key, scale_key = jax.random.split(key)
        weight = _glorot_normal(weight_key, outputs, inputs)
        self.bias = _zeros(outputs, weight)
        if factorised:
            self.scale = 1 + 0.1 * sampled(jax.random.normal, scale_key, outputs)
            self.weight = weight / jnp.exp(self.scale)[:, None]
        else:
            self.scale, self.weight = None, weight

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        product = inputs @ self.weight.T  # over many points faster than W x: points stay rows
        return (product if self.scale is None else jnp.exp(self.scale) * product) + self.bias


def sampled(sampler: Callable[..., Array], key: PRNGKeyArray, *shape: int, **options: Any) -> Float[Array, "..."]:
    """`sampler(key, shape=shape)`, cut from as many numbers as the next power of two.

    JAX keeps a program for every shape it has met, a megabyte or two each, as long as the process lives.
    """
    if isinstance(key, Tracer):
        return sampler(key, shape=shape, **options)
    size = math.prod(shape)
    return as_jax(np.asarray(sampler(key, shape=(1 << (size - 1).bit_length(),), **options))[:size].reshape(shape))


def _zeros(size: int, beside: Array) -> Float[Array, " size"]:
    """Zeros, traced as what they stand beside or without a program of their shape."""
    return jnp.zeros(size, beside.dtype) if isinstance(beside, Tracer) else as_jax(np.zeros(size, beside.dtype))


def _glorot_normal(key: PRNGKeyArray, outputs: int, inputs: int) -> Float[Array, "outputs inputs"]:
    """Weights of variance 2 / (inputs + outputs), drawn as `jax.nn.initializers.glorot_normal` does, bit for bit."""
    normal = sampled(jax.random.truncated_normal, key, outputs, inputs, lower=-2, upper=2)
    dtype = normal.dtype.type
    deviation = np.sqrt(dtype(2 / (inputs + outputs))) / dtype(0.87962566103423978)  # of N(0, 1) cut off at ±2
    return normal * deviation if isinstance(normal, Tracer) else as_jax(np.asarray(normal) * deviation)


def embed(frequencies: Frequencies | None, inputs: Float[Array, " _"]) -> Float[Array, " _"]:
    """(cos 2πBx, sin 2πBx), or x itself where there are no frequencies."""
    if frequencies is None:
        return inputs
    angles = 2 * jnp.pi * (jnp.asarray(frequencies, inputs.dtype) @ inputs)
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])


def embedded_size(frequencies: Frequencies | None, inputs: int) -> int:
    """Numbers that `embed` makes of so many inputs."""
    return 2 * len(frequencies) if frequencies else inputs


def draw_frequencies(who: str, count: int, scale: float, inputs: int, key: PRNGKeyArray) -> Frequencies | None:
    """B, drawn from N(0, scale²); None for none."""
    if count < 0:
        raise ValueError(f"{who}(fourier_features={count}): 0 for none, or their number")
    if not count:
        return None
    check_positive(who, fourier_scale=scale)
    rows = scale * sampled(jax.random.normal, key, count, inputs)
    return tuple(tuple(row) for row in rows.tolist())


def check_sizes(who: str, **sizes: int) -> None:
    for what, value in sizes.items():
        if value < 1:
            raise ValueError(f"{who}({what}={value}): at least 1")


def check_positive(who: str, **values: float) -> None:
    for what, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{who}({what}={value}): a positive finite number")


def as_key(key: PRNGKeyArray | int) -> PRNGKeyArray:
    refuse_fork("tx.nn")
    return jax.random.key(key) if isinstance(key, int) else key


def recipe_of(kind: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
    """Plain data from which `from_recipe` builds the module anew; None for an activation without a name here."""
    if "activation" not in arguments:
        return {"kind": kind, **arguments}
    labels = [label for label, function in ACTIVATIONS.items() if function is arguments["activation"]]
    return {"kind": kind, **arguments, "activation": labels[0]} if labels else None
