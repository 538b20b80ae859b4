"""Masks: the parameters that a Jacobian or gradient is taken with respect to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from .trainable import Trainable, is_parameter


@dataclass(frozen=True)
class Selection:
    """The parameters that a Jacobian is by: all leaves of a trainable, or those that `mask` has a True for."""

    trainable: Trainable
    mask: tuple[bool, ...] | None = None

    @classmethod
    def of(cls, trainable: Trainable, mask: Any) -> "Selection":
        """The leaves that a user's mask selects: a tree of bools built like the module or like its parameters.

        The two differ where a module has leaves that are no parameters (activations, numbers): what the mask says of
        those is ignored. None selects all. Raises TypeError for leaves that are no bools, ValueError for a tree of
        another structure and one that selects nothing.
        """
        return cls(trainable, None if mask is None else _flags(trainable, mask))

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

    def take(self, parameters: PyTree) -> list[Any]:
        """The selected leaves."""
        leaves = jax.tree.leaves(parameters)
        return [leaf for leaf, flag in zip(leaves, self.flags, strict=True) if flag]

    def put(self, parameters: PyTree, selected: Iterable[Any]) -> PyTree:
        """`parameters` with the selected leaves replaced."""
        leaves, tree = jax.tree.flatten(parameters)
        new = iter(selected)
        return tree.unflatten([next(new) if flag else leaf for leaf, flag in zip(leaves, self.flags, strict=True)])


def _flags(trainable: Trainable, mask: Any) -> tuple[bool, ...]:
    """One bool per parameter leaf."""
    like_parameters = jax.tree.structure(trainable.initial)
    like_module = jax.tree.structure(trainable.module)
    structure = jax.tree.structure(mask)
    if structure not in (like_parameters, like_module):
        raise ValueError(
            f"mask of '{trainable.name}' has another structure than the network: its {structure.num_leaves} leaves are "
            f"arranged neither like the {like_parameters.num_leaves} of net.params nor like the "
            f"{like_module.num_leaves} of net.module. Build it with jax.tree.map(lambda _: False, net.params) and "
            f"eqx.tree_at(...)"
        )
    leaves = jax.tree.leaves(mask)
    for leaf in leaves:
        if not isinstance(leaf, bool):
            raise TypeError(f"mask of '{trainable.name}': {leaf!r} is no bool; a mask has one True or False a leaf")
    if structure != like_parameters:
        of_module = jax.tree.leaves(trainable.module)
        leaves = [flag for flag, leaf in zip(leaves, of_module, strict=True) if is_parameter(leaf)]
    if not any(leaves):
        raise ValueError(
            f"mask of '{trainable.name}' selects no parameter: set at least one of "
            f"{', '.join(trainable.leaf_names)} to True, or use mask(None) for all"
        )
    return tuple(leaves)
