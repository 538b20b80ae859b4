"""Disks, balls and shapes made of others: membership, lengths, areas and normals against formulas of plane geometry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from geometry import coordinates, evaluated

import tangrax as tx

π = np.pi
rect, disk, ball, box = tx.domain.rect, tx.domain.disk, tx.domain.ball, tx.domain.box


def radius(p, center=(0.0, 0.0)):
    return np.linalg.norm(p - np.array(center), axis=1)


def within(p, lower, upper):
    return np.all((p > lower) & (p < upper), axis=1)


@dataclass
class Case:
    """A shape, who is inside, its area, and pieces of its boundary with their lengths."""

    shape: tx.domain.Domain
    inside: Callable[[np.ndarray], np.ndarray]
    area: float
    pieces: list


def hole():
    circle = disk((0.5, 0.4), 0.25).named("hole")

    def inside(p):
        return within(p, 0, 1) & (radius(p, (0.5, 0.4)) > 0.25)

    on_circle = (lambda p: np.isclose(radius(p, (0.5, 0.4)), 0.25, rtol=0, atol=1e-12), π / 2)
    return Case(
        rect() - circle, inside, 1 - π / 16, [on_circle, (lambda p: p[:, 0] == 0, 1), (lambda p: p[:, 1] == 1, 1)]
    )


def angle():
    def inside(p):
        return within(p, -1, 1) & ~np.all(p >= 0, axis=1)

    walls = [(lambda p: (p[:, 0] == 0) & (p[:, 1] > 0), 1), (lambda p: p[:, 0] == -1, 2), (lambda p: p[:, 0] == 1, 1)]
    return Case(rect((-1, -1), (1, 1)) - rect((0, 0), (1, 1)).named("notch"), inside, 3, walls)


def side_by_side():
    def inside(p):
        return within(p, (0, 0), (2, 1)) & (p[:, 0] != 1)

    walls = [
        (lambda p: p[:, 0] == 2, 1),
        (lambda p: p[:, 1] == 1, 2),
        (lambda p: (p[:, 0] == 1) & (p[:, 1] % 1 > 0), 0),
    ]
    return Case(rect() | rect((1, 0), (2, 1)), inside, 2, walls)


def lens():
    def inside(p):
        return (radius(p) < 1) & (radius(p, (1, 0)) < 1)

    # Two arcs of 2π/3; the area of two segments.
    arcs = [(lambda p: np.isclose(radius(p), 1, rtol=0, atol=1e-12), 2 * π / 3)] * 2
    return Case(disk((0, 0), 1) & disk((1, 0), 1), inside, 2 * π / 3 - np.sqrt(3) / 2, arcs)


def capsule_with_holes():
    body = rect((-1, -0.5), (1, 0.5)) | disk((-1, 0), 0.5) | disk((1, 0), 0.5)
    holes = disk((-0.6, 0), 0.2).named("eyes") | disk((0.6, 0), 0.2).named("eyes")

    def inside(p):
        x = p[:, 0].clip(-1, 1)
        return (np.hypot(p[:, 0] - x, p[:, 1]) < 0.5) & (np.abs(radius(np.abs(p), (0.6, 0))) > 0.2)

    eyes = (lambda p: np.isclose(radius(np.abs(p), (0.6, 0)), 0.2, rtol=0, atol=1e-12), 0.8 * π)
    straight = (lambda p: (p[:, 1] == 0.5) & (np.abs(p[:, 0]) < 1), 2)
    return Case(body - holes, inside, 2 + π / 4 - 2 * π * 0.04, [eyes, straight])


CASES = {"hole": hole, "angle": angle, "side by side": side_by_side, "lens": lens, "capsule": capsule_with_holes}
LENGTHS = {"hole": 4 + π / 2, "angle": 8, "side by side": 6, "lens": 4 * π / 3, "capsule": 4 + π + 0.8 * π}


@pytest.mark.parametrize("name", CASES)
def test_points_lie_where_they_should(name):
    case = CASES[name]()
    domain = case.shape.sample(n=2000, boundary=1500)
    inside, edge = coordinates(domain), coordinates(domain, "boundary")
    assert len(inside) == 2000 and case.inside(inside).all() and len(edge) == 1500
    # As even as on a box: the share of a quadrant of its bounds is its area's, from a fine grid.
    lower, upper = map(np.array, domain.shape.bounds)
    middle = (lower + upper) / 2
    grid = lower + (np.stack(np.meshgrid(*[np.arange(1000) + 0.5] * 2), axis=-1).reshape(-1, 2) / 1000) * (
        upper - lower
    )
    real = case.inside(grid)
    assert real.mean() * np.prod(upper - lower) == pytest.approx(case.area, rel=1e-3)
    assert np.mean(np.all(inside < middle, axis=1)) == pytest.approx(
        np.all(grid[real] < middle, axis=1).mean(), abs=0.02
    )
    for on, length in case.pieces:
        assert np.mean(on(edge)) == pytest.approx(length / LENGTHS[name], abs=0.012)
    held = domain.point_set("interior").held_out(500, 0).coordinates[:, :-1]
    assert case.inside(held).all() and not np.isin(held[:, 0], inside[:, 0]).any()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_point_out(name, dtype):
    case = CASES[name]()
    domain = case.shape.sample(n=10, boundary=1500)
    for devices in (1, 3):
        normal = evaluated(domain.normal("boundary"), devices, dtype)
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, rtol=1e-6)
        p = coordinates(domain, "boundary")
        assert case.inside(p - 1e-5 * normal).mean() > 0.998 and not case.inside(p + 1e-5 * normal).any()
        # ∮ x·n = 2 A.
        assert LENGTHS[name] * np.mean(np.sum(p * normal, axis=1)) == pytest.approx(2 * case.area, rel=0.02)


def test_normals_of_sides():
    domain = tx.domain.rect(mesh_size=0.25)
    for side, expected in {"left": (-1, 0), "right": (1, 0), "bottom": (0, -1), "top": (0, 1)}.items():
        assert evaluated(domain.normal(side)).tolist() == [list(expected)] * 5  # at its corners too
    # Sides of one name are one tag: the outer and the inner wall of an angle, both called left.
    walls = (rect((-1, -1), (1, 1)) - rect((0, 0), (1, 1))).sample(n=10, boundary=400)
    left, normal = coordinates(walls, "left"), evaluated(walls.normal("left"))
    assert set(left[:, 0]) == {-1.0, 0.0}
    np.testing.assert_array_equal(normal, np.where(left[:, :1] == 0, [[1, 0]], [[-1, 0]]))
    assert domain.normal("left")[0] is domain.normal("left")[0] is not domain.normal("top")[0]
    assert [str(c) for c in domain.normal("left")] == ["normal(x, y)[0]", "normal(x, y)[1]"]


@pytest.mark.parametrize("center", [(0.5, -1.0), (0.5, -1.0, 2.0)])
def test_disks_and_balls(center):
    """Means of r^2, and of squares of coordinates on the boundary, are those of an even spread."""
    dimension = len(center)
    shape = (disk if dimension == 2 else ball)(center, 0.3)
    domain = shape.sample(n=4096, boundary=4096)
    r = radius(coordinates(domain), center)
    assert (r < 0.3).all() and np.mean(r**2) == pytest.approx(0.09 * dimension / (dimension + 2), rel=1e-3)
    on = coordinates(domain, "boundary") - center
    np.testing.assert_allclose(np.linalg.norm(on, axis=1), 0.3, rtol=1e-12)
    np.testing.assert_allclose(on.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose((on**2).mean(axis=0), 0.09 / dimension, rtol=2e-3)


def test_a_cube_with_a_cavity():
    domain = (box((-1,) * 3, (1,) * 3) - ball((0, 0, 0), 0.5).named("cavity")).sample(n=3000, boundary=3000)
    assert (radius(coordinates(domain), (0, 0, 0)) > 0.5).all()
    assert "cavity" in domain.tags and "x_min" in domain.tags
    share = len(coordinates(domain, "cavity")) / 3000
    assert share == pytest.approx(π / (24 + π), abs=0.01)
    normal = evaluated(domain.normal("cavity"))
    np.testing.assert_allclose(normal, -2 * coordinates(domain, "cavity"), atol=1e-12)


def test_over_time_and_on_a_grid():
    plate = rect() - disk((0.5, 0.5), 0.25).named("hole")
    over = plate.sample(n=300, boundary=100).over_time(0.0, 2.0, initial=50)
    for tag, count in (("interior", 300), ("initial", 50), ("final", 50), ("boundary", 100)):
        assert len(over.point_set(tag)) == count
    assert (radius(over.point_set("initial").coordinates[:, :2], (0.5, 0.5)) > 0.25).all()
    times = over.point_set("hole").coordinates[:, 2]
    assert np.ptp(times) > 1.5 and (times > 0).all()
    grid = plate.sample(mesh_size=0.05)
    nodes = coordinates(grid)
    np.testing.assert_allclose(nodes * 20, np.round(nodes * 20), atol=1e-9)
    expected = [(x, y) for x in range(1, 20) for y in range(1, 20) if np.hypot(x - 10, y - 10) > 5]
    assert len(nodes) == len(expected)
    assert len(coordinates(grid, "boundary")) == pytest.approx((4 + π / 2) / 0.05, rel=0.02)
    few, many = (coordinates(plate.sample(n=n)) for n in (10, 100))
    np.testing.assert_array_equal(few, many[:10])


REFUSED = {
    "empty": (lambda: (rect() - rect((-1, -1), (2, 2))).sample(n=9).variable("interior"), "is empty"),
    "apart": (lambda: disk((0, 0), 1) & disk((5, 0), 1), "nothing in common"),
    "dimensions": (lambda: rect() - ball((0, 0, 0), 1), "2 and 3 dimensions"),
    "intervals": (lambda: tx.domain.line() - tx.domain.line(0, 0.5), "intervals cannot be combined"),
    "points already": (lambda: rect(n=9) - disk((0, 0), 1), "has points already"),
    "points twice": (lambda: rect(n=9).sample(n=9), "has points already"),
    "named late": (lambda: rect(n=9).named("hole"), "has points already"),
    "name": (lambda: rect().named("interior"), "a name of its own"),
    "radius": (lambda: disk((0, 0), 0.0), "radius=0.0 must be positive"),
    "center": (lambda: disk((0, 0, 0), 1), "two coordinates"),
    "ball in four": (lambda: ball((0,) * 4, 1), "two or three"),
    "normal inside": (lambda: rect(n=9).normal("interior"), "only the boundary has one"),
    "tag": (lambda: (rect() - disk((0, 0), 1)).sample(n=9).variable("hole"), "unknown tag 'hole'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()


def test_what_is_no_shape():
    with pytest.raises(TypeError):
        rect() - 3  # type: ignore[operator]
