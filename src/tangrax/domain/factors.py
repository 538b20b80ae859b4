"""Functions that vanish on the boundary of a shape and nowhere inside: conditions on it by the form of a solution.

Rvachev's functions: Shapiro, Acta Numerica 16 (2007), 239-303; Sukumar and Srivastava, CMAME 389 (2022) 114333.
"""

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
        return positive(self.shape, jnp.stack(coordinates)) / largest(self.shape)


@cache
def largest(shape: Shape) -> float:
    """What the factor of a shape comes to inside, before it is scaled."""
    points, inside = shape.interior(sobol(LOOKED_AT, shape.dimension, 0))
    with jax.ensure_compile_time_eval():
        found = jax.jit(jax.vmap(lambda point: positive(shape, point)))(jnp.asarray(points[inside]))
        return float(jnp.max(found))


@singledispatch
def positive(shape: Shape, x: Point) -> Value:
    """Above zero inside, zero on the boundary; of no use outside.

    Where two boundaries meet at a corner it is the product of theirs, as a smooth solution is there; of a corner that
    points inwards it has no second derivatives.
    """
    return signed(shape, x)


@singledispatch
def signed(shape: Shape, x: Point) -> Value:
    """Above zero inside, zero on the boundary, below zero outside."""
    raise ValueError(
        f"factor: there is none for {shape}, nor for what is made of it: give the condition on its boundary as a term"
    )


@positive.register
def _(shape: Box, x: Point) -> Value:
    return jnp.prod(_between(shape.lower, shape.upper, x))


@signed.register
def _(shape: Box, x: Point) -> Value:
    return reduce(both, _between(shape.lower, shape.upper, x))


@signed.register
def _(shape: Ball, x: Point) -> Value:
    return 1 - jnp.sum((x - jnp.asarray(shape.center)) ** 2) / shape.radius**2


@signed.register
def _(shape: Ellipse, x: Point) -> Value:
    return 1 - jnp.sum(((x - jnp.asarray(shape.center)) / jnp.asarray(shape.radii)) ** 2)


@positive.register
def _(shape: Polygon, x: Point) -> Value:
    heights = shape.heights(x, jnp)
    return jnp.prod(heights) if shape.convex else _along_edges(shape, x, heights)


@signed.register
def _(shape: Polygon, x: Point) -> Value:
    heights = shape.heights(x, jnp)
    if shape.convex:
        return reduce(both, heights)
    return jnp.where(shape.level(x, jnp) < 0, 1, -1) * _along_edges(shape, x, heights)


@positive.register
def _(shape: Extruded, x: Point) -> Value:
    return positive(shape.profile, x[:2]) * _between(shape.low, shape.high, x[2])


@signed.register
def _(shape: Extruded, x: Point) -> Value:
    return both(signed(shape.profile, x[:2]), _between(shape.low, shape.high, x[2]))


@positive.register
def _(shape: Moved, x: Point) -> Value:
    return positive(shape.shape, shape.back(x, jnp))


@signed.register
def _(shape: Moved, x: Point) -> Value:
    return signed(shape.shape, shape.back(x, jnp))


@positive.register
def _(shape: Named, x: Point) -> Value:
    return positive(shape.shape, x)


@signed.register
def _(shape: Named, x: Point) -> Value:
    return signed(shape.shape, x)


@positive.register
def _(shape: Combined, x: Point) -> Value:
    match shape.operation:
        case "-":
            return positive(shape.first, x) * -signed(shape.second, x)
        case "&":
            return positive(shape.first, x) * positive(shape.second, x)
    return signed(shape, x)


@signed.register
def _(shape: Combined, x: Point) -> Value:
    first, second = signed(shape.first, x), signed(shape.second, x)
    match shape.operation:
        case "-":
            return both(first, -second)
        case "&":
            return both(first, second)
    return either(first, second)


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
