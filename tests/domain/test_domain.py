"""Domains: how many points, where, under which tags."""

import numpy as np
import pytest
from scipy.stats import qmc

import tangrax as tx


def coordinates(domain, tag):
    return domain.point_set(tag).coordinates


@pytest.mark.parametrize("mesh_size, inside", [(0.001, 999), (0.1, 9), (0.5, 1)])
def test_line_on_a_grid(mesh_size, inside):
    domain = tx.domain.line(mesh_size=mesh_size)
    x = coordinates(domain, "interior")[:, 0]
    np.testing.assert_allclose(x, np.linspace(0, 1, inside + 2)[1:-1], atol=1e-15)
    assert coordinates(domain, "boundary")[:, 0].tolist() == [0.0, 1.0]
    assert coordinates(domain, "left").tolist() == [[0.0, 0.0]]
    assert coordinates(domain, "right").tolist() == [[1.0, 0.0]]


def test_variables_are_space_axes_and_time():
    assert [str(c) for c in tx.domain.line(mesh_size=0.5).variable("interior")] == ["x", "t"]
    assert [str(c) for c in tx.domain.rect(mesh_size=0.5).variable("interior")] == ["x", "y", "t"]
    four = tx.domain.box((0,) * 4, (1,) * 4, n=8)
    assert [str(c) for c in four.variable("interior")] == ["x1", "x2", "x3", "x4", "t"]


def test_rectangle_on_a_grid():
    domain = tx.domain.rect((0.0, -1.0), (2.0, 1.0), mesh_size=0.5)
    assert len(coordinates(domain, "interior")) == 9
    edge = coordinates(domain, "boundary")
    assert len(edge) == 25 - 9 == len(np.unique(edge, axis=0))
    for side, column, value in (("left", 0, 0.0), ("right", 0, 2.0), ("bottom", 1, -1.0), ("top", 1, 1.0)):
        points = coordinates(domain, side)
        assert len(points) == 5 and (points[:, column] == value).all()


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_low_discrepancy_points(dimension):
    lower, upper = np.arange(dimension) - 1.0, np.arange(dimension) + 2.0
    domain = tx.domain.box(lower, upper, n=200, boundary=60)
    inside = coordinates(domain, "interior")
    assert inside.shape == (200, dimension + 1)
    assert (inside[:, :-1] > lower).all() and (inside[:, :-1] < upper).all() and (inside[:, -1] == 0).all()
    unit = (inside[:, :-1] - lower) / (upper - lower)
    random = np.random.default_rng(0).uniform(size=unit.shape)
    assert qmc.discrepancy(unit) < qmc.discrepancy(random)
    edge = coordinates(domain, "boundary")
    assert len(edge) == (60 if dimension > 1 else 2)
    on = (edge[:, :-1] == lower) | (edge[:, :-1] == upper)
    assert (on.sum(axis=1) == 1).all(), "each sampled boundary point lies on one face"
    # Faces of equal area get equal shares.
    assert np.abs(on.sum(axis=0) - len(edge) / dimension).max() <= 3
    sides = [coordinates(domain, side) for side in domain.shape.sides]
    assert sum(map(len, sides)) == len(edge)


def test_shares_of_faces_go_with_their_size():
    domain = tx.domain.rect((0.0, 0.0), (9.0, 1.0), n=10, boundary=200)
    assert abs(len(coordinates(domain, "left")) - 10) <= 2
    assert abs(len(coordinates(domain, "top")) - 90) <= 4


def test_the_first_points_do_not_depend_on_how_many_follow():
    few, many = (coordinates(tx.domain.rect(n=n), "interior") for n in (10, 100))
    np.testing.assert_array_equal(few, many[:10])
    other = coordinates(tx.domain.rect(n=10, seed=1), "interior")
    assert not np.allclose(few, other)


def test_over_time_on_a_grid():
    domain = tx.domain.line(-1.0, 1.0, mesh_size=0.5).over_time(0.0, 1.0, mesh_size=0.25)
    inside = coordinates(domain, "interior")
    assert len(inside) == 3 * 4 and (inside[:, 1] > 0).all() and (inside[:, 1] == 1).sum() == 3
    edge = coordinates(domain, "boundary")
    assert len(edge) == 2 * 5 and set(edge[:, 0]) == {-1.0, 1.0}
    assert sorted(coordinates(domain, "initial")[:, 0]) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert set(coordinates(domain, "initial")[:, 1]) == {0.0}
    assert set(coordinates(domain, "final")[:, 1]) == {1.0}


def test_over_time_counts_space_time_points():
    domain = tx.domain.line(n=500).over_time(1.0, 3.0, initial=40)
    inside = coordinates(domain, "interior")
    assert inside.shape == (500, 2) and (inside[:, 1] > 1).all() and (inside[:, 1] <= 3).all()
    assert np.ptp(inside[:, 1]) > 1.9
    assert len(coordinates(domain, "initial")) == len(coordinates(domain, "final")) == 40
    edge = coordinates(domain, "boundary")
    assert abs((edge[:, 0] == 0).sum() - len(edge) / 2) <= 1 and np.ptp(edge[:, 1]) > 1.8


REFUSED = {
    "mesh size 0": (lambda: tx.domain.line(mesh_size=0.0), "mesh_size=0.0"),
    "mesh size below 0": (lambda: tx.domain.rect(mesh_size=-0.1), "mesh_size=-0.1"),
    "mesh size nan": (lambda: tx.domain.line(mesh_size=float("nan")), "mesh_size=nan"),
    "no points": (lambda: tx.domain.line(n=0), "n=0"),
    "neither": (lambda: tx.domain.line().variable("interior"), r"line\(0.0, 1.0\) has no points yet"),
    "neither, but of the boundary": (lambda: tx.domain.rect(boundary=3), "give one of the two"),
    "no points over time": (lambda: tx.domain.line().over_time(0.0, 1.0), "has no points yet"),
    "both": (lambda: tx.domain.line(n=3, mesh_size=0.1), "give one of the two"),
    "reversed": (lambda: tx.domain.line(1.0, 0.0, n=3), "below its upper"),
    "corners of two lengths": (lambda: tx.domain.box((0.0,), (1.0, 1.0), n=3), "same number of coordinates"),
    "a rectangle in 3-D": (lambda: tx.domain.rect((0.0,) * 3, (1.0,) * 3, n=3), "two coordinates"),
    "time reversed": (lambda: tx.domain.line(n=3).over_time(1.0, 0.0), "before the end"),
    "time in steps of 0": (lambda: tx.domain.line(n=3).over_time(0.0, 1.0, mesh_size=0.0), "positive"),
    "a grid with nothing inside": (lambda: tx.domain.line(mesh_size=1.0).variable("interior"), "holds no points"),
    "time of a steady domain": (lambda: tx.domain.line(n=3).variable("initial"), "unknown tag 'initial'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()
