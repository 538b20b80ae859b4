"""Pictures leave open what is no domain and what is no number; what they show together has one range.

The domains are known by formulas of their own here: distances from centres, signs of coordinates.
"""

import numpy as np
import optax
import pytest
from matplotlib.collections import TriMesh
from matplotlib.tri import Triangulation

import tangrax as tx
from tangrax import analysis, report
from tangrax.report import fields

RANDOM = np.random.default_rng(0)
CENTRES = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])


def four_holes():
    actual = tx.domain.rect()
    for x, y in CENTRES:
        actual = actual - tx.domain.disk((x, y), 0.1)
    return actual


def in_a_hole(at):
    return (np.linalg.norm(at[:, None, :2] - CENTRES, axis=2) < 0.1).any(axis=1)


DOMAINS = {
    "holes": (four_holes, in_a_hole),
    "an L": (
        lambda: tx.domain.polygon([(0, 0), (1, 0), (1, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)]),
        lambda at: (at[:, 0] > 0.5) & (at[:, 1] > 0.5),
    ),
    "a ring, turned": (
        lambda: (tx.domain.disk((0.5, 0.5), 0.5) - tx.domain.disk((0.5, 0.7), 0.2)).rotate(np.pi / 2, (0.5, 0.5)),
        lambda at: (np.hypot(*(at[:, :2] - 0.5).T) > 0.5) | (np.hypot(at[:, 0] - 0.3, at[:, 1] - 0.5) < 0.2),
    ),
}


def painted_triangles(mesh):
    """The triangles that a map paints, by their outlines."""
    corners = np.array([path.vertices[:3] for path in mesh.get_paths()])
    places, triangles = np.unique(corners.reshape(-1, 2), axis=0, return_inverse=True)
    return Triangulation(*places.T, triangles.reshape(-1, 3))


@pytest.mark.parametrize("n", [500, 2000, 4336])
@pytest.mark.parametrize("name", DOMAINS)
def test_maps_cover_the_domain_alone(name, n):
    """At random places: hardly any outside is painted (chords of curved edges), hardly any inside is not."""
    make, outside = DOMAINS[name]
    points = make().sample(n=n).point_set("interior")
    (mesh,) = report.field(
        points.coordinates, np.zeros(n), points.axes, inside=report.inside_of(points.region)
    ).collections
    at = RANDOM.random((20_000, 2))
    painted = painted_triangles(mesh).get_trifinder()(*at.T) >= 0
    assert painted[outside(at)].mean() < 0.01
    assert painted[~outside(at)].mean() > 0.9
    without = report.triangles(*points.coordinates[:, :2].T).get_trifinder()(*at.T) >= 0
    assert (without & outside(at)).sum() > 3 * (painted & outside(at)).sum()


def test_slices_of_a_solid_leave_its_cavity_open():
    """Of a ball within a box; what is drawn between points of several heights is judged in space."""
    solid = tx.domain.box((0, 0, 0), (1, 1, 1)) - tx.domain.ball((0.5, 0.5, 0.5), 0.35)
    points = solid.sample(n=6000).point_set("interior")
    at, inside = points.coordinates, report.inside_of(points.region)
    for frame in fields.frames(at, points.axes)[3:5]:
        rows = at[frame.rows]
        triangles = report.triangles(rows[:, 0], rows[:, 1], rows, inside).get_masked_triangles()
        middles = rows[triangles].mean(axis=1)
        assert len(triangles) > 300
        assert np.linalg.norm(middles[:, :3] - 0.5, axis=1).min() > 0.35 - 1e-5


def test_over_time_the_hole_stays():
    ring = tx.domain.disk((0, 0), 1.0) - tx.domain.disk((0, 0), 0.4)
    points = ring.sample(n=1500).over_time(0.0, 5.0).point_set("interior")
    rows = points.coordinates[:800]
    triangles = report.triangles(rows[:, 0], rows[:, 1], rows, report.inside_of(points.region)).get_masked_triangles()
    assert np.hypot(*rows[triangles].mean(axis=1)[:, :2].T).min() > 0.4 - 1e-5


