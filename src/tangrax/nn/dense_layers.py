"""Construction that the perceptrons share: hidden layers of one width, and a wrapped network with its recipe."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

from .layers import Activation, Dense, Frequencies, as_key, draw_frequencies, embedded_size, recipe_of
from .network import Network, wrap


def hidden_layers(
    inputs: int, width: int, frequencies: Frequencies | None, factorised: bool, keys: Array
) -> tuple[Dense, ...]:
    """Dense layers of `width` units, one a key, the first one on the embedded inputs."""
    sizes = [embedded_size(frequencies, inputs), *[width] * len(keys)]
    return tuple(Dense(a, b, factorised, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True))


def perceptron(
    kind: str,
    module: Callable[..., Any],
    sizes: dict[str, int],
    *,
    inputs: int,
    activation: Activation,
    fourier_features: int,
    fourier_scale: float,
    factorised: bool,
    key: PRNGKeyArray | int,
    name: str | None,
) -> Network:
    """A network of a kind, wrapped; its recipe has the same arguments as the module, the random frequencies among them.

    `sizes` are the module's arguments that count inputs, outputs, units, layers or blocks.
    """
    feature_key, weight_key = jax.random.split(as_key(key))
    arguments = {
        **sizes,
        "activation": activation,
        "frequencies": draw_frequencies(kind, fourier_features, fourier_scale, inputs, feature_key),
        "factorised": factorised,
    }
    return wrap(module(**arguments, key=weight_key), name=name, recipe=recipe_of(kind, arguments))
