"""Shapes moved, turned and scaled, against shapely's affine maps and closed forms."""

import numpy as np
import pytest
import shapely
from geometry import coordinates, evaluated, flux, slopes, surface_of
from hypothesis import given, settings, strategies as st
from shapely import affinity

import tangrax as tx
from tangrax.domain import Moved

π = np.pi
cylinder, disk, line, polygon, rect = (
    tx.domain.cylinder,
    tx.domain.disk,
    tx.domain.line,
    tx.domain.polygon,
    tx.domain.rect,
)
CORNERS = ((0, 0), (2, 0), (2, 1), (0.5, 0.3))
NUMBER = st.floats(-3, 3)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(NUMBER, st.floats(0.1, 5), st.tuples(NUMBER, NUMBER), st.none() | st.tuples(NUMBER, NUMBER))
def test_moves_in_the_plane(angle, factor, offset, about):
    domain = polygon(CORNERS, ["floor", None, None, None])
    moved = domain.rotate(angle, about).translate(offset).scale(factor, about=(1, 2))
    region = affinity.rotate(shapely.Polygon(CORNERS), angle, about or (1, 0.5), use_radians=True)
    region = affinity.scale(affinity.translate(region, *offset), factor, factor, origin=(1, 2))
    same = polygon(shapely.get_coordinates(region)[:-1]).shape
    points = np.random.default_rng(0).uniform(*same.bounds, (200, 2))
    np.testing.assert_allclose(moved.shape.level(points), same.level(points), atol=1e-11 * factor)
    assert moved.shape.extent == pytest.approx(same.extent) and moved.shape.sides == ("floor",)
    assert isinstance(moved.shape, Moved) and not isinstance(moved.shape.shape, Moved)  # one move of three
    edge, expected = surface_of(moved.shape, 500), surface_of(same, 500)
    np.testing.assert_allclose(edge.points, expected.points, atol=1e-11 * factor)
    np.testing.assert_allclose(edge.normals, expected.normals, atol=1e-11)
    assert flux(moved.shape, 2000) == pytest.approx(2 * region.area, rel=0.02)
    points, inside = moved.shape.interior(np.random.default_rng(1).random((300, 2)))
    assert shapely.contains_xy(region, *points[inside].T).all()
    ends = shapely.get_coordinates(region)[:2]
    off = shapely.distance(shapely.LineString(ends), shapely.points(edge.points[edge.sides["floor"]]))
    np.testing.assert_allclose(off, 0, atol=1e-11 * factor)


@pytest.mark.parametrize("axis", ["x", (1, 0, 0), (2.0, 0.0, 0.0)])
def test_a_cylinder_laid_down(axis):
    """A quarter turn about x takes the axis z to -y: the cap z_max looks along -y."""
    laid = cylinder((1, 0), 0.5, -1, 1).rotate(π / 2, axis=axis).translate((0, 3, 0))
    assert np.ravel(laid.shape.bounds) == pytest.approx([0.5, 2, -0.5, 1.5, 4, 0.5])
    domain = laid.sample(n=500, boundary=1000)
    inside, wall = coordinates(domain), coordinates(domain, "wall")
    assert (np.hypot(inside[:, 0] - 1, inside[:, 2]) < 0.5).all() and (np.abs(inside[:, 1] - 3) < 1).all()
    np.testing.assert_allclose(np.hypot(wall[:, 0] - 1, wall[:, 2]), 0.5, rtol=1e-12)
    np.testing.assert_allclose(coordinates(domain, "z_max")[:, 1], 2, rtol=1e-12)
    assert flux(laid.shape) == pytest.approx(3 * π / 2, rel=0.01)
    if axis == "x":
        for devices in (1, 3):
            expected = np.column_stack([2 * (wall[:, 0] - 1), np.zeros(len(wall)), 2 * wall[:, 2]])
            np.testing.assert_allclose(evaluated(domain.normal("wall"), devices), expected, atol=1e-12)
        end = evaluated(domain.normal("z_max"))
        np.testing.assert_allclose(end, np.broadcast_to([0, -1, 0], end.shape), atol=1e-12)


