"""Polygons against shapely: membership, distance, lengths, areas, and normals at every precision."""

import numpy as np
import pytest
import shapely
from geometry import coordinates, evaluated, flux, slopes, surface_of
from hypothesis import given, settings, strategies as st

import tangrax as tx
from tangrax.domain import polygons

polygon, triangle, disk = tx.domain.polygon, tx.domain.triangle, tx.domain.disk
L = ((0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1))
COMB = (
    (0, 0),
    (4, 0),
    (4, 3),
    (3.5, 0.2),
    (2, 0.2),
    (2, 2),
    (1.9, 0.2),
    (0.5, 0.2),
    (0, 0.2),
)  # sharp, and flat at one
EXAMPLES = settings(deadline=None, max_examples=40, derandomize=True)


@st.composite
def stars(draw):
    """Corners round the origin in the order of their angles, either way round: their edges do not meet."""
    numbers = st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0, 0.4)), min_size=3, max_size=9)
    radii, shifts = np.array(draw(numbers)).T
    angle = 2 * np.pi * (np.arange(len(radii)) + shifts) / len(radii)
    corners = np.stack([radii * np.cos(angle), radii * np.sin(angle)], axis=1)
    return corners[:: draw(st.sampled_from((1, -1)))]


def signed_distance(corners, points):
    region = shapely.Polygon(corners)
    distance = shapely.distance(region.exterior, shapely.points(points))
    return np.where(shapely.contains_xy(region, *points.T), -distance, distance)


