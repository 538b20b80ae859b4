"""Mistakes that show when a node is built. `node.py` builds on this module, so nodes come in as arguments."""

from collections.abc import Sequence
from typing import Any

from .ops import Call, Label, Op, Reduce, Restrict, RowMean
from .trainable import Selection
from .traversal import all_nodes

ELEMENTWISE = {"+", "-", "*", "/", "**"}


def refuse_group(op: Op, args: Sequence[Any]) -> None:
    if isinstance(op, (Reduce, RowMean, Label)):
        return
    for arg in args:
        if isinstance(arg.op, Restrict):
            field, group = arg.args
            raise TypeError(
                f"{arg} is a group of points: reduce it first ({arg}.mse), or compute on all points and restrict "
                f"the result ((…)[{group}].mean). To keep all points, write tx.np.where({group}, {field}, 0)"
            )


def refuse_absent(node: Any, selections: Sequence[Selection]) -> None:
    """A derivative by what a value does not depend on would be zeros, which look like a finding."""
    held = dict.fromkeys(each.op.trainable for each in all_nodes([node]) if isinstance(each.op, Call))
    if not any(selection.trainable in held for selection in selections):
        wrt = ", ".join(selection.trainable.name for selection in selections)
        raise ValueError(
            f"{node}.grad({wrt}): it depends on {', '.join(t.name for t in held) or 'nothing that can be trained'}, so "
            f"the derivative is zero everywhere: name at least one that it depends on"
        )


def refuse_point_values(constant: Any, nodes: Sequence[Any], operation: str) -> None:
    """An array with one number per point is not a constant: it would broadcast to N x N."""
    for node in nodes:
        wider = not node.shape or (operation in ELEMENTWISE and len(constant.shape) > len(node.shape))
        if node.points is not None and wider and constant.shape[:1] == (len(node.points),) != (1,):
            raise ValueError(
                f"an array of shape {constant.shape} meets {node}, which has {len(node.points)} points on "
                f"'{node.points.tag}': an array in an expression is the same at every point. Write what depends on the "
                f"point with its coordinates; numbers that are known at the points are "
                f"domain.values('{node.points.tag}', array)"
            )
