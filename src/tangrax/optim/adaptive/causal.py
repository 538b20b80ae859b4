"""Causal weights: a time counts once the residuals before it are small."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from ...expr import Node, Trainable, all_nodes, apply, ops
from ..residuals import MeanSquare, squares_of
from .adaptive_rule import AdaptiveMethod, AdaptiveRule, AdaptiveWeight, check_interval, check_names, check_within


@dataclass(frozen=True, eq=False)
class Causal(AdaptiveMethod):
    """Causal weights along a coordinate, of the terms named, or of all on its points."""

    time: Node
    names: tuple[str, ...]
    bins: int
    tolerances: tuple[float, ...]
    ready: float
    interval: int

    def compile(self, terms, wrt):
        check_names("causal", self.names, terms)
        names = self.names or [name for name, term in terms.items() if _uses(term, self.time)]
        squares = {name: _squares(name, terms[name], self.time) for name in names}
        if not squares:
            assert self.time.points is not None
            raise ValueError(f"causal({self.time}): no term is on the points of '{self.time.points.tag}'")
        return CausalRule(self, terms, squares)


class CausalRule(AdaptiveRule):
    """Terms mean wⱼ Lⱼ over bins of time, wⱼ = exp(-ε Σ_{k<j} Lₖ); ε grows when the last weight is near 1."""

    def __init__(self, method: Causal, terms: Mapping[str, Node], squares: Mapping[str, list[MeanSquare]]):
        self.method, self.interval, self.terms = method, method.interval, dict(terms)
        # As numbers set beforehand: weights made of the same sums as the loss would take a product for each bin.
        self.weight = AdaptiveWeight("causal_weights", np.ones((len(squares), method.bins)))
        weights = self.weight.node
        assert method.time.points is not None and isinstance(method.time.op, ops.Coordinate)
        times = method.time.points.coordinates[:, method.time.op.axis]
        edges = [float(edge) for edge in np.linspace(times.min(), times.max(), method.bins + 1)]
        measured = []
        for row, (name, of_term) in enumerate(squares.items()):
            losses = [_between(of_term, method.time, *pair) for pair in _open_ended(edges)]
            weighted = [weights[row, index] / method.bins * loss for index, loss in enumerate(losses)]
            self.terms[name] = sum(weighted[1:], start=weighted[0])
            measured.append(apply(_stacked, "stack", *losses))
        self.measured = tuple(measured)
        self.names = (*(f"causal_weight/{name}" for name in squares), "causal_weight/tolerance")

    def init(self, dtype):
        weights = jnp.ones((len(self.measured), self.method.bins), dtype)
        return jnp.zeros((), jnp.int32), jnp.asarray(self.method.tolerances, dtype), weights

    def term_weights(self, state) -> dict[Trainable, Any]:
        return {self.weight: state[2]}

    def update(self, state, rows, values, epoch):
        stage, tolerances, _ = state
        losses = jnp.stack(values)
        before = jnp.cumsum(losses, axis=1) - losses
        ready = jnp.exp(-tolerances[stage] * jnp.max(before)) > self.method.ready
        stage = jnp.minimum(stage + ready, len(self.method.tolerances) - 1)
        return (stage, tolerances, jnp.exp(-tolerances[stage] * before)), rows

    def recorded(self, state, values):
        """The last bins' weights, and ε."""
        stage, tolerances, weights = state
        return [*weights[:, -1], tolerances[stage]]


def causal(
    time: Node,
    *terms: str,
    bins: int = 16,
    tolerances: tuple[float, ...] = (1e-2, 1e-1, 1.0, 10.0, 100.0),
    ready: float = 0.99,
    every: int = 10,
) -> Causal:
    """Causal weights: residuals of later times count less while those of earlier ones are large.

    L = mean wⱼ Lⱼ over bins of equal length, wⱼ = exp(-ε Σ_{k<j} Lₖ). The terms must be sums of mean squares:
    ValueError from `tx.core` otherwise.
    Wang, Sankaran and Perdikaris, Respecting causality for training physics-informed neural networks (2024), eq. 3.13
    and algorithm 1.

    Args:
        time: the coordinate, as `domain.variable(tag)` returned it.
        *terms: names of terms; by default all on the points of `time`.
        bins: number of bins, at least 2.
        tolerances: values of ε, one after the other.
        ready: weight of the last bin, from 0 to 1, above which the next ε begins.
        every: epochs between updates.

    Raises:
        TypeError: `time` is not a coordinate.
        ValueError: an argument is out of range.
    """
    check_interval("causal", every)
    check_within("causal", "ready", ready, 0, 1)
    if not isinstance(time, Node) or not isinstance(time.op, ops.Coordinate):
        raise TypeError(f"causal({time}): give the coordinate of time that domain.variable() returned")
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise ValueError(f"causal: bins={bins!r} must be a whole number, at least 2")
    if not tolerances or not all(tolerance >= 0 for tolerance in tolerances):
        raise ValueError(f"causal: tolerances={tolerances!r} must be numbers from 0 on, at least one")
    return Causal(time, terms, bins, tuple(map(float, tolerances)), ready, every)


def _stacked(*losses):
    return jnp.stack(losses)


def _open_ended(edges: list[float]) -> list[tuple[float | None, float | None]]:
    """Bins between the edges; the first and last are open, as resampled points may lie beyond."""
    return list(zip([None, *edges[1:-1]], [*edges[1:-1], None], strict=True))


def _between(squares: list[MeanSquare], time: Node, start: float | None, end: float | None) -> Node:
    """The loss of a bin: mean squares over the points from `start` on and before `end`."""
    inside = None if start is None else time >= start
    if end is not None:
        inside = time < end if inside is None else inside & (time < end)
    assert inside is not None
    terms = []
    for square in squares:
        inner, *group = square.inside
        where = inside & group[0] if group else inside
        terms.append(square.scale * inner[where].mse)
    return sum(terms[1:], start=terms[0])


def _squares(name: str, term: Node, time: Node) -> list[MeanSquare]:
    """The mean squares of a term, all on the points of `time`."""
    squares = squares_of("causal", name, term)
    for square in squares:
        if square.field.points is not time.points:
            assert square.field.points is not None and time.points is not None
            raise ValueError(
                f"causal: {square.part} of term '{name}' is on the points of '{square.field.points.tag}' and {time} on "
                f"those of '{time.points.tag}': make it a term of its own"
            )
    return squares


def _uses(term: Node, time: Node) -> bool:
    """Whether a term holds coordinates of the points of `time`."""
    return any(node.points is time.points for node in all_nodes([term]) if isinstance(node.op, ops.Coordinate))
