"""What steers training by what it measures now and then: weights of the terms, updates without conflict."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...expr import Node, PointSet, Selection, Trainable, ops


class AdaptiveWeight(Trainable):
    """Positive numbers that stand in terms and that a guide sets, where an optimizer would train them."""

    def __init__(self, name: str, initial: Any):
        value = jnp.asarray(np.asarray(initial), dtype=float)
        super().__init__(name, value, lambda current, arguments: current, value)

    @property
    def node(self) -> Node:
        return Node(ops.Call(self, None, True))


class AdaptiveRule(abc.ABC):
    """Bound to the terms of a problem: how it changes them, what it measures every `every` epochs, and learns from it.

    Numbers in the changed terms that it sets itself are `knobs`, the values of trainables that no optimizer trains;
    numbers of single points are columns beside the coordinates, sharded like these.
    """

    every: int
    terms: Mapping[str, Node]
    measured: tuple[Node, ...] = ()
    parts: tuple[str, ...] = ()  # what `recorded` gives, by its names in the history
    columns: tuple[PointSet, ...] = ()  # whose points have a number each, column by column

    @abc.abstractmethod
    def init(self, dtype: Any) -> Any:
        """Its state at the beginning, the same on all shards."""

    @abc.abstractmethod
    def update(self, state: Any, rows: Any, found: Sequence[Any], epoch: Any) -> tuple[Any, Any]:
        """The next state, and what single points have, from the values of `measured`."""

    @abc.abstractmethod
    def recorded(self, state: Any, found: Sequence[Any]) -> list[Any]:
        """The values of `parts`, after an update."""

    def knobs(self, state: Any) -> dict[Trainable, Any]:
        """The numbers that it sets in the terms."""
        return {}

    def init_rows(self, dtype: Any) -> Any:
        """What a single point has at the beginning, for each column."""
        return ()

    def weights(self, rows: Any) -> list[Array]:
        """The columns, of what single points have."""
        return []

    def says(self, epochs: np.ndarray, values: Sequence[np.ndarray], before: Mapping[str, Any]) -> list[str]:
        """What to tell a person who watches, of the values recorded at some epochs; `before` are the last ones."""
        return []


class AdaptiveMethod(abc.ABC):
    """What a user asks for; `bind` gives it the terms of the problem."""

    @abc.abstractmethod
    def bind(self, terms: Mapping[str, Node], wrt: tuple[Selection, ...]) -> AdaptiveRule:
        """Raises ValueError where it does not go with the terms."""


def check_every(what: str, every: Any) -> None:
    """Refuse what is no number of epochs."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"{what}: every={every!r} must be a whole number of epochs, at least 1")


def check_within(what: str, name: str, value: float, least: float, most: float) -> None:
    """Refuse a number outside of an interval."""
    if not least <= value <= most:
        raise ValueError(f"{what}: {name}={value!r} must be a number from {least:g} to {most:g}")


def check_names(what: str, names: Sequence[str], terms: Mapping[str, Node]) -> None:
    """Refuse names that no term has."""
    for name in names:
        if name not in terms:
            raise ValueError(f"{what}('{name}'): the terms are {', '.join(terms)}")
