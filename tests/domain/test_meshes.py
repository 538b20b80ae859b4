"""Solids from triangles: against trimesh and closed forms; surfaces that are none of a solid."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import shapely
from scipy.spatial import Delaunay

import tangrax as tx

trimesh = pytest.importorskip("trimesh")

SOLIDS = {
    "ball": lambda: trimesh.creation.icosphere(2, 1.5),
    "cube": lambda: trimesh.creation.box((1.0, 2.0, 3.0)),
    "ring": lambda: trimesh.creation.torus(1.0, 0.4, major_sections=24, minor_sections=12),
    "tube": lambda: trimesh.creation.annulus(0.3, 1.0, 2.0, sections=24),
}
CUBE = SOLIDS["cube"]()
TRIANGLE = ([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0, 1, 2]])


@pytest.fixture(params=SOLIDS)
def solid(request):
    return SOLIDS[request.param]()


def from_arrays(solid, **points):
    return tx.domain.mesh((solid.vertices, solid.faces), **points)


def test_measures_and_points(solid):
    domain = from_arrays(solid, n=500, boundary=400)
    shape = domain.shape
    assert shape.volume == pytest.approx(solid.volume, rel=1e-12)
    assert shape.extent == pytest.approx(solid.area, rel=1e-12)
    inside = domain.point_set("interior").coordinates[:, :3]
    edge = domain.point_set("boundary").coordinates[:, :3]
    assert len(inside) == 500 and len(edge) == 400
    _, away, _ = trimesh.proximity.closest_point(solid, edge)
    assert away.max() < 1e-12
    # Even over the volume: the mean of the points is the center of mass.
    spread = np.linalg.norm(np.ptp(solid.vertices, axis=0))
    assert np.abs(inside.mean(axis=0) - solid.center_mass).max() < 0.02 * spread
    center = np.average(solid.triangles_center, axis=0, weights=solid.area_faces)
    assert np.abs(edge.mean(axis=0) - center).max() < 0.02 * spread


def test_distances_and_membership(solid):
    shape = from_arrays(solid).shape
    lower, upper = (np.array(bound) for bound in shape.bounds)
    points = np.random.default_rng(0).uniform(lower - 0.3, upper + 0.3, (400, 3))
    wanted = -trimesh.proximity.signed_distance(solid, points)  # theirs is above zero inside
    np.testing.assert_allclose(shape.level(points), wanted, atol=1e-12)
    np.testing.assert_array_equal(shape.inside(points), solid.contains(points))
    in_jax = jax.jit(jax.vmap(lambda x: shape.level(x, jnp)))(jnp.asarray(points, jnp.float64))
    np.testing.assert_allclose(in_jax, wanted, atol=1e-12)


def test_normals(solid):
    """Those of trimesh for the nearest triangle, in both precisions, also where the domain's points are other ones."""
    domain = from_arrays(solid, n=50, boundary=60)
    x, y, z, _ = domain.variable("boundary")
    normal = domain.normal("boundary")
    net = tx.nn.parameter(1.0)
    solver = tx.core({"term": (net * x).mse}, optimizer=optax.sgd(0.1), devices=2, dtype="float64")
    actual = np.stack(solver.eval(list(normal)), axis=1)
    _, _, nearest = trimesh.proximity.closest_point(solid, domain.point_set("boundary").coordinates[:, :3])
    np.testing.assert_allclose(actual, solid.face_normals[nearest], atol=1e-9)
    through = np.stack(solver.eval([n.held_out(200) for n in normal]), axis=1)
    place = np.stack(solver.eval([c.held_out(200) for c in (x, y, z)]), axis=1)
    wanted = solid.face_normals[trimesh.proximity.closest_point(solid, place)[2]]
    np.testing.assert_allclose(through, wanted, atol=1e-9)


def test_the_divergence_theorem(solid):
    """∮ x · n dA = 3 V, over points of the boundary."""
    domain = from_arrays(solid, n=10, boundary=2**12)
    edge = domain.shape.surface(np.random.default_rng(1).random((2**12, 3)))
    assert edge.on_boundary.all()
    flux = np.mean(np.sum(edge.points * edge.normals, axis=1)) * domain.shape.extent
    assert flux == pytest.approx(3 * solid.volume, rel=0.05)


