"""What an optimizer may change: the parameters of a network, or a scalar of the problem."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np


class Trainable:
    """The identity of a network or a trainable scalar; handles that name the same one share it.

    `initial` is a tree whose leaves are the inexact arrays that can be trained, `apply(parameters, inputs)`
    the value at one point. Nothing here changes after construction: a solver owns the trained parameters.
    """

    def __init__(
        self,
        name: str,
        initial: Any,
        apply: Callable[[Any, Any], Any],
        module: Any,
        recipe: dict[str, Any] | None = None,
    ):
        self.name = name
        self.initial = initial
        self.apply = apply
        self.module = module
        self.recipe = recipe  # plain data that says how to build the module anew, if it can be said
        leaves = jax.tree_util.tree_flatten_with_path(initial)[0]
        if not leaves:
            raise ValueError(f"'{name}' has no parameters: none of its leaves is an array of floats")
        self.leaf_names = tuple(jax.tree_util.keystr(path) for path, _ in leaves)
        self.leaf_shapes = tuple(np.shape(leaf) for _, leaf in leaves)

    def __repr__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """Number of trainable numbers."""
        return sum(int(np.prod(shape)) for shape in self.leaf_shapes)


@dataclass(frozen=True)
class Selection:
    """Which parameters a Jacobian is taken with respect to: all leaves of a trainable, or some."""

    trainable: Trainable
    mask: tuple[bool, ...] | None = None

    @property
    def flags(self) -> tuple[bool, ...]:
        return self.mask if self.mask is not None else (True,) * len(self.trainable.leaf_shapes)

    @property
    def leaf_sizes(self) -> tuple[int, ...]:
        """Numbers in each selected leaf."""
        shapes = zip(self.flags, self.trainable.leaf_shapes, strict=True)
        return tuple(int(np.prod(shape)) for flag, shape in shapes if flag)

    @property
    def leaf_names(self) -> tuple[str, ...]:
        """The selected leaves as Python would reach them: `net.layers[0].weight`."""
        names = zip(self.flags, self.trainable.leaf_names, strict=True)
        return tuple(f"{self.trainable.name}{name}" for flag, name in names if flag)

    @property
    def size(self) -> int:
        """P, the number of selected parameters."""
        return sum(self.leaf_sizes)

    def take(self, parameters: Any) -> list[Any]:
        """The selected leaves."""
        leaves = jax.tree.leaves(parameters)
        return [leaf for leaf, flag in zip(leaves, self.flags, strict=True) if flag]

    def put(self, parameters: Any, selected: Iterable[Any]) -> Any:
        """`parameters` with the selected leaves replaced."""
        leaves, tree = jax.tree.flatten(parameters)
        new = iter(selected)
        return tree.unflatten([next(new) if flag else leaf for leaf, flag in zip(leaves, self.flags, strict=True)])
