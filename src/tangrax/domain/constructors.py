"""Shapes: with `n=` or `mesh_size=` each function returns a domain with points, else a shape to combine.

`**points` are the arguments of `Domain.sample`: `mesh_size`, `n`, `boundary`, `seed`, `sampler`. Lengths are in the
units of the coordinates.
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
    """Arguments of `Domain.sample`."""

    mesh_size: float | None
    n: int | None
    boundary: int | None
    seed: int
    sampler: str


def line(a: float = 0.0, b: float = 1.0, **points: Unpack[Points]) -> Domain:
    """The interval (a, b), with sides left and right.

    Args:
        a: lower end.
        b: upper end.
        **points: arguments of `Domain.sample`; `boundary` matters over time only, a steady interval has 2 ends.

    Raises:
        ValueError: the ends are not finite or not in order.
    """
    return box((a,), (b,), **points)


def rect(lower: Corner = (0.0, 0.0), upper: Corner = (1.0, 1.0), **points: Unpack[Points]) -> Domain:
    """The rectangle between two corners, with sides left, right, bottom and top.

    Args:
        lower: (x, y) of the lower left corner.
        upper: (x, y) of the upper right corner.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: a corner has not two coordinates, or they are not in order.
    """
    if len(lower) != 2 or len(upper) != 2:
        raise ValueError(f"rect({lower}, {upper}): a corner of a rectangle has two coordinates; see tx.domain.box")
    return box(lower, upper, **points)


def box(lower: Corner, upper: Corner, **points: Unpack[Points]) -> Domain:
    """The axis-parallel box between two corners in d dimensions, with sides x_min, x_max, y_min, …

    Args:
        lower: d smallest coordinates.
        upper: d largest coordinates.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the corners differ in length, are not finite or not in order.
    """
    return _with_points(Box(tuple(map(float, lower)), tuple(map(float, upper))), points)


def disk(center: Corner, radius: float, **points: Unpack[Points]) -> Domain:
    """A disk. Its boundary is the tag `boundary`; `.named(…)` adds a tag of its own.

    Args:
        center: (x, y).
        radius: positive.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the center has not two coordinates, or the radius is not positive.
    """
    if len(center) != 2:
        raise ValueError(f"disk({center}, {radius}): the center of a disk has two coordinates; see tx.domain.ball")
    return ball(center, radius, **points)


def ball(center: Corner, radius: float, **points: Unpack[Points]) -> Domain:
    """A ball in two or three dimensions.

    Args:
        center: 2 or 3 coordinates.
        radius: positive.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: another number of coordinates, or a radius that is not positive.
    """
    return _with_points(Ball(tuple(map(float, center)), float(radius)), points)


def annulus(center: Corner, inner: float, outer: float, **points: Unpack[Points]) -> Domain:
    """The ring between two concentric circles, with sides inner and outer.

    Args:
        center: (x, y).
        inner: smaller radius.
        outer: larger radius.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the center has not two coordinates, or the radii are not in order.
    """
    if len(center) != 2:
        raise ValueError(f"annulus({center}, …): the center of a ring has two coordinates; in space, ball - ball")
    if not inner < outer:
        raise ValueError(f"annulus(inner={inner}, outer={outer}): the inner radius must be below the outer one")
    middle = tuple(map(float, center))
    hole, whole = (Named(Ball(middle, float(r)), name) for r, name in ((inner, "inner"), (outer, "outer")))
    return _with_points(Combined(whole, hole, "-"), points)


def ellipse(center: Corner, radii: Corner, **points: Unpack[Points]) -> Domain:
    """An ellipse with axes along x and y; `.rotate(…)` turns it, `.named(…)` names its boundary.

    Args:
        center: (x, y).
        radii: semi-axes along x and y.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: another number of coordinates, or a radius that is not positive.
    """
    shape = Ellipse(tuple(map(float, center)), tuple(map(float, radii)))
    return _with_points(shape, points)


def polygon(
    corners: Sequence[Corner] | np.ndarray, names: Sequence[str | None] | None = None, **points: Unpack[Points]
) -> Domain:
    """A polygon.

    Args:
        corners: (m, 2) coordinates, in either orientation.
        names: the tag of each edge, that from corner 0 to corner 1 first; equal names are one tag, None is `boundary`
            only.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: edges intersect, corners repeat, the area vanishes, or `names` has another length.
    """
    for corner in corners:
        if len(corner) != 2:
            raise ValueError(f"polygon: corner {corner} must have two coordinates")
    vertices = tuple((float(x), float(y)) for x, y in corners)
    shape = Polygon(vertices, (None,) * len(vertices) if names is None else tuple(names))
    return _with_points(shape, points)


def triangle(
    a: Corner, b: Corner, c: Corner, names: Sequence[str | None] | None = None, **points: Unpack[Points]
) -> Domain:
    """A triangle.

    Args:
        a: (x, y) of a corner.
        b: (x, y) of a corner.
        c: (x, y) of a corner.
        names: tags of the edges ab, bc and ca, as in `polygon`.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the corners lie on one line, or `names` has another length.
    """
    return polygon((a, b, c), names, **points)


def extrusion(profile: Domain, low: float, high: float, **points: Unpack[Points]) -> Domain:
    """A plane shape extruded along z, with the sides of that shape, z_min and z_max.

    Args:
        profile: a shape in the plane, without points.
        low: smallest z.
        high: largest z.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the profile has points or is not plane, or the heights are not in order.
    """
    shape = Extruded(profile.bare("extrusion"), float(low), float(high))
    return _with_points(shape, points)


def cylinder(center: Corner, radius: float, low: float, high: float, **points: Unpack[Points]) -> Domain:
    """A cylinder along z, with sides wall, z_min and z_max; `.rotate(…)` turns it.

    Args:
        center: (x, y) of the axis.
        radius: positive.
        low: smallest z.
        high: largest z.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the center has not two coordinates, the radius is not positive, or the heights are not in order.
    """
    wall = disk(center, radius).named("wall")
    return extrusion(wall, low, high, **points)


def mesh(source: Source, names: Names = None, **points: Unpack[Points]) -> Domain:
    """The solid inside a closed triangulated surface, or the area that plane triangles cover.

    A solid needs `pip install 'tangrax[mesh]'`.

    Args:
        source: a file (STL, OBJ, PLY, OFF, GLB), or (vertices, triangles) of shapes (v, 3) or (v, 2), and (m, 3).
        names: the tag of each triangle, or a function of their centers and outward normals, each (m, 3), that returns
            m tags; equal names are one tag, None is `boundary` only. By default the named parts of a file. Not for
            plane triangles.
        **points: arguments of `Domain.sample`.

    Raises:
        ValueError: the surface is open, not manifold, flat or overlaps itself, or the file is damaged.
        ImportError: `tangrax[mesh]` is not installed.
    """
    return _with_points(read_mesh(source, names), points)


def _with_points(shape: Shape, points: Points) -> Domain:
    has_points = any(points.get(name) is not None for name in ("mesh_size", "n", "boundary"))
    return Domain(shape).sample(**points) if has_points else Domain(shape)
