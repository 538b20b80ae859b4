"""A field at other points of its tag, held out of training.

`node.py` builds on this module: new nodes are made by the type of those that come in.
"""

from numbers import Integral
from typing import TYPE_CHECKING

from .ops import Coordinate, Measured, Scattered
from .traversal import all_nodes

if TYPE_CHECKING:
    from .node import Node


def held_out(field: "Node", n: int | None, seed: int) -> "Node":
    """The field with all coordinates of its tag exchanged for those of `n` other points, drawn by `seed`."""
    points = field.points
    if points is None:
        raise TypeError(
            f"{field}.held_out(): a term has no points of its own: hold out the field that it is made of, as in "
            f"pde.held_out({n or 2000}).mse"
        )
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if name == "n" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{field}.held_out({name}={value!r}): a whole number, {least} or more")
    other = points.held_out(len(points) if n is None else int(n), int(seed))
    moved: dict[Node, Node] = {}
    for node in all_nodes([field]):
        op = node.op
        if isinstance(op, (Scattered, Measured)) and op.points is points:
            raise ValueError(
                f"{field}.held_out(): the expression holds {node}, an entry for each of the {len(points)} points "
                f"of '{points.tag}'; of other points it says nothing. Write it as a field of the coordinates"
            )
        if isinstance(op, Coordinate) and op.points is points:
            op = Coordinate(other, op.axis)
        moved[node] = type(node)(op, *[moved[arg] for arg in node.args])
    return moved[field]
