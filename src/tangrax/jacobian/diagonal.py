"""The diagonal of K, |row of J|² at each point, without the columns of weights whose factors are fewer numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from ..expr import Node, apply, ops
from ..lower import AtPoint, at_point, shared
from .cost import split
from .factors import Split, factors_at, kernel
from .trace import Found, look


@dataclass(frozen=True)
class FactoredSquares(AtPoint):
    """|row|² of each row of J at a point, Σ_{s,t} (b_s·b_t)(a_s·a_t) for weights that go by factors."""

    def infer(self, args, texts):
        return ops.Facts(args[0].points, args[0].shape[:-1])

    def text(self, args):
        return f"{args[0]}.gram().diagonal"

    def at(self, node: Node, values: Any, point: Any) -> Any:
        rows = node.args[0]
        assert isinstance(rows.op, ops.Jacobian)
        function = at_point(rows.args[0], rows.op.wrt, values.parameters)
        leaves = [leaf for s in rows.op.wrt for leaf in s.take(values.parameters[s.trainable])]
        factors = factors_at(function, leaves, point, _fewer(look(function, leaves, point), leaves))
        return jnp.diagonal(kernel(factors, factors)).reshape(node.shape)


def _fewer(found: Found, leaves: Sequence[Any]) -> Split:
    """The weights whose factors at a point are fewer numbers than their columns, and the biases that go with them."""
    every = split([found], leaves, None)
    shapes = {weight: found.of(weight)[0].shape for weight in every.weights}
    weights = tuple(weight for weight, shape in shapes.items() if found.count(weight) * sum(shape) < math.prod(shape))
    homes = {bias: found.home(bias) for bias in every.biases}
    return Split(weights, tuple(bias for bias, home in homes.items() if home and home[0] in weights))


def row_squares(node: Node, args: Sequence[Node]) -> Node:
    """`J.gram().diagonal` in primitives; of a field that holds values of all points by rows, for it has no factors."""
    (rows,) = args
    return apply(_squares, "squares", rows) if shared([rows.args[0]]) else Node(FactoredSquares(), rows)


def _squares(rows):
    return jnp.sum(rows * rows, axis=-1)
