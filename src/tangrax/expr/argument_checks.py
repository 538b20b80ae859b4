"""Checks of the arguments that a node is built from. `node.py` builds on this module."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .masks import Selection
from .ops import Call, Coordinate, Label, Op, Opaque, Reduce, Restrict, RowMean
from .traversal import all_nodes, local_nodes

if TYPE_CHECKING:
    from .node import Node

ELEMENTWISE = {"+", "-", "*", "/", "**"}


def refuse_group(op: Op, args: "Sequence[Node]") -> None:
    """Raise TypeError where a group of points is an argument of anything but a reduction or a label."""
    if isinstance(op, (Reduce, RowMean, Label)):
        return
    for arg in args:
        if isinstance(arg.op, Restrict):
            field, group = arg.args
            raise TypeError(
                f"{arg} is a group of points: reduce it first ({arg}.mse), or compute on all points and restrict "
                f"the result ((…)[{group}].mean). To keep all points, write tx.np.where({group}, {field}, 0)"
            )


def refuse_absent(node: "Node", selections: Sequence[Selection]) -> None:
    """Raise ValueError where a value depends on none of the parameters: zeros would look like a finding."""
    present = dict.fromkeys(part.op.trainable for part in all_nodes([node]) if isinstance(part.op, Call))
    if not any(selection.trainable in present for selection in selections):
        wrt = ", ".join(selection.trainable.name for selection in selections)
        names = ", ".join(trainable.name for trainable in present) or "nothing that can be trained"
        raise ValueError(
            f"{node}.grad({wrt}): it depends on {names}, so the derivative is zero everywhere: name at least one that "
            f"it depends on"
        )


def refuse_point_values(constant: "Node", nodes: "Sequence[Node]", operation: str) -> None:
    """Raise ValueError for an array with one number per point: as a constant it would broadcast to N x N."""
    for node in nodes:
        wider = not node.shape or (operation in ELEMENTWISE and len(constant.shape) > len(node.shape))
        if node.points is not None and wider and constant.shape[:1] == (len(node.points),) != (1,):
            raise ValueError(
                f"an array of shape {constant.shape} meets {node}, which has {len(node.points)} points on "
                f"'{node.points.tag}': an array in an expression is the same at every point. Write what depends on the "
                f"point with its coordinates; numbers that are known at the points are "
                f"domain.values('{node.points.tag}', array)"
            )


def axis_of(field: "Node", coordinate: Any) -> int:
    """Index of a coordinate among the axes of the field's points; raises where there is no such derivative."""
    op = getattr(coordinate, "op", None)
    if not isinstance(op, Coordinate):
        raise TypeError(
            f"{field} cannot be differentiated along {coordinate}: give a coordinate that domain.variable() returned"
        )
    if field.points is not None and field.points is not op.points:
        raise ValueError(
            f"{field} lives on the points of '{field.points.tag}' and coordinate {coordinate} on those of "
            f"'{op.points.tag}': differentiate along the coordinate it is written with"
        )
    if field.facts.kind != "f":
        raise TypeError(f"{field} is not made of real numbers: it has no derivative")
    for node in local_nodes([field]):
        if isinstance(node.op, Opaque) and node.points is not None:
            raise ValueError(
                f"{node} sees all points at once, so it has no derivative at one of them. If {node.op.name} "
                f"acts on each point alone, write tx.np.function({node.op.name}, [...], pointwise=True)"
            )
    return op.axis


def checked_selections(node: "Node", handles: Sequence[Any]) -> tuple[Selection, ...]:
    """The parameters of the handles that `node.grad(*handles)` is by; raises where there is no such derivative."""
    if not handles:
        raise ValueError(f"{node}.grad(): name the network or parameter to differentiate with respect to")
    selections = []
    for handle in handles:
        selection = getattr(handle, "selection", None)
        if not isinstance(selection, Selection):
            raise TypeError(
                f"{node}.grad({handle!r}): give what tx.nn.wrap or tx.nn.parameter returned. "
                f"(Derivatives in space and time are .d, .d2 and .laplacian)"
            )
        selections.append(selection)
    if len({selection.trainable for selection in selections}) < len(selections):
        raise ValueError(f"{node}.grad(): a network is named twice")
    refuse_absent(node, selections)
    return tuple(selections)