def test_a_curve_is_broken_where_it_leaves_the_domain():
    """Along y = 1/4 through two holes, from 0.15 to 0.35 and from 0.65 to 0.85."""
    domain = four_holes().sample(n=50)
    x = np.concatenate([np.linspace(0, 0.15, 20), np.linspace(0.35, 0.65, 30), np.linspace(0.85, 1, 20)])
    domain.points("cut", np.column_stack([x, np.full(70, 0.25)])[RANDOM.permutation(70)])
    points = domain.point_set("cut")
    at, inside = points.coordinates, report.inside_of(points.region)
    (line,) = report.field(at, at[:, 0] + 1, points.axes, inside=inside).lines
    curve = np.asarray(line.get_xydata())
    open_at = np.isnan(curve[:, 1])
    np.testing.assert_allclose(curve[open_at, 0], [0.25, 0.75])
    np.testing.assert_array_equal(curve[~open_at, 1], x + 1)
    for line in report.solution(at[:, 0], at[:, 0], at[:, 0], breaks=fields.breaks(at, 0, inside)).lines:
        assert np.isnan(line.get_ydata()).sum() == 2


def test_a_map_of_an_eigenfunction_leaves_holes_open():
    points = four_holes().sample(n=800).point_set("interior")
    at = points.coordinates[:, :2]
    axes = report.eigenfunction(at, at[:, 0] - 0.4, inside=report.inside_of(points.region))
    assert isinstance(axes.collections[0], TriMesh)
    actual = painted_triangles(axes.collections[0]).get_trifinder()(*CENTRES.T)
    assert (actual == -1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_a_hole_and_counted(bad):
    at = np.column_stack([RANDOM.random((900, 2)), np.zeros(900)])
    values = at[:, 0] + 1
    lost = np.hypot(at[:, 0] - 0.5, at[:, 1] - 0.5) < 0.2
    values[lost] = bad
    axes = report.field(at, values, ["x", "y", "t"], title="u")
    assert axes.get_title() == f"u\n{lost.sum()} of 900 values are not finite"
    (mesh,) = axes.collections
    corners = painted_triangles(mesh)
    assert set(zip(corners.x, corners.y, strict=True)) <= set(map(tuple, at[~lost, :2]))
    assert mesh.get_clim() == (values[~lost].min(), values[~lost].max())
    (crosses,) = axes.lines
    np.testing.assert_array_equal(crosses.get_xydata(), at[lost, :2])
    assert not report.field(at, np.full(900, bad), ["x", "y", "t"]).get_title().startswith("\n")


def test_shapes_of_a_run_reach_its_page_and_so_does_one_range(tmp_path, monkeypatch):
    """The record knows the domain; a wrong field and its reference have the colours of both; a cloud has no domain."""
    pictures = []
    plain = fields.field

    def noted(at, values, names, axes=None, **how):
        pictures.append((how["title"], how["limits"], how["inside"]))
        return plain(at, values, names, axes, **how)

    monkeypatch.setattr(fields, "field", noted)
    x, y, _ = four_holes().sample(n=300).variable("interior")
    cx, cy, _ = tx.domain.cloud({"scan": RANDOM.random((40, 2))}).variable("scan")
    net = tx.nn.mlp(2, width=3, depth=1)
    u, wrong = net(x, y), 100 + 0 * x
    solver = tx.core({"fit": u.mse, "seen": net(cx, cy).mse}, optimizer=optax.sgd(0.0), dtype="float64", devices=1)
    solver.solve(1, progress=False, run_dir=tmp_path, show={"u": (wrong, x)})
    record = analysis.read_record(tmp_path)
    at = RANDOM.random((2000, 2))
    inside = fields.recorded_inside(record, 0)
    assert inside is not None
    np.testing.assert_array_equal(inside(at), ~in_a_hole(at))
    report.write_report(tmp_path)
    of = {title: (limits, inside) for title, limits, inside in pictures}
    low = record.arrays["reference/0"].min()
    assert of["u"][0] == of["reference"][0] == (low, 100.0)
    assert of["error of u, range of its own"][0][1] < 100
    assert of["u"][1] is not None and of["seen"][1] is None
