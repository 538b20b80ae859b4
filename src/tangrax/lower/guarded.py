"""Fields that are wanted on groups alone, kept from being evaluated where they may be singular.

A mask after the fact does not do: zero times the infinite slope of an excluded point is NaN in the gradient.
"""

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ..expr import Node
from ..expr.ops import Apply, Call, Component, Constant
from ..expr.traversal import local_nodes
from .expand import indicator, largest_negative, mean_abs, mean_square
from .pointwise import Values
from .primitives import AtPoint

# Functions without a singularity at any finite argument; of all others, users' own among them, nothing is known.
_ENTIRE = {
    *(operator.add, operator.sub, operator.mul, operator.neg),
    *(jnp.sin, jnp.cos, jnp.tanh, jnp.square, jnp.abs, jnp.sign, jnp.maximum, jnp.minimum, jnp.where),
    *(jnp.mean, jnp.sum, jnp.max, jnp.dot, jnp.matmul, jnp.ravel, jax.lax.stop_gradient),
    *(indicator, mean_abs, mean_square, largest_negative),
}


def guarded(nodes: Iterable[Node]) -> dict[Node, tuple[Node, ...]]:
    """Fields that the sums among the nodes take of groups alone and that may be singular elsewhere, with the groups."""
    groups: dict[Node, dict[Node, None]] = {}
    everywhere = set()
    for node in nodes:
        field, *group = node.args
        if group:
            groups.setdefault(field, {}).update(dict.fromkeys(group))
        else:
            everywhere.add(field)
    return {
        field: tuple(within) for field, within in groups.items() if field not in everywhere and _may_be_singular(field)
    }


def moved(
    counted: Bool[Array, " rows"], values: Values, points: Any, scattered: Mapping[Node, Array]
) -> tuple[Values, Any, dict[Node, Array]]:
    """Values, points and scattered rows with the first point that counts in place of those that do not.

    Where none does, whatever comes out is masked, and no derivative reaches what it was computed from.
    """
    first, some = jnp.argmax(counted), counted.any()

    def unless_empty(x: Any) -> Any:
        return jnp.where(some, x, jax.lax.stop_gradient(x))

    def rows(x: Array) -> Array:
        return jnp.where(counted.reshape(-1, *(1,) * (x.ndim - 1)), x, x[first])

    parameters = {trainable: jax.tree.map(unless_empty, tree) for trainable, tree in values.parameters.items()}
    known = {node: unless_empty(value) for node, value in values.known.items()}
    fixed = values.with_parameters(parameters).with_known(known)
    return fixed, rows(points), {node: unless_empty(rows(x)) for node, x in scattered.items()}


def _may_be_singular(field: Node) -> bool:
    return not all(_is_entire(node) for node in local_nodes([field]))


def _is_entire(node: Node) -> bool:
    match node.op:
        case Apply():
            function, last = node.op.function, node.args[-1].op
            if function is operator.truediv:
                return isinstance(last, Constant)
            if function is operator.pow:
                return isinstance(last, Constant) and last.dtype == "int" and last.data >= 0
            return function in _ENTIRE or isinstance(function, Component)
        case Call():
            # A module of one's own, or a function, may hold anything.
            return not node.args or node.op.trainable.recipe is not None
        case AtPoint():
            return False
        case _:
            return True
