"""SIREN: a perceptron of sines."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .layers import Dense, as_key, check_positive, check_sizes, recipe_of, sampled
from .network import Network, wrap


class Siren(eqx.Module):
    """sin(ω₀(Wx + b)) in every hidden layer, a linear output layer.

    Sitzmann et al., arXiv 2006.09661, section 3.2: weights of the first layer from U(-1/n, 1/n), all others from
    U(-√(6/n)/ω₀, √(6/n)/ω₀), n being the inputs of the layer, so that what enters a sine behind the first layer has
    variance 1. Biases, of which they say nothing, from U(-1/√n, 1/√n): without them the network would be odd.
    """

    layers: tuple[Dense, ...]
    output_layer: Dense
    frequency: float = eqx.field(static=True)

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, frequency: float, *, key: PRNGKeyArray):
        keys = jax.random.split(key, depth + 1)
        bound = math.sqrt(6 / width) / frequency
        self.frequency = frequency
        self.layers = (
            _uniform(inputs, width, 1 / inputs, key=keys[0]),
            *(_uniform(width, width, bound, key=k) for k in keys[1:-1]),
        )
        self.output_layer = _uniform(width, outputs, bound, key=keys[-1])

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        hidden = inputs
        for layer in self.layers:
            hidden = jnp.sin(self.frequency * layer(hidden))
        return self.output_layer(hidden)


def _uniform(inputs: int, outputs: int, bound: float, *, key: PRNGKeyArray) -> Dense:
    """An affine map with weights from U(-bound, bound)."""
    weight_key, bias_key = jax.random.split(key)
    weight = sampled(jax.random.uniform, weight_key, outputs, inputs, minval=-bound, maxval=bound)
    bias = sampled(jax.random.uniform, bias_key, outputs, minval=-1, maxval=1) / math.sqrt(inputs)
    layer = Dense(inputs, outputs, False, key=key)
    return eqx.tree_at(lambda dense: (dense.weight, dense.bias), layer, (weight, bias))


def siren(
    inputs: int,
    outputs: int = 1,
    *,
    width: int = 32,
    depth: int = 3,
    frequency: float = 5.0,
    key: PRNGKeyArray | int = 0,
    name: str | None = None,
) -> Network:
    """A SIREN: hidden layers sin(ω₀(Wx + b)) (arXiv 2006.09661, section 3.2).

    Args:
        inputs: number of inputs.
        outputs: number of outputs; 1 gives a scalar per point.
        width: units of a hidden layer.
        depth: number of hidden layers.
        frequency: ω₀, in radians per unit length: the first layer starts with up to about ω₀/2π cycles per unit length.
            Of 5, 10 and the paper's 30, 5 did best on ten waves in a unit interval (docs/networks.md).
        key: a seed or a PRNG key.
        name: of the network, in messages, the history and files.

    Raises:
        ValueError: a size is not a positive whole number, or a scale is out of range.
    """
    check_sizes("siren", inputs=inputs, outputs=outputs, width=width, depth=depth)
    check_positive("siren", frequency=frequency)
    arguments = {"inputs": inputs, "outputs": outputs, "width": width, "depth": depth, "frequency": float(frequency)}
    return wrap(Siren(**arguments, key=as_key(key)), name=name, recipe=recipe_of("siren", arguments))
