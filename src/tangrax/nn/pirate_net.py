"""PirateNet: residual blocks that are the identity at the start."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .dense_layers import perceptron
from .layers import Activation, Dense, Frequencies, check_sizes, embed, quick
from .modified_mlp import Encoders, mixed
from .network import Network


class Block(eqx.Module):
    """x ← αh + (1 - α)x, h being three layers of x; U and V mix what the first two give. α starts at 0."""

    layers: tuple[Dense, Dense, Dense]
    alpha: Float[Array, ""]

    def __init__(self, width: int, factorised: bool, *, key: PRNGKeyArray):
        first, second, third = (Dense(width, width, factorised, key=k) for k in jax.random.split(key, 3))
        self.layers = first, second, third
        self.alpha = jnp.zeros(())

    def __call__(self, activation: Activation, x: Float[Array, " w"], encoded: tuple[Array, Array]) -> Array:
        first, second, third = self.layers
        hidden = mixed(activation(first(x)), encoded)
        hidden = mixed(activation(second(hidden)), encoded)
        return self.alpha * activation(third(hidden)) + (1 - self.alpha) * x


class PirateNet(eqx.Module):
    """Random Fourier features, residual blocks with trainable α, a linear output layer.

    Wang, Li, Chen, Perdikaris, arXiv 2402.00326, section 4. The features are (cos 2πBx, sin 2πBx), without the 2π in
    the paper; there are as many as units, since blocks add to them. At the start the network is linear in them.
    """

    frequencies: Frequencies = eqx.field(static=True)
    encoders: Encoders
    blocks: tuple[Block, ...]
    output_layer: Dense
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        outputs: int,
        blocks: int,
        activation: Activation,
        frequencies: Frequencies,
        factorised: bool,
        *,
        key: PRNGKeyArray,
    ):
        keys = jax.random.split(key, blocks + 2)
        width = 2 * len(frequencies)
        self.activation = quick(activation)
        self.frequencies = frequencies
        self.encoders = Encoders(width, width, factorised, key=keys[0])
        self.blocks = tuple(Block(width, factorised, key=k) for k in keys[1:-1])
        self.output_layer = Dense(width, outputs, factorised, key=keys[-1])

    def __call__(self, inputs: Float[Array, " inputs"]) -> Float[Array, " outputs"]:
        hidden = embed(self.frequencies, inputs)
        encoded = self.encoders(self.activation, hidden)
        for block in self.blocks:
            hidden = block(self.activation, hidden, encoded)
        return self.output_layer(hidden)


def pirate(
    inputs: int,
    outputs: int = 1,
    *,
    width: int = 32,
    blocks: int = 2,
    activation: Activation = jnp.tanh,
    fourier_scale: float = 1.0,
    factorised: bool = False,
    key: PRNGKeyArray | int = 0,
    name: str | None = None,
) -> Network:
    """A PirateNet: residual blocks of three layers, the identity at the start (arXiv 2402.00326, section 4).

    Args:
        inputs: number of inputs.
        outputs: number of outputs; 1 gives a scalar per point.
        width: units of a layer, an even number: there are `width`/2 random frequencies.
        blocks: number of residual blocks.
        activation: elementwise, with as many derivatives as the equation takes.
        fourier_scale: standard deviation of the frequencies, in cycles per unit length.
        factorised: random weight factorisation, for several scales (arXiv 2210.01274).
        key: a seed or a PRNG key.
        name: of the network, in messages, the history and files.

    Raises:
        ValueError: a size is not a positive whole number, or a scale is out of range.
    """
    check_sizes("pirate", inputs=inputs, outputs=outputs, width=width, blocks=blocks)
    if width % 2:
        raise ValueError(f"pirate(width={width}): an even number, since half of the features are cosines, half sines")
    return perceptron(
        "pirate",
        PirateNet,
        {"outputs": outputs, "blocks": blocks},
        inputs=inputs,
        activation=activation,
        fourier_features=width // 2,
        fourier_scale=fourier_scale,
        factorised=factorised,
        key=key,
        name=name,
    )
