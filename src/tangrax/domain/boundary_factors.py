"""Functions that vanish on the boundary of a shape and nowhere inside: hard constraints (an ansatz) on it.

Rvachev's functions: Shapiro, Acta Numerica 16 (2007), 239-303; Sukumar and Srivastava, CMAME 389 (2022) 114333.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, reduce, singledispatch
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .ellipses import Ellipse
from .extrusion import Extruded
from .polygons import Polygon
from .samplers import sobol
from .set_operations import Combined, Named
from .shapes import Ball, Box, Shape
from .transforms import Moved

LOOKED_AT = 1024  # points by which a factor is scaled to be 1 at most
APART = 1e-4  # of a shape's size: how far beside a wall one looks
# Of a regular polygon of n corners the product of heights, 1 in the middle, rises by n² / 2ⁿ⁻¹ from the middle of an
# edge: 2 for a square, 1 for a hexagon, 1e-14 for 60 corners.
MOST_HEIGHTS = 6

Value = Float[Array, ""]
Point = Float[Array, " d"]


@dataclass(frozen=True)
class Factor:
    """The factor of a shape as a function of coordinates, scaled so that it is about 1 where it is largest."""

    shape: Shape

    def __call__(self, *coordinates: Value) -> Value:
        return value(self.shape, jnp.stack(coordinates)) / largest(self.shape)


@cache
def largest(shape: Shape) -> float:
    """What the factor of a shape comes to inside, before it is scaled; raises where it has none."""
    points, inside = shape.interior(sobol(LOOKED_AT, shape.dimension, 0))
    maximum = float(_values(shape, points[inside]).max())
    _refuse_shared_walls(shape)
    return maximum


def _refuse_shared_walls(shape: Shape) -> None:
    """Raise where two boundaries run together: inside, it is zero there; on the boundary, its slope is."""
    walls = shape.surface(sobol(LOOKED_AT, shape.dimension, 0))
    points, step = walls.points, APART * shape.size * walls.normals
    between = ~walls.on_boundary & shape.inside(points - step) & shape.inside(points + step)
    at, *beside = (_values(shape, near[between]) for near in (points, points - step, points + step))
    inner = np.flatnonzero(at < np.min(beside, axis=0) / 20)
    near, far = (_values(shape, (points - steps * step)[walls.on_boundary]) for steps in (1, 2))
    outer = np.flatnonzero(far > 3.5 * near)  # 2 where it rises with a slope, 4 with none, and by chance at a corner
    if len(inner) or len(outer) > walls.on_boundary.sum() / 100:
        place, what = (
            (points[between][inner[0]], "itself") if len(inner) else (points[walls.on_boundary][outer[0]], "its slope")
        )
        raise ValueError(
            f"factor: two pieces of {shape} share a wall, as at ({', '.join(f'{c:.4g}' for c in place)}), and {what} "
            f"would be zero there: let one reach beyond the other, or make one polygon of them"
        )


def _values(shape: Shape, points: np.ndarray) -> np.ndarray:
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        return np.asarray(jax.jit(jax.vmap(lambda point: value(shape, point)))(jnp.asarray(points)))


@singledispatch
def value(shape: Shape, x: Point, signed: int = 0) -> Value:
    """Above zero inside, zero on the boundary; below zero outside if `signed`, else of no use there.

    `signed` is 1 where the domain lies inside of the shape, -1 where outside: one-sided derivatives on the boundary are
    of that side. Where two boundaries meet at a corner it is the product of theirs, as a smooth solution is there; if
    signed, at a corner that points inwards, and at those of polygons of many corners, it has no second derivatives.
    """
    raise ValueError(
        f"factor: there is none for {shape}, nor for what is made of it: give the condition on its boundary as a term"
    )


@value.register
def _(shape: Box, x: Point, signed: int = 0) -> Value:
    return reduce(_join(signed), _between(shape.lower, shape.upper, x))


@value.register
def _(shape: Ball, x: Point, signed: int = 0) -> Value:
    return 1 - jnp.sum((x - jnp.asarray(shape.center)) ** 2) / shape.radius**2


@value.register
def _(shape: Ellipse, x: Point, signed: int = 0) -> Value:
    return 1 - jnp.sum(((x - jnp.asarray(shape.center)) / jnp.asarray(shape.radii)) ** 2)


@value.register
def _(shape: Polygon, x: Point, signed: int = 0) -> Value:
    shape = shape.simplified  # an edge in two pieces would count twice, and rise from zero with a zero slope
    if shape.convex and len(shape.corners) <= MOST_HEIGHTS:
        return reduce(_join(signed), shape.heights(x, jnp) / (shape.widths / 2))
    return _along_edges(shape, x, signed or 1) * (shape.size / shape.depth)


@value.register
def _(shape: Extruded, x: Point, signed: int = 0) -> Value:
    return _join(signed)(value(shape.profile, x[:2], signed), _between(shape.low, shape.high, x[2]))


@value.register
def _(shape: Moved, x: Point, signed: int = 0) -> Value:
    return value(shape.shape, shape.back(x, jnp), signed)


@value.register
def _(shape: Named, x: Point, signed: int = 0) -> Value:
    return value(shape.shape, x, signed)


@value.register
def _(shape: Combined, x: Point, signed: int = 0) -> Value:
    match shape.operation:
        case "-":
            return _join(signed)(value(shape.first, x, signed), -value(shape.second, x, -(signed or 1)))
        case "&":
            return _join(signed)(value(shape.first, x, signed), value(shape.second, x, signed))
    return either(value(shape.first, x, signed or 1), value(shape.second, x, signed or 1))


def _join(signed: int) -> Callable[[Value, Value], Value]:
    """What is above zero where two are."""
    return both if signed else jnp.multiply


def both(a: Value, b: Value) -> Value:
    """Above zero where both are: a + b - √(a² + b²)."""
    return a + b - _hypot(a, b)


def either(a: Value, b: Value) -> Value:
    """Above zero where one of them is: a + b + √(a² + b²)."""
    return a + b + _hypot(a, b)


def _hypot(a: Value, b: Value) -> Value:
    # At a corner both are zero, where a root has no slope.
    square = a**2 + b**2
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)


def _between(lower: Any, upper: Any, x: Array) -> Array:
    """1 in the middle, zero at both ends."""
    lower, upper = np.asarray(lower), np.asarray(upper)
    return 4 * (x - lower) * (upper - x) / (upper - lower) ** 2


def _along_edges(shape: Polygon, x: Point, side: int) -> Value:
    """Distances from the edges, joined: of each its line, bent round its ends; above zero inside, below it outside.

    Sukumar and Srivastava, equations (9) and (11) with m = 1, in units of the shape's size. An unsigned distance has no
    slope at zero, so the nearest one is the signed height above its line, continued smoothly across the edge.
    """
    eps = jnp.finfo(x.dtype).eps
    starts, ends = shape.edges
    heights = shape.heights(x, jnp) / shape.size
    from_start, from_end = ((x[None] - jnp.asarray(corners)) / shape.size for corners in (starts, ends))
    within = -jnp.sum(from_start * from_end, axis=1) / (np.linalg.norm(ends - starts, axis=1) / shape.size)
    # What is left out at small heights is below rounding, and would be of no order that float32 can hold.
    bent = abs(heights) > eps**0.75
    root = jnp.where(bent, jnp.sqrt(jnp.where(bent, within**2 + heights**4, 1)), abs(within))
    # √(t² + f⁴) - t is f⁴ / (√(t² + f⁴) + t), without loss of digits where t is large.
    beside = bent & (within > 0)
    tilt = jnp.where(beside, heights**3 / (2 * jnp.where(beside, root + within, 1)), 0)
    square = heights**2 + (root - within) ** 2 / 4
    past = (within <= 0) & (square > eps**2)
    lines = jnp.where(past, jnp.sqrt(jnp.where(past, square, 1)), heights * jnp.sqrt(1 + tilt**2))

    distances = abs(lines)
    nearest = jnp.arange(len(lines)) == jnp.argmin(distances)
    line = jnp.sum(jnp.where(nearest, lines, 0))
    # Ends have no sign, and the line of an edge that is not the nearest by length may have another.
    inside = shape.level(x, jnp) < 0
    line = jnp.where((abs(line) > 16 * eps) & ((line > 0) != inside), -line, line)
    others = ~nearest & (distances > eps)
    shares = jnp.sum(jnp.where(others, line / jnp.where(others, distances, 1), 0))
    # 1 / Σ 1/d inside, its negative outside; where the two agree to rounding, that of the side on which the domain is.
    return line / (1 + shares * jnp.where(abs(shares) < eps**0.5, side, jnp.where(line < 0, -1, 1)))
