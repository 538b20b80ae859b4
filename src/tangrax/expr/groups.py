"""A field on a group of points, taken apart and put together again."""

from typing import TYPE_CHECKING

from .ops import Restrict

if TYPE_CHECKING:
    from .node import Node


def split(field: "Node") -> "tuple[Node, ...]":
    """(field,) or, of `field[group]`, (field, group)."""
    return field.args if isinstance(field.op, Restrict) else (field,)


def within(field: "Node", *group: "Node") -> "Node":
    """`field[group]`, or the field where there is no group: what `split` took apart."""
    return field[group[0]] if group else field
