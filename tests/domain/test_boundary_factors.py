"""Factors that vanish on a boundary: where they should, nowhere else, with slopes; and a problem solved by one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax.domain.factors import Factor, value

rect, disk, polygon = tx.domain.rect, tx.domain.disk, tx.domain.polygon
L = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)]
SHAPES = {
    "line": lambda: tx.domain.line(-1.0, 2.0),
    "rect": lambda: rect((0.0, 1.0), (2.0, 2.0)),
    "box": lambda: tx.domain.box((0.0,) * 4, (1.0,) * 4),
    "ball": lambda: tx.domain.ball((1.0, 0.0, 0.0), 2.0),
    "ellipse": lambda: tx.domain.ellipse((0.0, 0.0), (2.0, 0.5)).rotate(0.4).scale(1.5),
    "triangle": lambda: polygon([(0.0, 0.0), (0.0, 1.0), (2.0, 0.0)]),
    "an L": lambda: polygon(L),
    "wedge": lambda: tx.domain.extrusion(polygon(L), 0.0, 2.0),
    "hole": lambda: rect() - disk((0.5, 0.5), 0.2).named("hole"),
    "notch": lambda: rect() - rect((0.5, 0.5), (2.0, 2.0)),
    "pierced L": lambda: polygon(L) - polygon([(0.2, 0.2), (0.6, 0.3), (0.3, 0.6)]).translate((0.1, 0.1)),
    "capsule": lambda: (rect() | disk((0.0, 0.5), 0.5)) | disk((1.0, 0.5), 0.5),
    "lens, cut": lambda: (disk((0.0, 0.0), 1.0) & disk((1.0, 0.0), 1.0)) - (rect((0.4, -0.1), (0.6, 0.1))),
    "pipe": lambda: tx.domain.cylinder((0.0, 0.0), 1.0, 0.0, 1.0) - tx.domain.cylinder((0.0, 0.0), 0.5, -1.0, 2.0),
}


def values(function, points):
    return np.asarray(jax.jit(jax.vmap(lambda x: function(*x)))(jnp.asarray(points, jnp.float64)))


SLOW = ("box", "ball", "ellipse", "wedge", "pierced L", "lens, cut", "pipe")


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SHAPES])
def domain(request):
    return SHAPES[request.param]().sample(n=512, boundary=256)


def test_zero_on_the_boundary_and_above_inside(domain):
    factor, d = Factor(domain.shape), domain.shape.dimension
    inside = values(factor, domain.point_set("interior").coordinates[:, :d])
    assert (inside > 0).all() and 0.7 < inside.max() < 1.5
    edge = domain.point_set("boundary").coordinates[:, :d]
    np.testing.assert_allclose(values(factor, edge), 0, atol=1e-7)


def test_signs(domain):
    """Of the function that holds outside too: those of the shape, over all of its bounds and beyond."""
    lower, upper = (np.array(bound) for bound in domain.shape.bounds)
    points = np.random.default_rng(0).uniform(lower - 0.3, upper + 0.3, (500, len(lower)))
    level = domain.shape.level(points)
    far = abs(level) > 1e-6
    found = values(lambda *x: value(domain.shape, jnp.stack(x), True), points)
    np.testing.assert_array_equal(found[far] > 0, level[far] < 0)


def test_it_rises_from_the_boundary(domain):
    """Halving the distance from a boundary point halves it, along the normal: no zero of second order, no kink."""
    random = np.random.default_rng(1)
    edge = domain.shape.surface(random.random((300, domain.shape.dimension)))
    points, normals = edge.points[edge.kept], edge.normals[edge.kept]
    step = 1e-8 * domain.shape.size
    factor = Factor(domain.shape)
    near, nearer = (values(factor, points - far * normals) for far in (step, step / 2))
    away = near > np.median(near) / 30  # not beside a corner, where both boundaries make it small
    assert away.mean() > 0.8
    np.testing.assert_allclose(near[away] / nearer[away], 2, rtol=5e-3)


@pytest.mark.parametrize("name", ["hole", "an L", pytest.param("capsule", marks=pytest.mark.slow)])
def test_derivatives(name):
    """Laplacians as a solver computes them, against central differences."""
    domain = SHAPES[name]().sample(n=200, boundary=10)
    d = domain.shape.dimension
    space = domain.variable("interior")[:d]
    field = domain.factor(*space)
    k = tx.nn.parameter(1.0)
    solver = tx.core({"term": (k * field).mse}, optimizer=optax.sgd(0.1), devices=2, dtype="float64")
    points = domain.point_set("interior").coordinates[:, :d]
    clear = -domain.shape.level(points) > 0.05
    h, factor = 1e-3, Factor(domain.shape)
    wanted = 0
    for axis in np.eye(d):
        around = [values(factor, points + i * h * axis) for i in (-2, -1, 0, 1, 2)]
        wanted = wanted + np.tensordot([-1, 16, -30, 16, -1], around, 1) / (12 * h**2)
    found = solver.eval(field.laplacian(*space))
    np.testing.assert_allclose(found[clear], wanted[clear], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_condition_by_the_form():
    """Δu = f on a square with a hole, u = 0 on all of its boundary, which no term says."""
    domain = SHAPES["hole"]().sample(n=600, boundary=10)
    x, y, _ = domain.variable("interior")
    exact = x * (1 - x) * y * (1 - y) * ((x - 0.5) ** 2 + (y - 0.5) ** 2 - 0.04)
    u = domain.factor(x, y) * tx.nn.mlp(2, width=12, depth=2, key=0)(x, y)
    terms = {"pde": (u.laplacian(x, y) - exact.laplacian(x, y)).mse}
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=2, dtype="float64").solve(25, progress=False)
    assert solver.eval(tx.np.relative_l2(u.held_out(500), exact.held_out(500))) < 1e-4


def test_refused():
    x, y, _ = rect(n=10).variable("interior")
    with pytest.raises(ValueError, match=r"factor: 1 coordinates; .* has x, y"):
        rect().factor(x)
    trimesh = pytest.importorskip("trimesh")
    cube = trimesh.creation.box((1.0, 1.0, 1.0))
    part = tx.domain.ball((0.0, 0.0, 0.0), 2.0) - tx.domain.mesh((cube.vertices, cube.faces))
    with pytest.raises(ValueError, match="there is none for mesh"):
        part.factor(x, y, x)
