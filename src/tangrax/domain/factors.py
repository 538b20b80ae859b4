"""Functions that vanish on the boundary of a shape and nowhere inside: conditions on it by the form of a solution.

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

from .combined import Combined, Named
from .ellipses import Ellipse
from .extruded import Extruded
from .moved import Moved
from .polygons import Polygon
from .samplers import sobol
from .shapes import Ball, Box, Shape

LOOKED_AT = 1024  # points by which a factor is scaled to be 1 at most

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
    """What the factor of a shape comes to inside, before it is scaled."""
    points, inside = shape.interior(sobol(LOOKED_AT, shape.dimension, 0))
    with jax.ensure_compile_time_eval():
        found = jax.jit(jax.vmap(lambda point: value(shape, point)))(jnp.asarray(points[inside]))
        return float(jnp.max(found))


@singledispatch
def value(shape: Shape, x: Point, signed: bool = False) -> Value:
    """Above zero inside, zero on the boundary; below zero outside if `signed`, else of no use there.

    Where two boundaries meet at a corner it is the product of theirs, as a smooth solution is there; if signed, and at
    a corner that points inwards, it has no second derivatives.
    """
    raise ValueError(
        f"factor: there is none for {shape}, nor for what is made of it: give the condition on its boundary as a term"
    )


@value.register
def _(shape: Box, x: Point, signed: bool = False) -> Value:
    return reduce(_join(signed), _between(shape.lower, shape.upper, x))


@value.register
def _(shape: Ball, x: Point, signed: bool = False) -> Value:
    return 1 - jnp.sum((x - jnp.asarray(shape.center)) ** 2) / shape.radius**2


@value.register
def _(shape: Ellipse, x: Point, signed: bool = False) -> Value:
    return 1 - jnp.sum(((x - jnp.asarray(shape.center)) / jnp.asarray(shape.radii)) ** 2)


@value.register
def _(shape: Polygon, x: Point, signed: bool = False) -> Value:
    heights = shape.heights(x, jnp)
    if shape.convex:
        return reduce(_join(signed), heights)
    found = _along_edges(shape, x, heights)
    return jnp.where(shape.level(x, jnp) < 0, found, -found) if signed else found


@value.register
def _(shape: Extruded, x: Point, signed: bool = False) -> Value:
    return _join(signed)(value(shape.profile, x[:2], signed), _between(shape.low, shape.high, x[2]))


@value.register
def _(shape: Moved, x: Point, signed: bool = False) -> Value:
    return value(shape.shape, shape.back(x, jnp), signed)


@value.register
def _(shape: Named, x: Point, signed: bool = False) -> Value:
    return value(shape.shape, x, signed)


@value.register
def _(shape: Combined, x: Point, signed: bool = False) -> Value:
    match shape.operation:
        case "-":
            return _join(signed)(value(shape.first, x, signed), -value(shape.second, x, True))
        case "&":
            return _join(signed)(value(shape.first, x, signed), value(shape.second, x, signed))
    return either(value(shape.first, x, True), value(shape.second, x, True))


def _join(signed: bool) -> Callable[[Value, Value], Value]:
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


def _along_edges(shape: Polygon, x: Point, heights: Float[Array, " edges"]) -> Value:
    """Zero on every edge, above zero elsewhere: distances from the edges, of their lines bent round their ends, joined.

    Sukumar and Srivastava, equations (9) and (11) with m = 1.
    """
    starts, ends = (jnp.asarray(corners) for corners in shape.edges)
    lengths = jnp.linalg.norm(ends - starts, axis=1)
    beyond = jnp.sum((x[None] - (starts + ends) / 2) ** 2, axis=1)
    within = (lengths**2 / 4 - beyond) / lengths
    root = jnp.sqrt(within**2 + heights**4)
    # √(t² + f⁴) - t, without loss of digits where t is large.
    excess = jnp.where(within > 0, heights**4 / (root + within), root - within)
    distances = jnp.sqrt(heights**2 + excess**2 / 4)
    nearest = jax.lax.stop_gradient(jnp.min(distances))
    share = jnp.where(nearest > 0, nearest, 1)
    return jnp.where(nearest > 0, share / jnp.sum(share / jnp.where(nearest > 0, distances, 1)), 0)
