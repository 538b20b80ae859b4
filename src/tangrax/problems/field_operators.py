"""Operators on fields that several problems have."""

import functools
import operator
from collections.abc import Sequence

from ..expr import Node


def total(fields: Sequence[Node]) -> Node:
    """Return the sum of fields."""
    return functools.reduce(operator.add, fields)


def diffusion(a: Node, u: Node, x: Node, y: Node) -> Node:
    """Return div(a ∇u)."""
    return (a * u.d(x)).d(x) + (a * u.d(y)).d(y)
