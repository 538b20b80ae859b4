"""A small multilayer perceptron for PINNs."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .network import Network, wrap


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
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sin": jnp.sin,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
}


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
        weight = jax.nn.initializers.glorot_normal()(weight_key, (outputs, inputs))
        self.bias = jnp.zeros(outputs)
        if factorised:
            self.scale = 1 + 0.1 * jax.random.normal(scale_key, (outputs,))
            self.weight = weight / jnp.exp(self.scale)[:, None]
        else:
            self.scale, self.weight = None, weight

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        product = inputs @ self.weight.T  # over many points faster than W x: points stay rows
        return (product if self.scale is None else jnp.exp(self.scale) * product) + self.bias


class MLP(eqx.Module):
    """Hidden layers of one width, one activation, a linear output layer.

    Fourier features, where asked for, replace the input x by (cos 2πBx, sin 2πBx) with B drawn from N(0, σ²) and
    kept fixed (Tancik et al., arXiv 2006.10739, section 4).
    """

    frequencies: tuple[tuple[float, ...], ...] | None = eqx.field(static=True)
    layers: tuple[Dense, ...]
    output_layer: Dense
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        activation: Callable[[Array], Array],
        frequencies: tuple[tuple[float, ...], ...] | None,
        factorised: bool,
        *,
        key: PRNGKeyArray,
    ):
        keys = jax.random.split(key, depth + 1)
        self.activation = _tanh if activation is jnp.tanh else activation
        self.frequencies = frequencies
        sizes = [2 * len(frequencies) if frequencies else inputs, *[width] * depth]
        self.layers = tuple(
            Dense(a, b, factorised, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys[:-1], strict=True)
        )
        self.output_layer = Dense(sizes[-1], outputs, factorised, key=keys[-1])

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        hidden = inputs
        if self.frequencies is not None:
            angles = 2 * jnp.pi * (jnp.asarray(self.frequencies, inputs.dtype) @ inputs)
            hidden = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)])
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
        return self.output_layer(hidden)


def mlp(
    inputs: int,
    outputs: int = 1,
    *,
    width: int = 32,
    depth: int = 3,
    activation: Callable[[Array], Array] = jnp.tanh,
    fourier_features: int = 0,
    fourier_scale: float = 1.0,
    factorised: bool = False,
    key: PRNGKeyArray | int = 0,
    name: str | None = None,
) -> Network:
    """A multilayer perceptron, wrapped and ready to be called: `depth` hidden layers of `width` units.

    `fourier_features` random frequencies of standard deviation `fourier_scale` (cycles per unit length) help with
    solutions that oscillate; `factorised` weights with several scales. `key` is a seed or a PRNG key.
    """
    for value, what in ((inputs, "inputs"), (outputs, "outputs"), (width, "width"), (depth, "depth")):
        if value < 1:
            raise ValueError(f"mlp({what}={value}): at least 1")
    if fourier_features < 0:
        raise ValueError(f"mlp(fourier_features={fourier_features}): 0 for none, or their number")
    if isinstance(key, int):
        key = jax.random.key(key)
    feature_key, weight_key = jax.random.split(key)
    frequencies = None
    if fourier_features:
        drawn = fourier_scale * jax.random.normal(feature_key, (fourier_features, inputs))
        frequencies = tuple(tuple(row) for row in drawn.tolist())
    module = MLP(inputs, outputs, width, depth, activation, frequencies, factorised, key=weight_key)
    known = [label for label, function in ACTIVATIONS.items() if function is activation]
    recipe = None
    if known:
        recipe = {
            "inputs": inputs,
            "outputs": outputs,
            "width": width,
            "depth": depth,
            "activation": known[0],
            "frequencies": frequencies,
            "factorised": factorised,
        }
    return wrap(module, name=name, recipe=recipe)


def from_recipe(recipe: dict[str, Any]) -> MLP:
    """A perceptron of the same architecture as the one that `mlp` described, to be filled with saved parameters."""
    frequencies = recipe["frequencies"]
    return MLP(
        int(recipe["inputs"]),
        int(recipe["outputs"]),
        int(recipe["width"]),
        int(recipe["depth"]),
        ACTIVATIONS[recipe["activation"]],
        None if frequencies is None else tuple(tuple(map(float, row)) for row in frequencies),
        bool(recipe["factorised"]),
        key=jax.random.key(0),
    )
