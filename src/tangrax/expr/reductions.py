"""Integrals of fields over the sets that points are spread over.

`node.py` builds on this module: new nodes are made by the type of those that come in.
"""

import math
from typing import TYPE_CHECKING

from .groups import split, within
from .ops import Measured
from .points import PointSet

if TYPE_CHECKING:
    from .node import Node


def integral(field: "Node") -> "Node":
    """The measure of the set times the mean of the field, or of the field where a group is and zero elsewhere.

    The mean is weighted where the points are those of a quadrature.
    """
    points = _points(field, "integral")
    if points.weights is not None:
        rows, *group = split(field)
        field = within(rows * type(field)(Measured(points, points.weights)), *group)
    return points.measure / len(points) * field.sum


def integral_error(field: "Node") -> "Node":
    """The measure of the set times the standard deviation of the field, over √N."""
    points = _points(field, "integral_error")
    if points.weights is not None:
        raise ValueError(
            f"{field}.integral_error: the points of '{points.tag}' are those of a Gauss-Legendre rule, whose error is "
            f"not that of random points: compare with other points, by .held_out(n).integral"
        )
    rows, *group = split(field)
    if not group:
        return points.measure / math.sqrt(len(points)) * field.std
    # Of the field where the group is and zero elsewhere.
    mean = field.sum / len(points)
    square = (rows**2)[group[0]].sum / len(points)
    return points.measure / math.sqrt(len(points)) * (square - mean**2) ** 0.5


def _points(field: "Node", what: str) -> PointSet:
    """The points of a field of one number per point; raises TypeError for any other node."""
    if field.points is None:
        raise TypeError(f"{field}.{what}: a term is one number: only a field has an integral over its points")
    if split(field)[0].shape:
        raise TypeError(
            f"{field}.{what}: its values have shape {split(field)[0].shape}: integrate a component, such as field[0]"
        )
    return field.points