def test_a_turn_about_a_slanted_axis_goes_round_by_the_right_hand():
    """A third of a turn about (1, 1, 1) takes x to y, y to z and z to x."""
    box = tx.domain.box((0, 0, 0), (1, 2, 3)).rotate(2 * π / 3, about=(0, 0, 0), axis=(1, 1, 1))
    assert np.ravel(box.shape.bounds) == pytest.approx([0, 0, 0, 3, 1, 2])
    domain = box.sample(mesh_size=0.5)
    assert set(np.round(coordinates(domain, "z_max")[:, 0], 12)) == {3.0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_in_both_precisions(dtype):
    shape = (rect() - disk((0.5, 0.5), 0.2).named("hole")).rotate(0.4).scale(3).translate((1, -2)).shape
    edge = surface_of(shape, 2000)
    actual = slopes(shape.level, edge.points[edge.on_boundary], dtype)
    np.testing.assert_allclose(actual, edge.normals[edge.on_boundary], atol=2e-6 if dtype == "float32" else 1e-12)


def test_moved_shapes_combine_and_have_grids():
    turned = rect((-1, -1), (1, 1)).rotate(π / 4).named("diamond")
    domain = (rect((-2, -2), (2, 2)) - turned).sample(n=500, boundary=1000)
    assert (np.abs(coordinates(domain)).sum(axis=1) > np.sqrt(2)).all()
    np.testing.assert_allclose(np.abs(coordinates(domain, "diamond")).sum(axis=1), np.sqrt(2), rtol=1e-12)
    assert len(coordinates(domain, "diamond")) == pytest.approx(1000 / 3, rel=0.02)
    # A grid goes with its shape, nodes as far apart as was asked.
    square = rect().rotate(π / 6, about=(0, 0)).scale(2, about=(0, 0)).sample(mesh_size=0.5)
    back = coordinates(square) @ np.array([[np.cos(π / 6), -np.sin(π / 6)], [np.sin(π / 6), np.cos(π / 6)]])
    nodes = np.stack(np.meshgrid(*[np.arange(1, 4) / 2] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(back, nodes, atol=1e-12)
    assert len(coordinates(square, "left")) == 5
    ends = line(0, 1).scale(2).translate((3,)).sample(mesh_size=0.5)
    np.testing.assert_allclose(coordinates(ends)[:, 0], [3, 3.5, 4], atol=1e-12)
    np.testing.assert_allclose(coordinates(ends, "left"), [[2.5]])


REFUSED = {
    "offset": (lambda: rect().translate((1, 2, 3)), "needs 2 finite coordinates"),
    "not a number": (lambda: rect().translate((np.nan, 0)), "needs 2 finite coordinates"),
    "about": (lambda: rect().rotate(1, about=(0,)), r"rotate\(about=\(0,\)\)"),
    "angle": (lambda: rect().rotate(np.inf), "finite angle, in radians"),
    "axis in the plane": (lambda: rect().rotate(1, axis="z"), "2-D, and turns in its plane"),
    "no axis": (lambda: cylinder((0, 0), 1, 0, 1).rotate(1), "in three dimensions an axis"),
    "no direction": (lambda: cylinder((0, 0), 1, 0, 1).rotate(1, axis=(0, 0, 0)), "in three dimensions an axis"),
    "letter": (lambda: cylinder((0, 0), 1, 0, 1).rotate(1, axis="w"), "in three dimensions an axis"),
    "line": (lambda: line().rotate(1), "only two or three can be turned"),
    "mirrored": (lambda: rect().scale(-1), "a positive factor"),
    "shrunk away": (lambda: rect().scale(0), "a positive factor"),
    "points already": (lambda: rect(n=9).translate((1, 0)), "has points already"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_such_move(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()
