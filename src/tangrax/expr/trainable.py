"""Trainables: the parameters of a network, or a scalar of the problem."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ..processes import refuse_fork
from .constants import as_jax, refuse_complex, refuse_masked
from .names import checked_name


def is_parameter(leaf: object) -> bool:
    """Whether a leaf can be trained: an array of floats. Numbers, Python's and NumPy's, are part of the function."""
    return isinstance(leaf, (jax.Array, np.ndarray)) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def parted(what: str, tree: PyTree) -> tuple[Any, Any]:
    """A tree's parameters, as arrays of JAX, and the rest of it; TypeError for complex parameters."""
    refuse_fork(what)
    parameters, rest = eqx.partition(tree, is_parameter)
    for path, leaf in jax.tree_util.tree_leaves_with_path(parameters):
        refuse_complex(f"{what}: parameter {jax.tree_util.keystr(path)}", leaf.dtype)
    # A NumPy number has a precision of its own, which the run's must not turn into.
    rest = jax.tree.map(lambda leaf: leaf.item() if isinstance(leaf, np.generic) else leaf, rest)
    return jax.tree.map(as_jax, parameters), rest


class Trainable:
    """The identity of a network or a trainable scalar; handles that name the same one share it.

    `initial` is a tree whose leaves are the inexact arrays that can be trained, `apply(parameters, inputs)`
    the value at one point. Nothing here changes after construction: a solver owns the trained parameters.
    """

    def __init__(
        self,
        name: str,
        initial: PyTree,
        apply: Callable[[Any, Any], Any],
        module: PyTree,
        recipe: dict[str, Any] | None = None,
    ):
        self.name = checked_name("a network or parameter", name)
        self.initial = initial
        self.apply = apply
        self.module = module
        self.recipe = recipe  # plain data that says how to build the module anew, if it can be said
        for path, leaf in jax.tree_util.tree_flatten_with_path(module)[0]:
            refuse_masked(f"parameters of '{name}', {jax.tree_util.keystr(path) or 'its array'}", leaf)
        leaves = jax.tree_util.tree_flatten_with_path(initial)[0]
        if not leaves:
            raise ValueError(
                f"'{name}' has no parameters: none of its leaves is an array of floats (a Python number is a constant; "
                f"jnp.asarray(1.0) is trained)"
            )
        self.leaf_names = tuple(jax.tree_util.keystr(path) for path, _ in leaves)
        self.leaf_shapes = tuple(np.shape(leaf) for _, leaf in leaves)

    def __repr__(self) -> str:
        return self.name

    @property
    def constants(self) -> list[np.ndarray]:
        """Numbers and arrays among the module's leaves that are not trained: part of what the network is."""
        leaves = [leaf for leaf in jax.tree.leaves(self.module) if eqx.is_array_like(leaf) and not is_parameter(leaf)]
        return [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in leaves]

    @property
    def size(self) -> int:
        """Number of trainable numbers."""
        return sum(int(np.prod(shape)) for shape in self.leaf_shapes)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


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
