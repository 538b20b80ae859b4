"""Group means of Jacobian rows, g_A = mean of J's rows over the points of A: two ways to the same vector."""

from collections.abc import Sequence

from ..expr import Node, ops
from ..expr.products import RowSquares
from ..lower import gradient_of, mean
from .diagonal import row_squares


def row_mean(node: Node, args: Sequence[Node]) -> Node:
    """`J.mean`, `J[group].mean` in primitives.

    By product: the mean of rows is the gradient of the field's mean, one vector-Jacobian product and no rows. By
    rows: each shard forms its rows, adds up those in the group, and the sums are added over shards.
    """
    assert isinstance(node.op, ops.RowMean)
    inner = args[0]
    rows, *group = inner.args if isinstance(inner.op, ops.Restrict) else (inner,)
    assert isinstance(rows.op, ops.Jacobian)

    def restricted(field: Node) -> Node:
        return Node(ops.Restrict(), field, *group) if group else field

    if node.op.by_rows:
        return mean(restricted(rows))
    return gradient_of(mean(restricted(rows.args[0])), rows.op.wrt)


RULES = {ops.RowMean: row_mean, RowSquares: row_squares}
