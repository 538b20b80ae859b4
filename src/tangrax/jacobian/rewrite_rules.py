"""Rewrites group means and squares of Jacobian rows in primitives, without forming the rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from ..expr import Node, apply, ops, split, within
from ..expr.products import RowSquares
from ..lower import AtPoint, at_point, gradient_of, mean, shared
from .cost_model import split_leaves
from .weight_factors import Split, factors_at, kernel
from .weight_tracing import TracedWeights, trace_weights


def row_mean(node: Node, args: Sequence[Node]) -> Node:
    """`J.mean`, `J[group].mean` in primitives.

    By product: the mean of rows is the gradient of the field's mean, one vector-Jacobian product and no rows. By
    rows: each shard forms its rows, adds up those in the group, and the sums are added over shards.
    """
    assert isinstance(node.op, ops.RowMean)
    rows, *group = split(args[0])
    assert isinstance(rows.op, ops.Jacobian)
    if node.op.by_rows:
        return mean(within(rows, *group))
    return gradient_of(mean(within(rows.args[0], *group)), rows.op.wrt)


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
        factors = factors_at(function, leaves, point, _fewer(trace_weights(function, leaves, point), leaves))
        return jnp.diagonal(kernel(factors, factors)).reshape(node.shape)


def _fewer(traced: TracedWeights, leaves: Sequence[Any]) -> Split:
    """Weights whose factors at a point are fewer numbers than their columns, and the biases that go with them."""
    factorable = split_leaves([traced], leaves, None)
    shapes = {weight: traced.uses_of(weight)[0].shape for weight in factorable.weights}
    weights = tuple(weight for weight, shape in shapes.items() if traced.count(weight) * sum(shape) < math.prod(shape))
    weight_of = {bias: traced.weight_of(bias) for bias in factorable.biases}
    return Split(weights, tuple(bias for bias, weight in weight_of.items() if weight and weight[0] in weights))


def row_squares(node: Node, args: Sequence[Node]) -> Node:
    """`J.gram().diagonal` in primitives; of a field that holds values of all points by rows, for it has no factors."""
    (rows,) = args
    return apply(_squares, "squares", rows) if shared([rows.args[0]]) else Node(FactoredSquares(), rows)


def _squares(rows):
    return jnp.sum(rows * rows, axis=-1)


RULES = {ops.RowMean: row_mean, RowSquares: row_squares}
