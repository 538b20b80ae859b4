"""Points that do not fit, and shapes that hold none. Oracles: counts and areas by hand."""

import math

import numpy as np
import pytest

import tangrax as tx
from tangrax.domain import point_memory

BOX = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.fixture
def small(monkeypatch):
    """A machine of 24 MB."""
    monkeypatch.setattr(point_memory, "host_memory", lambda: 24 * 10**6)


@pytest.mark.parametrize(
    ("make", "tag", "words"),
    [
        (lambda: tx.domain.line(mesh_size=1e-9), "interior", r"mesh_size=1e-09 makes 1,000,000,001 points.*GiB"),
        (lambda: tx.domain.line(mesh_size=1e-320), "interior", "countless points"),
        (lambda: tx.domain.box(*BOX, mesh_size=1e-3), "boundary", r"1,003,003,001 points"),
        (lambda: tx.domain.disk((0, 0), 1, mesh_size=1e-5), "interior", r"40,000,400,001 points"),
        (lambda: tx.domain.rect(mesh_size=0.1).over_time(0, 1, mesh_size=1e-6), "initial", r"121,000,121 points"),
        (lambda: tx.domain.disk((0, 0), 1, n=10**9), "interior", r"n=1000000000 makes 1,000,000,000 points"),
        (lambda: tx.domain.rect(n=9, boundary=10**9), "boundary", r"1000000000 on the boundary"),
        (lambda: tx.domain.rect(n=9).over_time(0, 1, initial=10**9), "initial", r"n=1000000000"),
    ],
    ids=["line", "tiny", "box", "disk", "over time", "n", "boundary", "initial"],
)
def test_more_points_than_the_memory_holds_are_refused_before_one_is_made(small, make, tag, words):
    with pytest.raises(ValueError, match=words):
        make().point_set(tag)


def test_points_of_a_box_are_refused_where_they_are_asked_for(small):
    # Each process makes its own part of them: the number itself is no fault.
    points = tx.domain.rect(n=10**9, boundary=4).point_set("interior").rows
    assert points[10**9 - 3 :].shape == (3, 3)
    with pytest.raises(ValueError, match="n=1000000000 makes"):
        points[:]


def test_candidates_of_a_resampling_and_points_held_out_are_reckoned_too(small):
    points = tx.domain.rect(n=9, boundary=4).point_set("interior")
    with pytest.raises(ValueError, match="GiB"):
        points.draw(10**9, 0, 0, 0)
    x, _, _ = tx.domain.rect(n=9, boundary=4).variable("interior")
    with pytest.raises(ValueError, match="GiB"):
        np.asarray(x.held_out(10**9).points.rows)


def test_a_grid_is_that_of_the_shape_before_it_was_turned(small):
    # 0.001 wide: 2 x 1001 nodes, while the bounds of the turned one would hold 500,000.
    thin = tx.domain.rect((0, 0), (1, 1e-3)).rotate(math.pi / 4)
    assert len(thin.sample(mesh_size=1e-3).point_set("boundary")) == 2002


def test_what_fits_is_made():
    assert len(tx.domain.line(mesh_size=1e-4).point_set("interior")) == 9_999


UNIT = tx.domain.rect()


@pytest.mark.parametrize(
    "make",
    [
        lambda: UNIT - UNIT,
        lambda: UNIT - tx.domain.rect((-1, -1), (2, 2)),
        lambda: UNIT - tx.domain.disk((0.5, 0.5), 0.8),
        lambda: UNIT & tx.domain.rect((1, 0), (2, 1)),
        lambda: tx.domain.disk((0, 0), 1) & tx.domain.disk((1.5, 1.5), 1),
        lambda: tx.domain.disk((0, 0), 1) & tx.domain.disk((2, 0), 1),
        lambda: tx.domain.box(*BOX) - tx.domain.ball((0.5, 0.5, 0.5), 0.9),
    ],
    ids=["itself", "covered", "covered by a disk", "edges touch", "apart", "disks touch", "in space"],
)
def test_combined_shapes_that_hold_nothing_are_refused(make):
    with pytest.raises(ValueError, match="is empty"):
        make()


def test_a_thin_shape_is_one():
    # 1e-5 of the square is left: by hand.
    thin = UNIT - tx.domain.rect((0, 0), (1, 1 - 1e-5))
    points = thin.sample(n=4, boundary=4).point_set("interior").coordinates
    assert (points[:, 1] > 1 - 1e-5).all()
    # The lens of two unit disks 2 - d apart has a half angle acos(1 - d / 2): 0.01 of the circle here.
    lens = tx.domain.disk((0, 0), 1) & tx.domain.disk((2 - 1e-3, 0), 1)
    assert lens.shape.sides == ()


@pytest.mark.parametrize("height", [0.0, 1e-11])
def test_flat_polygons_are_refused(height):
    with pytest.raises(ValueError, match=r"flat|on one line"):
        tx.domain.polygon([(0, 0), (1, 0), (2, height)])


def solid(height):
    """A tetrahedron of volume height / 6."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.2, 0.2, height]], float)
    return vertices, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])


@pytest.mark.parametrize("height", [0.0, 1e-10])
def test_flat_solids_are_refused(height):
    with pytest.raises(ValueError, match="flat: a volume of"):
        tx.domain.mesh(solid(height), n=20, boundary=10)


def test_a_flat_piece_beside_a_solid_one_is_refused():
    (whole, faces), (flat, others) = solid(1.0), solid(0.0)
    with pytest.raises(ValueError, match="4 triangles is flat"):
        tx.domain.mesh((np.concatenate([whole, flat + 5]), np.concatenate([faces, others + 4])), n=20, boundary=10)


def test_a_thin_solid_is_one():
    domain = tx.domain.mesh(solid(1e-5))
    assert domain.shape.volume == pytest.approx(1e-5 / 6)
