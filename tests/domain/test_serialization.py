"""Shapes as data: what is read back is the shape that was written, and nothing else is taken for one."""

import json

import numpy as np
import pytest

import tangrax as tx
from tangrax.domain import Box
from tangrax.domain.serialization import shape_from, written

disk, rect = tx.domain.disk, tx.domain.rect
L = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
SHAPES = {
    "interval": lambda: tx.domain.line(-1.0, 2.0),
    "hole with a name": lambda: rect((0, 0), (2, 1)) - disk((1, 0.5), 0.25).named("hole"),
    "ellipse, turned": lambda: tx.domain.ellipse((0.3, 0.1), (1.0, 0.4)).rotate(0.3).scale(1.7),
    "polygon or disk": lambda: tx.domain.polygon(L) | disk((2, 2), 0.7),
    "polygon and disk": lambda: tx.domain.polygon(L) & disk((1, 1), 1.3),
    "extruded": lambda: tx.domain.extrusion(tx.domain.polygon(L), 0.0, 0.5) - tx.domain.ball((1, 1, 0), 0.4),
}


def back(shape):
    """By way of a file's text and arrays."""
    arrays = {}
    return shape_from(json.loads(json.dumps(written(shape, arrays, "region"))), arrays)


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_is_read_that_was_written(name):
    """The same level to the last bit, and the same boundary."""
    shape = SHAPES[name]().shape
    again = back(shape)
    lower, upper = map(np.array, shape.bounds)
    points = lower + np.random.default_rng(0).uniform(-0.2, 1.2, (500, shape.dimension)) * (upper - lower)
    np.testing.assert_array_equal(again.level(points), shape.level(points))
    assert again == shape and again.sides == shape.sides


def test_a_mesh_is_read_that_was_written():
    """Its arrays stand apart: a tetrahedron, of which a point lies inside, on a corner, and outside."""
    pytest.importorskip("igl")
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
    again = back(tx.domain.mesh((corners, faces)).shape)
    assert again.holds(np.array([[0.1, 0.1, 0.1], [0, 0, 1], [0.5, 0.5, 0.5]])).tolist() == [True, True, False]


def test_a_shape_of_ones_own_is_not_written():
    """Nothing would know how to make it; nor one that it is a part of."""

    class Mine(Box): ...

    mine = tx.domain.Domain(Mine((0.0, 0.0), (1.0, 1.0)))
    assert written(mine.shape, {}, "region") is None
    assert written((mine - disk((0, 0), 0.5)).shape, {}, "region") is None


@pytest.mark.parametrize(
    "content", [{}, {"kind": "eval"}, {"kind": "Ball"}, {"kind": "Ball", "center": [0, 0], "radius": -1.0}]
)
def test_what_is_no_shape_is_refused(content):
    with pytest.raises((KeyError, TypeError, ValueError)):
        shape_from(content, {})
