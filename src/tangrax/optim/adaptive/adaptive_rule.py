"""Adaptive loss weights and gradient-conflict rules, updated every k epochs: the spec of a user, the compiled rule."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, PyTree

from ...expr import Node, PointSet, Selection, Trainable, ops


class AdaptiveWeight(Trainable):
    """Positive numbers in terms that a rule sets, where an optimizer would train them."""

    def __init__(self, name: str, initial: PyTree):
        value = jnp.asarray(np.asarray(initial), dtype=float)
        super().__init__(name, value, lambda current, arguments: current, value)

    @property
    def node(self) -> Node:
        return Node(ops.Call(self, None, True))


class AdaptiveRule(abc.ABC):
    """A method compiled for the terms of a problem: changes them, and sets weights in them every `interval` epochs.

    Weights of terms are values of trainables that no optimizer trains; weights of single points are columns beside
    the coordinates, sharded like these.
    """

    interval: int
    terms: Mapping[str, Node]  # as changed
    measured: tuple[Node, ...] = ()  # what an update is made from
    names: tuple[str, ...] = ()  # of what is recorded, in the history
    columns: tuple[PointSet, ...] = ()  # tags whose points have a weight each, column by column

    @abc.abstractmethod
    def init(self, dtype: DTypeLike) -> PyTree:
        """The state before the first update, the same on all shards."""

    @abc.abstractmethod
    def update(self, state: PyTree, rows: Any, values: Sequence[Any], epoch: ArrayLike) -> tuple[Any, Any]:
        """The next state, and state of each point, from the values of `measured`."""

    @abc.abstractmethod
    def recorded(self, state: PyTree, values: Sequence[Any]) -> list[Any]:
        """The numbers recorded under `names`, after an update from the values of `measured`."""

    def term_weights(self, state: PyTree) -> dict[Trainable, Any]:
        """The values of trainables that it sets in the terms."""
        return {}

    def init_rows(self, dtype: DTypeLike) -> PyTree:
        """The state of one point before the first update, for each column."""
        return ()

    def point_weights(self, rows: Any) -> list[Array]:
        """The columns, from the states of all points."""
        return []

    def messages(self, epochs: np.ndarray, values: Sequence[np.ndarray], before: Mapping[str, Any]) -> list[str]:
        """Messages about the values recorded at some epochs; `before` are the last ones."""
        return []


class AdaptiveMethod(abc.ABC):
    """What a user writes, before there is a problem."""

    @abc.abstractmethod
    def compile(self, terms: Mapping[str, Node], wrt: tuple[Selection, ...]) -> AdaptiveRule:
        """The rule for the terms of a problem; raises ValueError where it does not go with them."""


def check_interval(what: str, every: object) -> None:
    """Raise ValueError unless `every` is a whole number of epochs."""
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"{what}: every={every!r} must be a whole number of epochs, at least 1")


def check_within(what: str, name: str, value: float, least: float, most: float) -> None:
    """Raise ValueError for a number outside of [least, most]."""
    if not least <= value <= most:
        raise ValueError(f"{what}: {name}={value!r} must be a number from {least:g} to {most:g}")


def check_names(what: str, names: Sequence[str], terms: Mapping[str, Node]) -> None:
    """Raise ValueError for a name that no term has."""
    for name in names:
        if name not in terms:
            raise ValueError(f"{what}('{name}'): the terms are {', '.join(terms)}")
