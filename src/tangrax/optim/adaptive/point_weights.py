"""Weights of single points, larger where residuals stay."""

import abc
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from ...expr import Node, PointSet, apply, ops, within
from ..residuals import MeanSquare, squares_of
from .adaptive_rule import AdaptiveMethod, AdaptiveRule, check_interval, check_names, check_within


@dataclass(frozen=True)
class PointWeight(ops.Coordinate):
    """The weight of a point: a column beside its coordinates, counted from the last one."""

    fixed = False

    def text(self, args):
        return "weight"


@dataclass(frozen=True)
class PointWeighting(AdaptiveMethod):
    """A weight λ for each point of the terms named, or of all terms, that follows its residual; the loss has λ r."""

    names: tuple[str, ...]
    interval: int
    what = "pointwise weights"
    start = 1.0

    @abc.abstractmethod
    def first(self, weight: Any) -> Any:
        """The memory of a point before the first update."""

    @abc.abstractmethod
    def follow(
        self, weights: Float[Array, " n"], memory: PyTree, squares: Float[Array, " n"], largest: Any
    ) -> tuple[Float[Array, " n"], Any]:
        """New λ, and memory, from |r|² of the points and the largest of all points'."""

    def compile(self, terms, wrt):
        check_names(self.what, self.names, terms)
        return PointWeightRule(self, terms)


class PointWeightRule(AdaptiveRule):
    """Terms mean (λ r)², a column of λ for each mean square in them."""

    def __init__(self, method: PointWeighting, terms: Mapping[str, Node]):
        self.method, self.interval, self.terms = method, method.interval, dict(terms)
        names = method.names or tuple(terms)
        by_term = {name: squares_of(method.what, name, terms[name]) for name in names}
        total = Counter(square.field.points for squares in by_term.values() for square in squares)
        columns: list[PointSet] = []
        squares: list[Node] = []
        means: list[Node] = []
        for name in names:
            parts, weights = [], []
            for square in by_term[name]:
                tag = square.field.points
                assert tag is not None
                weight = Node(PointWeight(tag, columns.count(tag) - total[tag]))
                columns.append(tag)
                inner, *group = square.inside
                parts.append(square.scale * within(weight * inner, *group).mse)
                weights.append(within(weight, *group).mse)
                squares.append(_squares(square))
            self.terms[name] = sum(parts[1:], start=parts[0])
            means.append(sum(weights[1:], start=weights[0]) / len(weights))
        self.columns = tuple(columns)
        self.measured = (*squares, *(field.max for field in squares), *means)
        self.names = tuple(f"point_weight/{name}" for name in names)

    def init(self, dtype):
        return ()

    def init_rows(self, dtype):
        one = jnp.asarray(self.method.start, dtype)
        return [(one, self.method.first(one)) for _ in self.columns]

    def point_weights(self, rows):
        return [weights for weights, _ in rows]

    def update(self, state, rows, values, epoch):
        count = len(self.columns)
        measured = zip(rows, values[:count], values[count : 2 * count], strict=True)
        return state, [
            self.method.follow(weights, memory, squares, largest) for (weights, memory), squares, largest in measured
        ]

    def recorded(self, state, values):
        """Means of λ², those that the last epoch had."""
        return list(values[2 * len(self.columns) :])


@dataclass(frozen=True)
class SelfAdaptive(PointWeighting):
    """λ climbs the loss by a stochastic-gradient rule of its own."""

    rate: float
    what = "self_adaptive"

    @property
    def _climb(self) -> optax.GradientTransformation:
        return optax.adam(self.rate)

    def first(self, weight):
        return self._climb.init(weight)

    def follow(self, weights, memory, squares, largest):
        def step(gradient: Any, memory: Any, weight: Any) -> tuple[Any, Any]:
            change, memory = self._climb.update(-gradient, memory, weight)  # optax descends
            return optax.apply_updates(weight, change), memory

        return jax.vmap(step)(weights * squares, memory, weights)


@dataclass(frozen=True)
class ResidualAttention(PointWeighting):
    """λ ← decay λ + rate |r| / max |r|."""

    rate: float
    decay: float
    what = "residual_attention"
    start = 0.0

    def first(self, weight):
        return ()

    def follow(self, weights, memory, squares, largest):
        shares = jnp.sqrt(squares / jnp.where(largest > 0, largest, 1))
        return self.decay * weights + self.rate * shares, memory


def self_adaptive(*terms: str, rate: float = 5e-3, every: int = 1) -> PointWeighting:
    """Weights λ² of single points, which grow where the residual stays.

    λ starts at 1 and maximises the loss, mean (λ r)², by Adam, while the parameters minimise it. An update computes the
    residuals once more. The terms must be sums of mean squares: ValueError from `tx.core` otherwise.
    McClenny and Braga-Neto, Self-adaptive physics-informed neural networks (2023), section 3, with the mask m(λ) = λ².

    Args:
        *terms: names of terms; all by default.
        rate: of Adam.
        every: epochs between updates.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("self_adaptive", rate, every)
    return SelfAdaptive(terms, every, rate)


def residual_attention(*terms: str, rate: float = 0.01, decay: float = 0.999, every: int = 1) -> PointWeighting:
    """Weights of single points, λ ← decay λ + rate |r| / max |r| for a loss mean (λ r)².

    λ starts at 0 and stays below rate / (1 - decay). An update computes the residuals once more. The terms must be sums
    of mean squares: ValueError from `tx.core` otherwise.
    Anagnostopoulos, Toscano, Stergiopulos and Karniadakis, Residual-based attention in physics-informed neural networks
    (2024), eq. 7.

    Args:
        *terms: names of terms; all by default.
        rate: positive.
        decay: from 0 to 1.
        every: epochs between updates.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("residual_attention", rate, every)
    check_within("residual_attention", "decay", decay, 0, 1)
    return ResidualAttention(terms, every, rate, decay)


def _check(what: str, rate: float, every: Any) -> None:
    check_interval(what, every)
    if not rate > 0:
        raise ValueError(f"{what}: rate={rate!r} must be positive")


def _squares(square: MeanSquare) -> Node:
    """|r|² at each point, zero outside of the group."""
    return apply(_size_in if len(square.inside) > 1 else _size, "squares", *square.inside)


def _size(residual):
    return jnp.sum(residual * residual)


def _size_in(residual, group):
    return jnp.where(group, _size(residual), 0.0)
