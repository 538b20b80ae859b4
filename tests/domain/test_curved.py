"""Ellipses, rings, extrusions and cylinders against closed forms, quadrature and shapely."""

import numpy as np
import pytest
import shapely
from geometry import coordinates, evaluated, flux, slopes, surface_of
from hypothesis import example, given, settings, strategies as st
from scipy.integrate import quad

import tangrax as tx

π = np.pi
annulus, cylinder, disk, ellipse = tx.domain.annulus, tx.domain.cylinder, tx.domain.disk, tx.domain.ellipse
extrusion, polygon, rect = tx.domain.extrusion, tx.domain.polygon, tx.domain.rect
EXAMPLES = settings(deadline=None, max_examples=30, derandomize=True)
RADII = st.floats(0.05, 3)


@EXAMPLES
@given(RADII, RADII)
@example(1.0, 1.0)
@example(2.0, 0.001)
def test_ellipse(a, b):
    center = np.array([0.3, -2.0])
    shape = ellipse(center, (a, b)).shape

    def speed(angle):
        return np.hypot(a * np.sin(angle), b * np.cos(angle))

    # Even by length: of 2000 equal parts, as many between two angles as the length there, by quadrature, holds.
    count = 2000
    quarter, _ = quad(speed, 0, π / 2, epsabs=1e-12, limit=200)
    assert shape.extent == pytest.approx(4 * quarter, rel=1e-9)
    edge = surface_of(shape, count)
    on_unit = (edge.points - center) / (a, b)
    np.testing.assert_allclose(np.linalg.norm(on_unit, axis=1), 1, rtol=0, atol=1e-12)
    angles = np.arctan2(on_unit[:, 1], on_unit[:, 0]) % (2 * π)
    for low, high in ((0, 0.3), (0.3, 1.5), (1.2, 2.0), (3.0, 5.5)):
        length, _ = quad(speed, low, high, epsabs=1e-12, limit=200, points=[π / 2, π, 3 * π / 2])
        held = count * length / shape.extent
        assert np.sum((angles >= low) & (angles < high)) == pytest.approx(held, abs=2.01)
    # At the tip of a thin one, of radius b²/a, 2000 parts are too long for a sum over them to be an integral.
    assert flux(shape) == pytest.approx(2 * π * a * b, abs=1e-4 * shape.extent * max(a, b))
    # Near the boundary the level is the distance, to second order of the distance by the least radius of curvature.
    step = 1e-4 * min(a, b) ** 2 / max(a, b)
    for sign in (-1, 1):
        level = shape.level(edge.points + sign * step * edge.normals)
        np.testing.assert_allclose(level, sign * step, rtol=1e-3)
    assert shape.level(center) == pytest.approx(-min(a, b))
    inside = np.random.default_rng(0).uniform(-1.5, 1.5, (500, 2))
    np.testing.assert_array_equal(shape.level(center + inside * (a, b)) < 0, np.linalg.norm(inside, axis=1) < 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_of_an_ellipse(dtype):
    shape = ellipse((1, 2), (0.2, 1.5)).shape
    edge = surface_of(shape, 1000)
    actual = slopes(shape.level, np.concatenate([edge.points, [[1.0, 2.0]]]), dtype)
    assert np.isfinite(actual).all()  # at the center too
    np.testing.assert_allclose(actual[:-1], edge.normals, atol=1e-4 if dtype == "float32" else 1e-10)


def test_points_in_an_ellipse_and_in_a_ring():
    within = coordinates(ellipse((1, 2), (3, 0.5), n=4096)) - (1, 2)
    np.testing.assert_allclose(np.mean(within**2, axis=0), [9 / 4, 0.25 / 4], rtol=2e-3)
    ring = annulus((1, 0), 0.5, 1.5, n=1000, boundary=800)
    assert ring.tags == ("interior", "boundary", "outer", "inner")
    far = np.linalg.norm(coordinates(ring) - (1, 0), axis=1)
    assert ((far > 0.5) & (far < 1.5)).all() and np.mean(far**2) == pytest.approx(1.25, rel=0.01)
    for tag, radius, out in (("inner", 0.5, -1), ("outer", 1.5, 1)):
        on = coordinates(ring, tag) - (1, 0)
        np.testing.assert_allclose(np.linalg.norm(on, axis=1), radius, rtol=1e-12)
        assert len(on) == pytest.approx(400 * radius, abs=4)
        np.testing.assert_allclose(evaluated(ring.normal(tag)), out * on / radius, atol=1e-12)


def test_cylinder():
    domain = cylinder((1, 2), 0.5, -1, 2, n=2000, boundary=3000)
    assert domain.tags == ("interior", "boundary", "wall", "z_min", "z_max")
    inside = coordinates(domain) - (1, 2, 0)
    assert (np.hypot(*inside.T[:2]) < 0.5).all() and ((inside[:, 2] > -1) & (inside[:, 2] < 2)).all()
    np.testing.assert_allclose(np.mean(inside**2, axis=0), [1 / 16, 1 / 16, 1], rtol=0.01)
    wall = coordinates(domain, "wall") - (1, 2, 0)
    np.testing.assert_allclose(np.hypot(*wall.T[:2]), 0.5, rtol=1e-12)
    assert wall[:, 2].mean() == pytest.approx(0.5, abs=0.01)
    share = 0.25 / (0.5 * 6 + 0.5)  # of each end, r² of 2 r h + 2 r², all times π
    for end, height, out in (("z_min", -1, -1), ("z_max", 2, 1)):
        cap = coordinates(domain, end) - (1, 2, 0)
        assert (cap[:, 2] == height).all() and len(cap) == pytest.approx(3000 * share, rel=0.02)
        assert np.mean(cap[:, :2] ** 2) == pytest.approx(1 / 16, rel=0.02)
        assert evaluated(domain.normal(end), 3).tolist() == [[0, 0, out]] * len(cap)
    expected = np.column_stack([2 * wall[:, :2], np.zeros(len(wall))])
    for devices in (1, 3):
        np.testing.assert_allclose(evaluated(domain.normal("wall"), devices), expected, atol=1e-12)
    assert flux(domain.shape) == pytest.approx(3 * π * 0.25 * 3, rel=0.01)


PROFILES = {
    "triangle": (polygon([(0, 0), (2, 0), (0, 1)], ["floor", None, None]), shapely.Polygon([(0, 0), (2, 0), (0, 1)])),
    "rect": (rect((-1, 0), (2, 1)), shapely.box(-1, 0, 2, 1)),
    "hole": (
        rect((-1, -1), (1, 1)) - polygon([(-0.5, 0), (0, -0.5), (0.5, 0)]).named("hole"),
        shapely.box(-1, -1, 1, 1) - shapely.Polygon([(-0.5, 0), (0, -0.5), (0.5, 0)]),
    ),
}


@pytest.mark.parametrize("name", PROFILES)
def test_extrusions(name):
    profile, region = PROFILES[name]
    domain = extrusion(profile, 0.5, 2).sample(n=1000, boundary=3000)
    assert domain.tags == ("interior", "boundary", *profile.shape.sides, "z_min", "z_max")
    inside, edge = coordinates(domain), coordinates(domain, "boundary")
    assert shapely.contains_xy(region, *inside.T[:2]).all() and ((inside[:, 2] > 0.5) & (inside[:, 2] < 2)).all()
    at_end = np.isin(edge[:, 2], (0.5, 2))
    off = shapely.distance(region.boundary, shapely.points(edge[~at_end, :2]))
    np.testing.assert_allclose(off, 0, atol=1e-12)
    assert at_end.mean() == pytest.approx(2 * region.area / (2 * region.area + 1.5 * region.length), abs=0.01)
    assert flux(domain.shape) == pytest.approx(3 * 1.5 * region.area, rel=0.01)
    drawn_edge = surface_of(domain.shape, 2000)
    normal = slopes(domain.shape.level, drawn_edge.points, "float32")
    np.testing.assert_allclose(normal[drawn_edge.on_boundary], drawn_edge.normals[drawn_edge.on_boundary], atol=1e-6)
    grid = extrusion(profile, 0.5, 2, mesh_size=0.25)
    nodes = coordinates(grid)
    np.testing.assert_allclose(nodes * 4, np.round(nodes * 4), atol=1e-9)
    assert len(nodes) % 5 == 0  # between the ends


REFUSED = {
    "radii": (lambda: ellipse((0, 0), (1, -1)), r"radii \(1.0, -1.0\) must be two positive"),
    "one radius": (lambda: ellipse((0, 0), (1,)), "must be two positive"),
    "center": (lambda: ellipse((0, np.inf), (1, 1)), "two finite coordinates"),
    "inside out": (lambda: annulus((0, 0), 2, 1), "inner radius must be below"),
    "no hole": (lambda: annulus((0, 0), -0.1, 1), "radius=-0.1 must be positive"),
    "ring in space": (lambda: annulus((0, 0, 0), 0.1, 1), "two coordinates"),
    "upside down": (lambda: cylinder((0, 0), 1, 2, 2), "z = 2.0 to 2.0: the first must be below"),
    "negative": (lambda: cylinder((0, 0), -1, 0, 1), "radius=-1.0 must be positive"),
    "solid": (lambda: extrusion(cylinder((0, 0), 1, 0, 1), 0, 1), "3-D: the profile is a 2-D shape"),
    "points already": (lambda: extrusion(disk((0, 0), 1, n=9), 0, 1), "has points already"),
    "end": (lambda: extrusion(disk((0, 0), 1).named("z_max"), 0, 1), "has a side 'z_max'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_such_shape(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()
