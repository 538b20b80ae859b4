"""The shapes there are, each by a function: with `n=` or `mesh_size=` a domain with points, else a shape to combine."""

from collections.abc import Sequence

import numpy as np

from .domain import Domain
from .shapes import Ball, Box, Shape

Corner = Sequence[float] | np.ndarray


def line(
    a: float = 0.0,
    b: float = 1.0,
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The interval (a, b); its sides are left and right. `boundary` counts over time only: a steady one has 2."""
    return box((a,), (b,), mesh_size=mesh_size, n=n, boundary=boundary, seed=seed)


def rect(
    lower: Corner = (0.0, 0.0),
    upper: Corner = (1.0, 1.0),
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The rectangle between two corners; its sides are left, right, bottom and top."""
    if len(lower) != 2 or len(upper) != 2:
        raise ValueError(f"rect({lower}, {upper}): a corner of a rectangle has two coordinates; see tx.domain.box")
    return box(lower, upper, mesh_size=mesh_size, n=n, boundary=boundary, seed=seed)


def box(
    lower: Corner,
    upper: Corner,
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The axis-parallel box between two corners, in any dimension; its sides are x_min, x_max, y_min, …

    `mesh_size` makes a regular grid, `n` and `boundary` that many low-discrepancy points inside and on the boundary.
    """
    return _with_points(Box(tuple(map(float, lower)), tuple(map(float, upper))), mesh_size, n, boundary, seed)


def disk(
    center: Corner,
    radius: float,
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The disk round a center; its boundary has no name of its own unless `.named(…)` gives it one."""
    if len(center) != 2:
        raise ValueError(f"disk({center}, {radius}): the center of a disk has two coordinates; see tx.domain.ball")
    return ball(center, radius, mesh_size=mesh_size, n=n, boundary=boundary, seed=seed)


def ball(
    center: Corner,
    radius: float,
    *,
    mesh_size: float | None = None,
    n: int | None = None,
    boundary: int | None = None,
    seed: int = 0,
) -> Domain:
    """The ball round a center, in two or three dimensions."""
    return _with_points(Ball(tuple(map(float, center)), float(radius)), mesh_size, n, boundary, seed)


def _with_points(shape: Shape, mesh_size: float | None, n: int | None, boundary: int | None, seed: int) -> Domain:
    if mesh_size is None and n is None and boundary is None:
        return Domain(shape)
    return Domain(shape).sample(mesh_size=mesh_size, n=n, boundary=boundary, seed=seed)
