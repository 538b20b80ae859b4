"""Factors that vanish on a boundary: where they should, nowhere else, with slopes; and a problem solved by one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import slow_but

import tangrax as tx
from tangrax.domain.boundary_factors import Factor, value

rect, disk, polygon = tx.domain.rect, tx.domain.disk, tx.domain.polygon
L = [(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)]
TURN = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
NOTCH = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0), (0.5, 0.2), (0.4, 1.0), (0.0, 1.0)]
STAR = [(r * np.cos(a), r * np.sin(a)) for a, r in zip(np.arange(10) * np.pi / 5, [1.0, 0.4] * 5, strict=True)]
ROUND = [(np.cos(a), np.sin(a)) for a in np.arange(60) * np.pi / 30]
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
    actual = values(lambda *x: value(domain.shape, jnp.stack(x), True), points)
    np.testing.assert_array_equal(actual[far] > 0, level[far] < 0)


def test_it_rises_from_the_boundary(domain):
    """Halving the distance from a boundary point halves it, along the normal: no zero of second order, no kink."""
    random = np.random.default_rng(1)
    edge = domain.shape.surface(random.random((300, domain.shape.dimension)))
    points, normals = edge.points[edge.on_boundary], edge.normals[edge.on_boundary]
    step = 1e-8 * domain.shape.size
    factor = Factor(domain.shape)
    near, nearer = (values(factor, points - far * normals) for far in (step, step / 2))
    away = near > np.median(near) / 30  # not beside a corner, where both boundaries make it small
    assert away.mean() > 0.8
    np.testing.assert_allclose(near[away] / nearer[away], 2, rtol=5e-3)


EDGES = {
    "an L": lambda: polygon(L),
    "an L, moved": lambda: polygon(L).rotate(0.3),
    "an L, its corners turned": lambda: polygon(L @ TURN.T),
    "an L in micrometres": lambda: polygon(1e6 * np.array(L)),
    "an L with an edge in two pieces": lambda: polygon([*L[:1], (0.7, 0.0), *L[1:]]),
    "a notch": lambda: polygon(NOTCH),
    "a star": lambda: polygon(STAR),
    "60 corners": lambda: polygon(ROUND),
    "a square with an edge in two pieces": lambda: polygon(
        [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    ),
    "an extruded L": lambda: tx.domain.extrusion(polygon(L), 0.0, 1.0),
    "an L with a round hole": lambda: polygon(L) - disk((0.5, 0.5), 0.2),
    "a square with a hole like a star": lambda: rect((-2.0, -2.0), (2.0, 2.0)) - polygon(STAR),
    "a ring with an L put in": lambda: rect((-2.0, -2.0), (3.0, 3.0)) - (disk((1.0, 1.0), 2.0) - polygon(L)),
}


@pytest.mark.parametrize("name", slow_but(EDGES, "a square with an edge in two pieces"))
def test_derivatives_on_the_boundary_are_those_from_inside(name):
    """Of first order along the normal of the shape alone and above zero; both by differences of values inside."""
    shape = EDGES[name]().shape
    random = np.random.default_rng(2)
    edge = shape.surface(random.random((200, shape.dimension)))
    points, normals = edge.points[edge.on_boundary], edge.normals[edge.on_boundary]
    factor, h = Factor(shape), 1e-5 * shape.size
    f1, f2, f3, f4 = (values(factor, points - k * h * normals) for k in (1, 2, 3, 4))
    slope, second = (4 * f1 - 3 * f2 + 4 / 3 * f3 - f4 / 4) / h, (4 * f2 - f3 - 5 * f1) / h**2
    assert (slope > 0).all()
    clear = (slope > np.median(slope) / 5) & (abs(second) * h < slope / 100)  # not beside a corner
    assert clear.mean() > 0.75

    def derivatives(x, n):
        gradient = jax.grad(lambda x: factor(*x))
        return jax.jvp(gradient, (x,), (n,))

    for dtype, rtol in (("float64", 1e-5), ("float32", 1e-3)):
        with jax.enable_x64(dtype == "float64"):
            gradient, along = jax.jit(jax.vmap(derivatives))(jnp.asarray(points, dtype), jnp.asarray(normals, dtype))
            assert gradient.dtype == dtype
            gradient, along = np.asarray(gradient), np.asarray(along)
        assert (np.sum(gradient * normals, axis=1) < 0).all()
        unit = np.max(slope)
        np.testing.assert_allclose(gradient[clear] / unit, (-slope[:, None] * normals)[clear] / unit, atol=rtol)
        actual, floor = np.sum(along * normals, axis=1), unit / shape.size
        np.testing.assert_allclose(actual[clear] / floor, second[clear] / floor, rtol=0.03, atol=0.03)


@pytest.mark.parametrize("dtype", slow_but(["float32", "float64"], "float64"))
def test_derivatives_at_corners_are_finite(dtype):
    with jax.enable_x64(dtype == "float64"):
        for shape, corners in ((polygon(L).shape, L), ((rect((-2.0, -2.0), (2.0, 2.0)) - polygon(STAR)).shape, STAR)):
            factor = Factor(shape)
            near = np.concatenate([np.array(corners) + tiny for tiny in (0.0, 1e-38, 1e-25, 1e-12, -1e-9, 1e-7)])
            for derivative in (jax.grad, jax.hessian):
                actual = jax.jit(jax.vmap(derivative(lambda x, factor=factor: factor(*x))))(jnp.asarray(near, dtype))
                assert np.isfinite(actual).all()
                assert derivative is jax.hessian or (np.abs(actual).max(axis=1) > 0).all()


def test_a_flux_through_edges(devices):
    """The solver's derivative along the normals of an L, in float32, by differences of values inside."""
    domain = polygon(L @ TURN.T).sample(n=16, boundary=100)
    x, y, _ = domain.variable("boundary")
    across, up = domain.normal("boundary")
    field = domain.factor(x, y)
    solver = tx.core([(tx.nn.parameter(1.0) * x).mse], optimizer=optax.sgd(0.1), devices=devices)
    flux = solver.eval(-field.d(x) * across - field.d(y) * up)
    points = domain.point_set("boundary").coordinates[:, :2]
    normals = np.column_stack([np.asarray(solver.eval(across)), np.asarray(solver.eval(up))])
    h = 1e-6
    np.testing.assert_allclose(flux, values(Factor(domain.shape), points - h * normals) / h, rtol=1e-3)