@EXAMPLES
@given(stars(), st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
def test_distance_is_that_of_shapely(corners, offset):
    corners = corners + np.array(offset)
    shape = polygon(corners).shape
    random_points = np.random.default_rng(1).uniform(-2, 2, (300, 2)) + np.array(offset)
    # Also beside and beyond corners, where the nearest edge is in doubt.
    close = corners[:, None] + 0.01 * np.random.default_rng(2).standard_normal((1, 20, 2))
    points = np.concatenate([random_points, close.reshape(-1, 2)])
    np.testing.assert_allclose(shape.level(points), signed_distance(corners, points), rtol=1e-9, atol=1e-13)
    region = shapely.Polygon(corners)
    assert np.ravel(shape.bounds) == pytest.approx(region.bounds) and shape.extent == pytest.approx(region.length)


@EXAMPLES
@given(stars())
def test_boundary_is_even_and_its_normals_point_out(corners):
    shape, region = polygon(corners).shape, shapely.Polygon(corners)
    edge = surface_of(shape, 2000)
    assert edge.on_boundary.all()
    np.testing.assert_allclose(np.linalg.norm(edge.normals, axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(shapely.distance(region.exterior, shapely.points(edge.points)), 0, atol=1e-14)
    # One in each of 2000 equal parts of the whole: on an edge as many as it holds, but for one at each end.
    steps = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(steps, axis=1)
    for start, step, length in zip(corners, steps, lengths, strict=True):
        along = (edge.points - start) @ step / length**2
        off = np.abs((edge.points - start) @ np.array([step[1], -step[0]])) / length
        on = (off < 1e-13) & (along >= 0) & (along <= 1)
        assert abs(on.sum() - 2000 * length / lengths.sum()) <= 2.01
    assert flux(shape, 2000) == pytest.approx(2 * region.area, abs=0.01)
    # A step out and a step in, short against the distance from the corners.
    room = np.min(np.linalg.norm(edge.points[:, None] - corners, axis=2), axis=1)
    step = (1e-6 * room)[:, None] * edge.normals
    far = room > 1e-3
    assert (signed_distance(corners, edge.points + step) > 0)[far].all()
    assert (signed_distance(corners, edge.points - step) < 0)[far].all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("corners", [L, COMB, L[::-1]], ids=["L", "comb", "clockwise"])
def test_slope_of_the_level_is_the_normal(corners, dtype):
    shape = polygon(corners, ["floor"] * 2 + [None] * (len(corners) - 2)).shape
    edge = surface_of(shape, 5000)
    at = np.array(corners, float)
    beside = at + 0.01 * (np.roll(at, -1, axis=0) - at)
    actual = slopes(shape.level, np.concatenate([edge.points, at, beside]), dtype)
    normals, at_corner, after = np.split(actual, [5000, 5000 + len(at)])
    rounded = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(normals, edge.normals, atol=rounded)
    # At the corners themselves a unit vector that is one of the two normals or lies between them.
    np.testing.assert_allclose(np.linalg.norm(at_corner, axis=1), 1, atol=rounded)
    before = np.roll(after, 1, axis=0)
    least = np.sum(after * before, axis=1) - 1e-5
    assert (np.sum(at_corner * after, axis=1) >= least).all() and (np.sum(at_corner * before, axis=1) >= least).all()
    floor = edge.sides["floor"]
    actual = slopes(lambda x, xp: shape.level_of("floor", x, xp), edge.points[floor], dtype)
    np.testing.assert_allclose(actual, edge.normals[floor], atol=rounded)


def test_level_keeps_to_its_memory(monkeypatch):
    shape = polygon(L).shape
    points = np.random.default_rng(0).uniform(-1, 1, (1000, 2))
    whole = shape.level(points)
    monkeypatch.setattr(polygons, "AT_ONCE", 1000)
    np.testing.assert_array_equal(shape.level(points), whole)
    assert shape.level(points[0]) == whole[0]


def test_names_of_edges():
    domain = polygon(L, ["corner", None, "top", None, None, "corner"]).sample(n=500, boundary=1600)
    assert domain.tags == ("interior", "boundary", "corner", "top")
    corner, top = coordinates(domain, "corner"), coordinates(domain, "top")
    assert np.all((corner[:, 1] == 0) & (corner[:, 0] > 0) | (corner[:, 0] == 0) & (corner[:, 1] < 0))
    assert np.all(top[:, 1] == 1) and len(top) == pytest.approx(400, abs=4) == len(corner)
    assert shapely.contains_xy(shapely.Polygon(L), *coordinates(domain).T).all()
    for devices in (1, 3):
        normal = evaluated(domain.normal("corner"), devices)
        np.testing.assert_array_equal(normal, np.where(corner[:, 1:] == 0, [[0, -1]], [[1, 0]]))
        assert evaluated(domain.normal("top"), devices).tolist() == [[0, 1]] * len(top)
    grid = polygon(L).sample(mesh_size=0.1)
    assert len(coordinates(grid)) == 9 * 9 + 2 * 9 * 10 and len(coordinates(grid, "boundary")) == 80


def test_cut_and_joined():
    """A square with a diamond cut out of it and a roof on it."""
    body = polygon([(0, 0), (2, 0), (2, 2), (0, 2)], ["floor", "wall", "under the roof", "wall"])
    roof = triangle((0, 2), (2, 2), (1, 3), ["under the roof", "roof", "roof"])
    window = polygon([(1, 0.5), (1.5, 1), (1, 1.5), (0.5, 1)]).named("window")
    domain = ((body | roof) - window).sample(n=1000, boundary=2000)
    region = shapely.union(shapely.box(0, 0, 2, 2), shapely.Polygon([(0, 2), (2, 2), (1, 3)]))
    region = shapely.difference(region, shapely.Polygon([(1, 0.5), (1.5, 1), (1, 1.5), (0.5, 1)]))
    assert shapely.contains_xy(region, *coordinates(domain).T).all()
    edge = coordinates(domain, "boundary")
    np.testing.assert_allclose(shapely.distance(region.boundary, shapely.points(edge)), 0, atol=1e-12)
    for tag, length in {"floor": 2, "wall": 4, "roof": 2 * np.sqrt(2), "window": 2 * np.sqrt(2)}.items():
        assert len(coordinates(domain, tag)) / 2000 == pytest.approx(length / region.length, abs=0.01)
    with pytest.raises(ValueError, match="holds no points"):
        domain.variable("under the roof")
    p, normal = coordinates(domain, "boundary"), evaluated(domain.normal("boundary"))
    assert region.length * np.mean(np.sum(p * normal, axis=1)) == pytest.approx(2 * region.area, rel=0.02)


REFUSED = {
    "two corners": (lambda: polygon([(0, 0), (1, 0)]), "2 corners .* three or more"),
    "one line": (lambda: polygon([(0, 0), (1, 1), (3, 3)]), "lie on one line"),
    "twice": (lambda: polygon([(0, 0), (1, 0), (1, 1), (1, 1)]), r"corners 2 and 3 are both \(1.0, 1.0\)"),
    "closed": (lambda: polygon([(0, 0), (1, 0), (1, 1), (0, 0)]), "corners 3 and 0 .* not again at the end"),
    "crossing": (lambda: polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), r"Self-intersection\[0.5 0.5\]; list the corners"),
    "touching": (lambda: polygon([(0, 0), (2, 0), (2, 2), (1, 0), (0, 2)]), "edges of .* meet"),
    "back": (lambda: polygon([(0, 0), (2, 0), (1, 0), (1, 1)]), "edges of .* meet"),
    "nan": (lambda: triangle((0, 0), (1, 0), (0, np.nan)), "must be finite"),
    "in space": (lambda: triangle((0, 0, 0), (1, 0, 0), (0, 1, 0)), "must have two coordinates"),
    "names": (lambda: polygon(L, ["a", "b"]), "2 names for 6 edges"),
    "name": (lambda: triangle((0, 0), (1, 0), (0, 1), ["a", "initial", None]), "a name of its own"),
    "points already": (lambda: polygon(L, n=9) - disk((0, 0), 0.5), "has points already"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_no_polygon(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()