def test_files_and_names(tmp_path):
    path = tmp_path / "part.stl"
    SOLIDS["tube"]().export(path)

    def names(centers, normals):
        across = np.linalg.norm(centers[:, :2], axis=1)
        flat = np.abs(normals[:, 2]) > 0.9
        return np.where(flat, "end", np.where(across < 0.6, "bore", None)).tolist()

    domain = tx.domain.mesh(path, names, n=100, boundary=300)
    assert domain.tags == ("interior", "boundary", "end", "bore")
    assert str(domain).startswith("mesh(part.stl, ")
    bore = domain.point_set("bore").coordinates[:, :3]
    assert (np.linalg.norm(bore[:, :2], axis=1) <= 0.3 + 1e-7).all()
    x, *_ = domain.variable("bore")
    solver = tx.core({"term": (tx.nn.parameter(1.0) * x).mse}, optimizer=optax.sgd(0.1), devices=1, dtype="float64")
    towards_axis = np.stack(solver.eval(list(domain.normal("bore"))), axis=1)
    assert (np.sum(towards_axis[:, :2] * bore[:, :2], axis=1) < -0.29).all()


def test_pieces_of_a_file_are_tags(tmp_path):
    """Two solids in one ASCII STL: the halves of a cube's surface."""
    path = tmp_path / "two.stl"
    text = []
    for name, chosen in (("low", range(6)), ("high", range(6, 12))):
        text.append(f"solid {name}")
        for face in chosen:
            corners = "\n".join(f"vertex {x} {y} {z}" for x, y, z in CUBE.triangles[face])
            text.append(f"facet normal 0 0 0\nouter loop\n{corners}\nendloop\nendfacet")
        text.append(f"endsolid {name}")
    path.write_text("\n".join(text) + "\n")
    domain = tx.domain.mesh(path, n=20, boundary=100)
    assert set(domain.tags) == {"interior", "boundary", "low", "high"}
    assert domain.shape.volume == pytest.approx(6.0)
    for name, chosen in (("low", range(6)), ("high", range(6, 12))):
        points = domain.point_set(name).coordinates[:, :3]
        _, away, _ = trimesh.proximity.closest_point(trimesh.Trimesh(CUBE.vertices, CUBE.faces[list(chosen)]), points)
        assert away.max() < 1e-12


def test_a_file_that_places_its_pieces(tmp_path):
    """Two balls, the second one the first at another place: one file, two tags, both volumes."""
    scene = trimesh.Scene()
    for name, x in (("sun", 0.0), ("moon", 3.0)):
        move = trimesh.transformations.translation_matrix((x, 0, 0))
        scene.add_geometry(SOLIDS["ball"]().apply_scale(0.5), geom_name=name, node_name=name, transform=move)
    scene.export(tmp_path / "two.glb")
    domain = tx.domain.mesh(tmp_path / "two.glb", n=20, boundary=100)
    assert domain.shape.volume == pytest.approx(2 * SOLIDS["ball"]().volume / 8, rel=1e-5)
    assert (domain.point_set("moon").coordinates[:, 0] > 2).all()
    assert (domain.point_set("sun").coordinates[:, 0] < 1).all()


def test_turned_to_the_outside_and_joined():
    """Triangles that face inwards, each with corners of its own, one twice as a sliver without an area."""
    corners = CUBE.triangles.reshape(-1, 3)
    faces = np.arange(len(corners)).reshape(-1, 3)[:, ::-1]
    faces = np.concatenate([faces, [[0, 0, 1]]])
    names = [*["side"] * 12, "nothing"]
    shape = tx.domain.mesh((corners, faces), names).shape
    assert shape.volume == pytest.approx(6.0) and shape.sides == ("side",)
    assert shape.inside(np.zeros((1, 3))).all()


def test_combined_moved_and_over_time():
    bored = tx.domain.mesh((CUBE.vertices, CUBE.faces)) - tx.domain.ball((0.0, 0.0, 0.0), 0.4).named("hole")
    domain = bored.translate((5.0, 0.0, 0.0)).sample(n=300, boundary=200).over_time(0.0, 1.0)
    points = domain.point_set("interior").coordinates
    assert (np.linalg.norm(points[:, :3] - [5.0, 0.0, 0.0], axis=1) > 0.4).all()
    assert (np.abs(points[:, :3] - [5.0, 0.0, 0.0]) < [0.5, 1.0, 1.5]).all()
    assert len(domain.point_set("hole")) > 5


