"""A field at other points of its tag: what training did not see.

`node.py` builds on this module, so nodes come in as arguments, and new ones are made by their type.
"""

from numbers import Integral
from typing import Any

from .ops import Coordinate, Measured
from .products import PerPoint
from .traversal import all_nodes


def held_out(field: Any, n: int | None, seed: int) -> Any:
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
    done: dict[Any, Any] = {}
    for node in all_nodes([field]):
        op = node.op
        if isinstance(op, (PerPoint, Measured)) and op.points is points:
            raise ValueError(
                f"{field}.held_out(): the expression holds {node}, an entry for each of the {len(points)} points "
                f"of '{points.tag}'; of other points it says nothing. Write it as a field of the coordinates"
            )
        if isinstance(op, Coordinate) and op.points is points:
            op = Coordinate(other, op.axis)
        done[node] = type(node)(op, *[done[arg] for arg in node.args])
    return done[field]
