"""Trainables: the parameters of a network, or a scalar of the problem."""

from collections.abc import Callable
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
