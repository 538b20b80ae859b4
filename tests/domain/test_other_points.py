"""Other points of a tag: on the right set, spread evenly, the same for the same key."""

import numpy as np
import pytest
from scipy import stats

import tangrax as tx

DOMAINS = {
    "grid": lambda: tx.domain.rect((0.0, -1.0), (2.0, 1.0), mesh_size=0.5),
    "grid over time": lambda: tx.domain.rect((0.0, -1.0), (2.0, 1.0), mesh_size=0.5).over_time(1.0, 3.0),
    "points": lambda: tx.domain.rect((0.0, -1.0), (2.0, 1.0), n=40, boundary=20),
    "points over time": lambda: tx.domain.rect((0.0, -1.0), (2.0, 1.0), n=40).over_time(1.0, 3.0),
}
SIDES = {"left": (0, 0.0), "right": (0, 2.0), "bottom": (1, -1.0), "top": (1, 1.0)}


@pytest.mark.parametrize("name", DOMAINS)
def test_draws_are_on_their_set(name):
    domain = DOMAINS[name]()
    for tag in domain.tags:
        points = domain.point_set(tag).draw(301, 7)
        assert points.shape == (301, 3)
        space, time = points[:, :2], points[:, 2]
        inside = ((space > [0, -1]) & (space < [2, 1])).all(axis=1)
        on = {side: space[:, axis] == value for side, (axis, value) in SIDES.items()}
        if tag in SIDES:
            assert on[tag].all()
        elif tag == "boundary":
            assert (np.sum(list(on.values()), axis=0) >= 1).all()
            # Four sides of length 2: as many points on each.
            assert all(abs(np.sum(which) - 75) <= 8 for which in on.values())
        else:
            assert inside.all()
        if domain.time is None:
            assert (time == 0).all()
        elif tag in ("initial", "final"):
            assert (time == {"initial": 1.0, "final": 3.0}[tag]).all()
        else:
            assert (time > 1).all() and (time <= 3).all()
            assert stats.kstest((time - 1) / 2, "uniform").pvalue > 0.01
        varying = [column for column in space.T if np.ptp(column) > 0 and tag != "boundary"]
        for column in varying:
            assert stats.kstest((column - column.min()) / np.ptp(column), "uniform").pvalue > 0.01


def test_draws_are_told_by_their_key():
    points = tx.domain.rect(n=30).over_time(0.0, 1.0).point_set("left")
    first = points.draw(64, 2, 5)
    np.testing.assert_array_equal(first, points.draw(64, 2, 5))
    np.testing.assert_array_equal(first[:10], points.draw(10, 2, 5))
    for other in ((2, 6), (3, 5)):
        assert not np.isin(first[:, 1], points.draw(64, *other)[:, 1]).any()


def test_ends_of_an_interval():
    steady, moving = tx.domain.line(n=10), tx.domain.line(n=10).over_time(0.0, 1.0)
    for tag in ("boundary", "left"):
        with pytest.raises(ValueError, match=f"no other points can be drawn for '{tag}' of line"):
            steady.point_set(tag).draw(3, 1)
        points = moving.point_set(tag).draw(3, 1)
        assert np.isin(points[:, 0], [0.0, 1.0]).all() and len(np.unique(points[:, 1])) == 3


def test_a_side_that_is_next_to_nothing():
    thin = tx.domain.rect((0, 0), (1.0, 1e-7), mesh_size=0.5)
    with pytest.raises(ValueError, match=r"fewer than 9 of \d+ points drawn for it lie on it"):
        thin.point_set("right").draw(9, 1)
