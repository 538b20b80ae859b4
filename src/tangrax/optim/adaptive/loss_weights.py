"""Weights that balance the terms of a loss, set anew every so many epochs."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, PyTree

from ...expr import Node, Selection, Trainable, norms, ops, within
from ..residuals import squares_of
from .adaptive_rule import AdaptiveMethod, AdaptiveRule, AdaptiveWeight, check_interval, check_within

MOST = 1e6  # of a weight: a term that is met exactly would have an infinite one


class LossBalance(AdaptiveMethod):
    """Weights of terms that follow from a number measured of each."""

    interval: int

    @abc.abstractmethod
    def measure(self, terms: Mapping[str, Node], wrt: tuple[Selection, ...]) -> tuple[Node, ...]:
        """Expressions whose values are together T numbers, one a term."""

    @abc.abstractmethod
    def first(self, count: int, dtype: DTypeLike) -> Any:
        """The memory before the first update."""

    @abc.abstractmethod
    def follow(
        self, weights: Float[Array, " t"], memory: PyTree, numbers: Float[Array, " t"], epoch: ArrayLike
    ) -> tuple[Float[Array, " t"], Any]:
        """New weights and memory."""

    def compile(self, terms, wrt):
        return LossBalanceRule(self, terms, wrt)


class LossBalanceRule(AdaptiveRule):
    """The loss Σ wᵢ Lᵢ; all weights are 1 before the first update."""

    def __init__(self, method: LossBalance, terms: Mapping[str, Node], wrt: tuple[Selection, ...]):
        self.method, self.interval = method, method.interval
        self.weight = AdaptiveWeight("weights", jnp.ones(len(terms)))
        weights = self.weight.node
        self.terms = {name: weights[index] * term for index, (name, term) in enumerate(terms.items())}
        self.measured = method.measure(terms, wrt)
        self.names = tuple(f"weight/{name}" for name in terms)

    def init(self, dtype):
        return jnp.ones(len(self.terms), dtype), self.method.first(len(self.terms), dtype)

    def term_weights(self, state) -> dict[Trainable, Any]:
        return {self.weight: state[0]}

    def update(self, state, rows, values, epoch):
        weights, memory = state
        numbers = jnp.concatenate([jnp.atleast_1d(value) for value in values]).astype(weights.dtype)
        new, memory_after = self.method.follow(weights, memory, numbers, epoch)
        # What is not finite stops the run where the loss is: weights made from it would hide the cause.
        good = jnp.isfinite(numbers).all() & jnp.isfinite(new).all()
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), (new, memory_after), (weights, memory)), rows

    def recorded(self, state, values):
        return list(state[0])


@dataclass(frozen=True)
class RatioBalance(LossBalance):
    """wᵢ = Σⱼ nⱼ / nᵢ of numbers n, then a running mean of these."""

    interval: int
    smoothing: float

    def first(self, count, dtype):
        return jnp.zeros((), jnp.int32)

    def follow(self, weights, memory, numbers, epoch):
        ratios = jnp.where(numbers > 0, jnp.sum(numbers) / jnp.where(numbers > 0, numbers, 1), MOST)
        # The first ones as they are: a mean with weights of 1 would start the run unbalanced.
        share = jnp.where(memory > 0, self.smoothing, 0.0).astype(weights.dtype)
        return share * weights + (1 - share) * jnp.minimum(ratios, MOST), memory + 1


@dataclass(frozen=True)
class NTKBalance(RatioBalance):
    """Ratios of traces of the tangent kernels."""

    def measure(self, terms, wrt):
        by_term = []
        for name, term in terms.items():
            traces = []
            for square in squares_of("ntk_balance", name, term):
                inner, *group = square.inside
                rows = within(Node(ops.Jacobian(wrt), inner), *group)
                traces.append(square.scale * rows.gram().diagonal.mean)
            by_term.append(sum(traces[1:], start=traces[0]))
        return tuple(by_term)


@dataclass(frozen=True)
class GradNorm(RatioBalance):
    """Ratios of norms of gradients."""

    def measure(self, terms, wrt):
        return (norms([Node(ops.Gradient(wrt), term) for term in terms.values()]),)


@dataclass(frozen=True)
class ReLoBRaLo(LossBalance):
    """Weights by the relative progress of each term."""

    interval: int
    smoothing: float
    temperature: float
    lookback: float
    seed: int

    def measure(self, terms, wrt):
        return tuple(terms.values())

    def first(self, count, dtype):
        return jnp.zeros((), jnp.int32), jnp.ones(count, dtype), jnp.ones(count, dtype)

    def follow(self, weights, memory, numbers, epoch):
        count, start, before = memory
        start, before = (jnp.where(count > 0, old, numbers) for old in (start, before))

        def against(reference: Any) -> Any:
            ratios = numbers / jnp.where(reference > 0, reference, 1)
            return len(numbers) * jax.nn.softmax(ratios / self.temperature)

        key = jax.random.fold_in(jax.random.key(self.seed), count)
        keep = jax.random.bernoulli(key, self.lookback)
        history = jnp.where(keep, weights, against(start))
        new = self.smoothing * history + (1 - self.smoothing) * against(before)
        return jnp.where(count > 0, new, weights), (count + 1, start, numbers)


def ntk_balance(*, every: int = 100, smoothing: float = 0.9) -> LossBalance:
    """Weights wᵢ = Σⱼ tr Kⱼⱼ / tr Kᵢᵢ by the traces of the terms' tangent kernels: all are learned at one rate.

    A trace is the mean over points of |∂r/∂θ|², times the term's own factor, for which weights compensate. All terms
    must be sums of mean squares: ValueError from `tx.core` otherwise.
    Wang, Yu and Perdikaris, When and why PINNs fail to train: a neural tangent kernel perspective (2022), eq. 6.5 ff.

    Args:
        every: epochs between updates.
        smoothing: share of the old weights in the new ones, from 0 to 1.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("ntk_balance", every, smoothing)
    return NTKBalance(every, smoothing)