def test_triangles_in_the_plane():
    """An L with a hole, and apart from it a triangle, cut up by Delaunay: against shapely's region of the same."""
    outline = shapely.Polygon([(0, 0), (4, 0), (4, 2), (2, 2), (2, 4), (0, 4)], [[(1, 1), (1, 1.5), (1.5, 1)]])
    region = outline | shapely.Polygon([(3, 3), (4, 3), (4, 4)])
    grid = np.stack(np.meshgrid(np.arange(0, 4.1, 0.5), np.arange(0, 4.1, 0.5)), axis=-1).reshape(-1, 2)
    actual = Delaunay(grid).simplices
    actual = actual[[region.contains(shapely.Polygon(corners).buffer(-1e-6)) for corners in grid[actual]]]
    region = shapely.union_all(shapely.polygons(grid[actual]))
    domain = tx.domain.mesh((grid, actual), n=200, boundary=300)
    assert domain.measure("interior") == pytest.approx(region.area, abs=2e-3)
    assert domain.measure("boundary") == pytest.approx(region.length, abs=2e-2)
    points = np.random.default_rng(0).uniform(-0.5, 4.5, (500, 2))
    np.testing.assert_array_equal(domain.shape.inside(points), shapely.contains_xy(region, *points.T))
    edge = shapely.points(domain.point_set("boundary").coordinates[:, :2])
    assert max(region.boundary.distance(each) for each in edge) < 1e-12
    alone = tx.domain.mesh((np.array(TRIANGLE[0]), np.array(TRIANGLE[1]))).shape
    assert alone.volume == 0.5 and len(alone.corners) == 3


def refused():
    open_cube = (CUBE.vertices, CUBE.faces[1:])
    triple = (CUBE.vertices, np.concatenate([CUBE.faces, CUBE.faces[:1, ::-1]]))
    twice = trimesh.util.concatenate([CUBE, CUBE.copy().apply_translation((0.1, 0.1, 0.1))])
    nan = np.where(np.arange(24).reshape(8, 3) == 5, np.nan, CUBE.vertices)
    whole = (CUBE.vertices, CUBE.faces)
    return {
        "open": (open_cube, None, "3 of its 18 edges belong to one triangle alone, the first from"),
        "three at an edge": (triple, None, "edges belong to more than two triangles"),
        "overlap": ((twice.vertices, twice.faces), None, "its surface goes 2 times round"),
        "not finite": ((nan, CUBE.faces), None, "coordinates must be finite"),
        "nothing": ((CUBE.vertices, CUBE.faces[:0]), None, "0 triangles"),
        "flat": (([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]]), None, "without an area"),
        "in the plane, names": (TRIANGLE, ["a"], "name the edges of a tx.domain.polygon"),
        "in the plane, overlap": ((TRIANGLE[0], [[0, 1, 2], [0, 1, 2]]), None, "areas of 1 and fill 0.5"),
        "in the plane, flat": (([[0.0, 0], [1, 0], [2, 0]], [[0, 1, 2]]), None, "must have areas"),
        "in the plane, numbers": ((TRIANGLE[0], [[0, 1, 3]]), None, "whole numbers from 0 to 2"),
        "in the plane, pairs": ((TRIANGLE[0], [[0, 1]]), None, "give three numbers of corners"),
        "four coordinates": (([[0.0] * 4] * 3, [[0, 1, 2]]), None, "give the corners as"),
        "numbers": ((CUBE.vertices, CUBE.faces + 1), None, "whole numbers from 0 to 7"),
        "few names": (whole, ["a"], "1 names for 12 triangles"),
        "a tag's name": (whole, ["interior"] * 12, "triangles named 'interior'"),
        "no file": ("nowhere.stl", None, "there is no such file"),
    }


@pytest.mark.parametrize("case", refused())
def test_refused(case):
    source, names, message = refused()[case]
    with pytest.raises(ValueError, match=message):
        tx.domain.mesh(source, names)


def test_a_file_that_is_no_mesh(tmp_path):
    for name, text in (("part.stl", "not a mesh"), ("part.docx", "x")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=r"Formats that can be read: .*stl|it holds no triangles"):
            tx.domain.mesh(tmp_path / name)


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trimesh", None)
    with pytest.raises(ImportError, match=r"tx.domain.mesh needs trimesh: pip install 'tangrax\[mesh\]'"):
        tx.domain.mesh((CUBE.vertices, CUBE.faces))
