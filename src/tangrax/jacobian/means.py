"""Group means of Jacobian rows, g_A = mean of J's rows over the points of A: two ways to the same vector."""

from collections.abc import Sequence

from ..expr import Node, ops, split, within
from ..expr.products import RowSquares
from ..lower import gradient_of, mean
from .diagonal import row_squares


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


RULES = {ops.RowMean: row_mean, RowSquares: row_squares}
