"""The modified perceptron: two encodings of the input, which every hidden layer mixes."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .dense_layers import hidden_layers, perceptron
from .layers import Activation, Dense, Frequencies, check_sizes, embed, embedded_size, quick
from .network import Network


class Encoders(eqx.Module):
    """U = act(W₁x + b₁) and V = act(W₂x + b₂)."""

    first: Dense
    second: Dense

    def __init__(self, inputs: int, width: int, factorised: bool, *, key: PRNGKeyArray):
        keys = jax.random.split(key)
        self.first, self.second = (Dense(inputs, width, factorised, key=k) for k in keys)

    def __call__(self, activation: Activation, inputs: Float[Array, " _"]) -> tuple[Array, Array]:
        return activation(self.first(inputs)), activation(self.second(inputs))


def mixed(a: Array, encoded: tuple[Array, Array]) -> Array:
    u, v = encoded
    return a * u + (1 - a) * v


class ModifiedMLP(eqx.Module):
    """h ← aU + (1 - a)V with a = act(Wh + b) in every hidden layer, a linear output layer.

    Wang, Teng, Perdikaris, arXiv 2001.04536, the section on an improved fully-connected architecture. There the first
    hidden layer is plain; here, as in their later papers, every one is mixed.
    """

    frequencies: Frequencies | None = eqx.field(static=True)
    encoders: Encoders
    layers: tuple[Dense, ...]
    output_layer: Dense
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int,
        activation: Activation,
        frequencies: Frequencies | None,
        factorised: bool,
        *,
        key: PRNGKeyArray,
    ):
        keys = jax.random.split(key, depth + 2)
        self.activation = quick(activation)
        self.frequencies = frequencies
        self.encoders = Encoders(embedded_size(frequencies, inputs), width, factorised, key=keys[0])
        self.layers = hidden_layers(inputs, width, frequencies, factorised, keys[1:-1])
        self.output_layer = Dense(width, outputs, factorised, key=keys[-1])

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        hidden = embed(self.frequencies, inputs)
        encoded = self.encoders(self.activation, hidden)
        for layer in self.layers:
            hidden = mixed(self.activation(layer(hidden)), encoded)
        return self.output_layer(hidden)


def modified_mlp(
    inputs: int,
    outputs: int = 1,
    *,
    width: int = 32,
    depth: int = 3,
    activation: Activation = jnp.tanh,
    fourier_features: int = 0,
    fourier_scale: float = 1.0,
    factorised: bool = False,
    key: PRNGKeyArray | int = 0,
    name: str | None = None,
) -> Network:
    """A modified perceptron, whose hidden layers mix two encodings of the input (arXiv 2001.04536).

    It has two layers of parameters more than an `mlp` of the same width and depth.

    Args:
        inputs: number of inputs.
        outputs: number of outputs; 1 gives a scalar per point.
        width: units of a hidden layer.
        depth: number of hidden layers.
        activation: elementwise, with as many derivatives as the equation takes.
        fourier_features: number of fixed random frequencies, for solutions that oscillate (arXiv 2006.10739).
        fourier_scale: their standard deviation, in cycles per unit length.
        factorised: random weight factorisation, for several scales (arXiv 2210.01274).
        key: a seed or a PRNG key.
        name: of the network, in messages, the history and files.

    Raises:
        ValueError: a size is not a positive whole number, or a scale is out of range.
    """
    sizes = {"inputs": inputs, "outputs": outputs, "width": width, "depth": depth}
    check_sizes("modified_mlp", **sizes)
    return perceptron(
        "modified_mlp",
        ModifiedMLP,
        sizes,
        inputs=inputs,
        activation=activation,
        fourier_features=fourier_features,
        fourier_scale=fourier_scale,
        factorised=factorised,
        key=key,
        name=name,
    )
