"""The shapes there are, each by a function: with `n=` or `mesh_size=` a domain with points, else a shape to combine.

`**points` are the arguments of `Domain.sample`.
"""

from collections.abc import Sequence
from typing import TypedDict, Unpack

import numpy as np

from .domain import Domain
from .ellipses import Ellipse
from .extrusion import Extruded
from .mesh_files import Names, Source, read_mesh
from .polygons import Polygon
from .set_operations import Combined, Named
from .shapes import Ball, Box, Shape

Corner = Sequence[float] | np.ndarray


class Points(TypedDict, total=False):
    """What `Domain.sample` takes."""

    mesh_size: float | None
    n: int | None
    boundary: int | None
    seed: int
    sampler: str


def line(a: float = 0.0, b: float = 1.0, **points: Unpack[Points]) -> Domain:
    """The interval (a, b); its sides are left and right. `boundary` counts over time only: a steady one has 2."""
    return box((a,), (b,), **points)


def rect(lower: Corner = (0.0, 0.0), upper: Corner = (1.0, 1.0), **points: Unpack[Points]) -> Domain:
    """The rectangle between two corners; its sides are left, right, bottom and top."""
    if len(lower) != 2 or len(upper) != 2:
        raise ValueError(f"rect({lower}, {upper}): a corner of a rectangle has two coordinates; see tx.domain.box")
    return box(lower, upper, **points)


def box(lower: Corner, upper: Corner, **points: Unpack[Points]) -> Domain:
    """The axis-parallel box between two corners, in any dimension; its sides are x_min, x_max, y_min, …

    `mesh_size` makes a regular grid, `n` and `boundary` that many low-discrepancy points inside and on the boundary.
    """
    return _with_points(Box(tuple(map(float, lower)), tuple(map(float, upper))), points)


def disk(center: Corner, radius: float, **points: Unpack[Points]) -> Domain:
    """The disk round a center; its boundary has no name of its own unless `.named(…)` gives it one."""
    if len(center) != 2:
        raise ValueError(f"disk({center}, {radius}): the center of a disk has two coordinates; see tx.domain.ball")
    return ball(center, radius, **points)


def ball(center: Corner, radius: float, **points: Unpack[Points]) -> Domain:
    """The ball round a center, in two or three dimensions."""
    return _with_points(Ball(tuple(map(float, center)), float(radius)), points)


def annulus(center: Corner, inner: float, outer: float, **points: Unpack[Points]) -> Domain:
    """The ring between two circles round a center; its sides are inner and outer."""
    if len(center) != 2:
        raise ValueError(f"annulus({center}, …): the center of a ring has two coordinates; in space, ball - ball")
    if not inner < outer:
        raise ValueError(f"annulus(inner={inner}, outer={outer}): the inner radius must be below the outer one")
    middle = tuple(map(float, center))
    hole, whole = (Named(Ball(middle, float(r)), name) for r, name in ((inner, "inner"), (outer, "outer")))
    return _with_points(Combined(whole, hole, "-"), points)


def ellipse(center: Corner, radii: Corner, **points: Unpack[Points]) -> Domain:
    """The ellipse round a center, its radii along x and y; `.rotate(…)` turns it, `.named(…)` names its boundary."""
    shape = Ellipse(tuple(map(float, center)), tuple(map(float, radii)))
    return _with_points(shape, points)


def polygon(
    corners: Sequence[Corner] | np.ndarray, names: Sequence[str | None] | None = None, **points: Unpack[Points]
) -> Domain:
    """The polygon through corners, in either orientation.

    `names` has one for each edge, from corner 0 to corner 1 first: equal names are one tag, and an edge with None
    belongs to `boundary` alone.
    """
    for corner in corners:
        if len(corner) != 2:
            raise ValueError(f"polygon: corner {corner} must have two coordinates")
    found = tuple((float(x), float(y)) for x, y in corners)
    shape = Polygon(found, (None,) * len(found) if names is None else tuple(names))
    return _with_points(shape, points)


def triangle(
    a: Corner, b: Corner, c: Corner, names: Sequence[str | None] | None = None, **points: Unpack[Points]
) -> Domain:
    """The triangle between three corners; `names` for its edges ab, bc and ca."""
    return polygon((a, b, c), names, **points)


def extrusion(profile: Domain, low: float, high: float, **points: Unpack[Points]) -> Domain:
    """A plane shape drawn out along z from low to high; its sides are those of the plane shape, z_min and z_max."""
    shape = Extruded(profile.bare("extrusion"), float(low), float(high))
    return _with_points(shape, points)


def cylinder(center: Corner, radius: float, low: float, high: float, **points: Unpack[Points]) -> Domain:
    """The cylinder along z over a disk; its sides are wall, z_min and z_max. `.rotate(…)` turns it."""
    wall = disk(center, radius).named("wall")
    return extrusion(wall, low, high, **points)


def mesh(source: Source, names: Names = None, **points: Unpack[Points]) -> Domain:
    """The solid within a closed surface of triangles: a file (STL, OBJ, PLY, …), or (vertices, triangles).

    With vertices in the plane, what the triangles fill; then there are no names.

    `names` has one for each triangle, or is a function of their centers and normals, each (m, 3), that returns them:
    equal names are one tag, and a triangle with None belongs to `boundary` alone. Pieces of a file that have names are
    tags unless said otherwise. Needs `tangrax[mesh]`.
    """
    return _with_points(read_mesh(source, names), points)


def _with_points(shape: Shape, points: Points) -> Domain:
    given = any(points.get(name) is not None for name in ("mesh_size", "n", "boundary"))
    return Domain(shape).sample(**points) if given else Domain(shape)
