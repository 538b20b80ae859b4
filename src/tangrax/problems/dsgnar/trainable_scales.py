"""DSGNAR's networks: perceptrons with a trained scale or frequency in each layer, products, Gabor's filters."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ... import nn

Points = Float[Array, " inputs"]


class ScaledPerceptron(eqx.Module):
    """f(s (Wx + b)) in every hidden layer, s a number that is trained and starts at 1; a linear output layer."""

    layers: tuple[nn.Dense, ...]
    scales: tuple[Float[Array, ""], ...]
    output_layer: nn.Dense
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __init__(self, start: nn.MLP | nn.Siren, activation: Callable[[Array], Array]):
        self.layers, self.output_layer, self.activation = start.layers, start.output_layer, activation
        self.scales = tuple(jnp.ones(()) for _ in self.layers)

    def __call__(self, inputs: Points) -> Float[Array, " outputs"]:
        hidden = inputs
        for scale, layer in zip(self.scales, self.layers, strict=True):
            hidden = self.activation(scale * layer(hidden))
        return self.output_layer(hidden)


def scaled_mlp(inputs: int, width: int, seed: int) -> nn.Network:
    """Return four hidden layers of tanh(s (Wx + b)), s trained."""
    start = nn.mlp(inputs, width=width, depth=4, key=seed).module
    return nn.wrap(ScaledPerceptron(start, jnp.tanh), name="mlp")


def trained_siren(inputs: int, width: int, seed: int, outputs: int = 1) -> nn.Network:
    """Return four hidden layers of sin(ω (Wx + b)), ω trained from 1."""
    start = nn.siren(inputs, outputs, width=width, depth=4, frequency=1.0, key=seed).module
    return nn.wrap(ScaledPerceptron(start, jnp.sin), name="siren")


class SeparableNetwork(eqx.Module):
    """Σ wᵣ fᵣ₁(x₁) … fᵣₙ(xₙ) + b: a perceptron with `rank` outputs for each input, and their products."""

    factors: tuple[nn.MLP, ...]
    output_layer: nn.Dense

    def __call__(self, inputs: Points) -> Float[Array, " outputs"]:
        products = jnp.ones(())
        for factor, each in zip(self.factors, inputs, strict=True):
            products = products * factor(each[None])
        return self.output_layer(products)


def separable(inputs: int, rank: int, seed: int) -> nn.Network:
    """Return a sum of `rank` products of functions of one input each, by perceptrons of three layers of 20."""
    *keys, last = jax.random.split(jax.random.key(seed), inputs + 1)
    factors = tuple(nn.mlp(1, rank, width=20, depth=3, key=key).module for key in keys)
    return nn.wrap(SeparableNetwork(factors, nn.Dense(rank, 1, False, key=last)), name="spinn")


class GaborNetwork(eqx.Module):
    """Σ wᵢ exp(-sᵢ² |x - cᵢ|²/2) sin(kᵢ·x + φᵢ) + b, all of it trained."""

    centers: Float[Array, "filters inputs"]
    widths: Float[Array, " filters"]
    frequencies: Float[Array, "filters inputs"]
    phases: Float[Array, " filters"]
    output_layer: nn.Dense

    def __init__(self, inputs: int, filters: int, *, key: PRNGKeyArray):
        center, frequency, phase, last = jax.random.split(key, 4)
        self.centers = jax.random.uniform(center, (filters, inputs))
        self.widths = jnp.ones(filters)
        self.frequencies = math.pi * jax.random.normal(frequency, (filters, inputs))
        self.phases = jax.random.uniform(phase, (filters,), minval=-math.pi, maxval=math.pi)
        self.output_layer = nn.Dense(filters, 1, False, key=last)

    def __call__(self, inputs: Points) -> Float[Array, " outputs"]:
        distance = jnp.sum((inputs[None] - self.centers) ** 2, axis=-1)
        bell = jnp.exp(-(self.widths**2) * distance / 2)
        return self.output_layer(bell * jnp.sin(self.frequencies @ inputs + self.phases))


def gabor(inputs: int, filters: int, seed: int) -> nn.Network:
    """Return a sum of Gabor's filters: even centers in the unit cube, widths of 1, frequencies from N(0, π²)."""
    return nn.wrap(GaborNetwork(inputs, filters, key=jax.random.key(seed)), name="gabor")
