"""A small multilayer perceptron for PINNs."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .dense_layers import hidden_layers, perceptron
from .layers import Activation, Dense, Frequencies, check_sizes, embed, quick
from .network import Network


class MLP(eqx.Module):
    """Hidden layers of one width, one activation, a linear output layer.

    Fourier features, where asked for, replace the input x by (cos 2πBx, sin 2πBx) with B drawn from N(0, σ²) and
    kept fixed (Tancik et al., arXiv 2006.10739, section 4).
    """

    frequencies: Frequencies | None = eqx.field(static=True)
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
        keys = jax.random.split(key, depth + 1)
        self.activation = quick(activation)
        self.frequencies = frequencies
        self.layers = hidden_layers(inputs, width, frequencies, factorised, keys[:-1])
        self.output_layer = Dense(width, outputs, factorised, key=keys[-1])

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        hidden = embed(self.frequencies, inputs)
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
        return self.output_layer(hidden)


def mlp(
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
    """A multilayer perceptron with a linear output layer.

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
    check_sizes("mlp", **sizes)
    return perceptron(
        "mlp",
        MLP,
        sizes,
        inputs=inputs,
        activation=activation,
        fourier_features=fourier_features,
        fourier_scale=fourier_scale,
        factorised=factorised,
        key=key,
        name=name,
    )