def grad_norm(*, every: int = 100, smoothing: float = 0.9) -> LossBalance:
    """Weights wᵢ = Σⱼ |∇Lⱼ| / |∇Lᵢ|: all weighted terms have gradients of one norm.

    Wang, Sankaran, Wang and Perdikaris, An expert's guide to training physics-informed neural networks (2023),
    algorithm 1.

    Args:
        every: epochs between updates.
        smoothing: share of the old weights in the new ones, from 0 to 1.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("grad_norm", every, smoothing)
    return GradNorm(every, smoothing)


def relobralo(
    *, every: int = 1, smoothing: float = 0.999, temperature: float = 0.1, lookback: float = 0.999, seed: int = 0
) -> LossBalance:
    """Weights by relative progress: larger for terms that decreased less since the last update, and since the start.

    With s(t') = T softmax(Lᵢ(t) / (temperature Lᵢ(t'))) over the T terms, w = smoothing h + (1 - smoothing) s(t - 1),
    where h is the last w with probability `lookback`, else s(0). An update computes the loss once more.
    Bischof and Kraus, Multi-objective loss balancing for physics-informed deep learning (2021), section 3.

    Args:
        every: epochs between updates.
        smoothing: from 0 to 1.
        temperature: positive; smaller ones give more different weights.
        lookback: probability, from 0 to 1.
        seed: of the random choice of h.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("relobralo", every, smoothing)
    check_within("relobralo", "lookback", lookback, 0, 1)
    if not temperature > 0:
        raise ValueError(f"relobralo: temperature={temperature!r} must be positive")
    return ReLoBRaLo(every, smoothing, temperature, lookback, seed)


def _check(what: str, every: Any, smoothing: float) -> None:
    check_interval(what, every)
    check_within(what, "smoothing", smoothing, 0, 1)