def test_shared_walls_are_refused():
    """Inside the factor would be zero on them, on the boundary its slope; not where they lie outside or overlap."""
    low, high = rect((0.0, 0.0), (2.0, 1.0)), rect((0.0, 1.0), (1.0, 2.0))
    frame = rect((-1.0, -1.0), (3.0, 3.0))
    x, y, _ = rect(n=4).variable("interior")
    for touching, what in (
        (low | high, "itself"),
        (frame - (rect() - rect((0.5, 0.5), (1.0, 1.0))), "itself"),
        (low & rect(), "its slope"),
        (low - high, "its slope"),
    ):
        with pytest.raises(ValueError, match=rf"share a wall, as at \(.*\), and {what} would be zero there: let one"):
            touching.factor(x, y)
    for fine in (low | rect((0.0, 0.5), (1.0, 2.0)), frame - (low | high), rect() - rect((0.5, 0.5), (1.0, 1.0))):
        fine.factor(x, y)


@pytest.mark.parametrize("name", slow_but(["hole", "an L", "capsule"], "hole"))
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
        stencil = [values(factor, points + i * h * axis) for i in (-2, -1, 0, 1, 2)]
        wanted = wanted + np.tensordot([-1, 16, -30, 16, -1], stencil, 1) / (12 * h**2)
    actual = solver.eval(field.laplacian(*space))
    np.testing.assert_allclose(actual[clear], wanted[clear], rtol=1e-4, atol=1e-4)


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
