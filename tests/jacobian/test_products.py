"""Products with J and what is had of K without forming it, against J from jax.jacrev of plain functions, float64."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from programs import collectives, eval_program

import tangrax as tx

DOMAIN = tx.domain.rect(n=13, boundary=7)
X, Y, _ = DOMAIN.variable("interior")
XB, YB, _ = DOMAIN.variable("boundary")
POINTS = DOMAIN.point_set("interior").coordinates[:, :2]
EDGE = DOMAIN.point_set("boundary").coordinates[:, :2]
NEW = np.random.default_rng(5).random((6, 2))
LEFT = X < 0.45


def weights(seed, *shapes):
    random = np.random.default_rng(seed)
    return [jnp.asarray(random.standard_normal(shape) / np.sqrt(shape[-1])) for shape in shapes]


def pair(p, z):
    """Both components at one point: by factors for a value, by columns where derivatives use a weight often."""
    return p[4] @ jnp.tanh(p[2] @ jnp.tanh(p[0] @ z + p[1]) + p[3])


def single(p, z):
    return (p[1] @ jnp.sin(p[0] @ z))[0]


NET = tx.nn.wrap(lambda p, xs: pair(p, jnp.stack(xs)), weights(0, (9, 2), (9,), (9, 9), (9,), (2, 9)), name="pair")
OTHER = tx.nn.wrap(lambda p, xs: single(p, jnp.stack(xs)), weights(1, (3, 2), (1, 3)), name="single")
K = tx.nn.parameter(0.3, name="k")
W, V, VB = NET(X, Y), OTHER(X, Y), OTHER(XB, YB)
U = W[0]
MASK = NET.mask([True, False, True, False, False])


def component(p, z):
    return pair(p, z)[0]


def residual(p, z):
    """-∂²u/∂x² + u ∂u/∂y - x of the first component."""
    slope, curvature = jax.grad(component, 1)(p, z), jax.hessian(component, 1)(p, z)
    return -curvature[0, 0] + component(p, z) * slope[1] - z[0]


RESIDUAL = -U.d2(X) + U * U.d(Y) - X


def at(function):
    return lambda p, points: jax.vmap(lambda z: function(p, z))(points)


def centred(p, points):
    values = at(component)(p, points)
    return values - values.mean() * points[:, 0]


def scaled(p, points):
    values = at(component)(p, points)
    return values / jnp.max(values) + jnp.sqrt(jnp.mean(values**2)) * points[:, 1]


def mixed(p, points):
    return at(component)(p[0], points) * at(single)(p[1], points) + p[2] * points[:, 0]


CASES = {
    "value": (U, (NET,), at(component)),
    "residual": (RESIDUAL, (NET,), at(residual)),
    "components": (W, (NET,), at(pair)),
    "less its mean": (U - U.mean * X, (NET,), centred),
    "with other terms": (U / U.max + tx.np.sqrt(U.mse) * Y, (NET,), scaled),
    "several networks": (U * V + K * X, (NET, OTHER, K), mixed),
    "masked": (RESIDUAL, (MASK,), at(residual)),
}


@pytest.fixture(params=CASES)
def case(request):
    """A field, its J, and the rows of J at any points."""
    field, handles, function = CASES[request.param]
    trees = [handle.selection.trainable.initial for handle in handles]
    flags = [flag for handle in handles for flag in handle.selection.flags]

    def rows(points):
        actual = jax.jacrev(lambda p: function(p if len(trees) > 1 else p[0], points))(trees)
        leaves = [leaf.reshape(len(points), *field.shape, -1) for leaf in jax.tree.leaves(actual)]
        return np.concatenate([leaf for leaf, flag in zip(leaves, flags, strict=True) if flag], axis=-1)

    return field, field.grad(*handles), rows


def solver_of(devices=1, **more):
    return tx.core([U.mse + V.mse], optimizer=optax.adam(1e-3), devices=devices, dtype="float64", **more)


def agree(actual, expected):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


def draw(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def weight_of(field, points):
    """Weights as a field like `field`, and what they are at the points."""
    values = points.prod(axis=1)
    return (X * Y, values) if not field.shape else (tx.np.stack([X * Y, Y]), np.stack([values, points[:, 1]], axis=-1))


def test_products(case, devices):
    """J v and J V, Jᵀ w by an array and by a field, K w, the diagonal of K and its trace."""
    field, J, rows = case
    j = rows(POINTS)
    flat = j.reshape(-1, j.shape[-1])
    v, many, w = draw(j.shape[-1]), draw(j.shape[-1], 3), draw(*j.shape[:-1])
    weight, at_points = weight_of(field, POINTS)
    products = [J @ v, J @ many, J.T @ w, J.T @ weight, J.gram() @ w, J.gram().diagonal, J.gram().trace]
    expected = [j @ v, j @ many, flat.T @ w.ravel(), flat.T @ at_points.ravel(), (flat @ flat.T @ w.ravel())]
    expected += [(j * j).sum(axis=-1), (j * j).sum()]
    expected[4] = expected[4].reshape(w.shape)
    for one, other in zip(solver_of(devices).eval(products), expected, strict=True):
        agree(one, other)


@pytest.mark.parametrize("case", ["components", "less its mean"], indirect=True)
def test_groups_and_new_points(case, devices):
    field, J, rows = case
    j, (weight, at_points) = rows(NEW), weight_of(field, NEW)
    left = NEW[:, 0] < 0.45
    some, v = j[left].reshape(-1, j.shape[-1]), draw(j.shape[-1])
    products = [J[LEFT] @ v, J[LEFT].T @ weight, J[LEFT].gram() @ weight, J[LEFT].gram().diagonal, J[LEFT].gram().trace]
    expected = [j[left] @ v, some.T @ at_points[left].ravel(), some @ (some.T @ at_points[left].ravel())]
    expected += [(j[left] ** 2).sum(axis=-1), (some * some).sum()]
    expected[2] = expected[2].reshape(at_points[left].shape)
    for one, other in zip(solver_of(devices).eval(products, points={"interior": NEW}), expected, strict=True):
        agree(one, other)


@pytest.mark.parametrize("case", ["with other terms"], indirect=True)
def test_products_of_products(case, devices):
    """What stands under a gradient's weights is not differentiated: products can be multiplied again."""
    _, J, rows = case
    j, w = rows(POINTS), draw(13)
    g = (U * Y).max.grad(NET)
    slope, moved, again, kernel = solver_of(devices).eval(
        [g, J.T @ (J @ g), J.T @ (U - U.mean), J.gram() @ (J.gram() @ w)]
    )
    u = np.asarray(at(component)(NET.params, POINTS))
    agree(moved, j.T @ (j @ slope))
    agree(again, j.T @ (u - u.mean()))
    agree(kernel, j @ (j.T @ (j @ (j.T @ w))))


def test_terms_as_vectors_and_blocks(devices):
    """J g for the gradient of a loss, Gauss-Newton products of it, and blocks of K between tags."""
    J, B = V.grad(OTHER), VB.grad(OTHER)
    g = V.mse.grad(OTHER)
    flat, unravel = ravel_pytree(OTHER.params)

    def rows_at(points):
        return np.asarray(jax.jacrev(lambda p: at(single)(unravel(p), points))(flat))

    j, b = rows_at(POINTS), rows_at(EDGE)
    values = np.asarray(at(single)(OTHER.params, POINTS))
    slope = 2 / 13 * j.T @ values
    products = [J @ g, J @ J.mean, J.T @ (J @ g), J.gram(B) @ VB, J.gram(B) @ draw(7), B.gram(J) @ (V - V.mean)]
    actual = solver_of(devices).eval(products)
    expected = [
        j @ slope,
        j @ j.mean(axis=0),
        j.T @ (j @ slope),
        j @ (b.T @ np.asarray(at(single)(OTHER.params, EDGE))),
    ]
    expected += [j @ (b.T @ draw(7)), b @ (j.T @ (values - values.mean()))]
    for one, other in zip(actual, expected, strict=True):
        agree(one, other)
    assert (J @ J.T).node is J and (J @ B.T).other is B


def test_derivatives_of_products(devices):
    """J v is a field like any other: it has derivatives in space and, v held fixed, by the parameters."""
    J, v = V.grad(OTHER), draw(9)
    flat, unravel = ravel_pytree(OTHER.params)

    def moved(p, z):
        return jax.jvp(lambda q: single(unravel(q), z), (p,), (v,))[1]

    def trace(p):
        rows = jax.jacrev(lambda q: at(residual)(q, POINTS))(p)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(rows))

    kernel_trace = RESIDUAL.grad(NET).gram().trace
    slope, rows, of_trace = solver_of(devices).eval([(J @ v).d(X), (J @ v).grad(OTHER), kernel_trace.grad(NET)])
    agree(slope, jax.vmap(jax.grad(moved, 1), (None, 0))(flat, jnp.asarray(POINTS))[:, 0])
    agree(rows, jax.vmap(jax.grad(moved), (None, 0))(flat, jnp.asarray(POINTS)))
    agree(of_trace, ravel_pytree(jax.grad(trace)(NET.params))[0])


def test_trackers(devices):
    """Watched during training, they are what they are at the parameters before each step."""
    J, w = V.grad(OTHER), draw(13)
    watched = {"trace": J.gram().trace.tracker(1), "length": tx.np.sqrt(((J.gram() @ w) ** 2).sum).tracker(2)}
    terms = {"mse": V.mse, **watched}
    solver = tx.core(terms, optimizer=optax.adam(1e-2), devices=devices, dtype="float64")
    expected = []
    for _ in range(3):
        net = solver.training.parameters[OTHER.trainable]
        j = jax.jacrev(lambda p: at(single)(p, POINTS))(net)
        j = np.concatenate([np.asarray(leaf).reshape(13, -1) for leaf in jax.tree.leaves(j)], axis=1)
        expected.append(((j * j).sum(), np.linalg.norm(j @ (j.T @ w))))
        solver.solve(1, progress=False)
    agree(solver.history["trace"], np.array([trace for trace, _ in expected]))
    agree(solver.history["length"], np.array([length for _, length in expected])[::2])


def test_communication():
    """J v and the diagonal: none. Jᵀ w and the trace: one all-reduce. K w: that of Jᵀ w."""
    solver = solver_of(4)
    J = RESIDUAL.grad(NET)
    v, w = draw(J.shape[-1]), draw(13)
    for nodes, expected in [
        ([J @ v], {}),
        ([J.gram().diagonal], {}),
        ([J.T @ w], {"all-reduce": 1}),
        ([J.T @ (U - X)], {"all-reduce": 1}),
        ([J[LEFT].T @ w], {"all-reduce": 1}),
        ([J.gram().trace], {"all-reduce": 1}),
        ([J[LEFT].gram().trace], {"all-reduce": 1}),
        ([J.gram() @ w], {"all-reduce": 1}),
        ([J @ RESIDUAL.mse.grad(NET)], {"all-reduce": 1}),
        ([J.T @ w, J.gram().trace, J.T @ (U - X)], {"all-reduce": 1}),
    ]:
        assert dict(collectives(eval_program(solver, nodes))) == expected, nodes


def test_no_rows_are_formed():
    """In no compiled program of a wide network stands an array of the size of J, or of its part for one weight."""
    points = 500
    x, y, _ = tx.domain.rect(n=points).variable("interior")
    net = tx.nn.mlp(2, width=64, depth=3, key=0)
    u = net(x, y)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1, dtype="float32")
    for field in (u, u.laplacian(x, y) + u):
        J = field.grad(net)
        v, w = draw(J.shape[-1]).astype("float32"), draw(points).astype("float32")
        for node in (J @ v, J.T @ w, J.gram() @ w, J.gram().diagonal, J.gram().trace):
            compiled = eval_program(solver, [node])
            assert largest_array(compiled) < points * 64 * 64, node
            assert compiled.memory_analysis().temp_size_in_bytes < points * J.shape[-1] * 4 / 2, node
        assert largest_array(eval_program(solver, [(J * J).sum])) >= points * 64 * 64


def largest_array(compiled):
    shapes = re.findall(r"f32\[([\d,]+)\]", compiled.as_text())
    return max(int(np.prod([int(length) for length in shape.split(",")])) for shape in shapes)


@pytest.mark.slow
def test_chunks():
    """Within a small memory limit the points go one chunk after the other, with the same results."""
    J, w = RESIDUAL.grad(NET), draw(13)
    products = [J.gram().trace, J.T @ w, J.gram().diagonal, J.gram() @ w]
    whole, parts = (solver_of(memory_limit=limit).eval(products) for limit in (2**30, 2**15))
    for one, other in zip(parts, whole, strict=True):
        agree(one, other)


def test_refusals():
    J, B = V.grad(OTHER), VB.grad(OTHER)
    solver = solver_of()
    with pytest.raises(ValueError, match=r"of shape \(9,\) per point @ .* of shape \(8,\): inner sizes differ. Give"):
        J @ np.ones(8)
    with pytest.raises(ValueError, match="inner sizes differ"):
        J @ V.mse
    with pytest.raises(AttributeError, match=r"only a Jacobian has \.T"):
        V.T  # noqa: B018
    assert not hasattr(V.mse.grad(OTHER), "T")
    with pytest.raises(ValueError, match=r"array of shape \(9,\): give \(13,\), an entry for each point of 'interior'"):
        J.T @ np.ones(9)
    with pytest.raises(ValueError, match="has one value per point of 'boundary'"):
        J.T @ VB
    with pytest.raises(ValueError, match="is a term"):
        J.T @ V.mse
    with pytest.raises(ValueError, match=r"of values of shape \(2,\) per point, and .* has shape \(\)"):
        W.grad(NET).T @ V
    with pytest.raises(ValueError, match="must be on the same group"):
        J.T @ V[LEFT]
    with pytest.raises(TypeError, match="only a tangent kernel has '@'"):
        J.spectrum() @ np.ones(13)
    with pytest.raises(TypeError, match="only the kernel of one Jacobian with itself has 'trace'"):
        J.gram(B).trace  # noqa: B018
    with pytest.raises(
        ValueError, match="a row for each of the 13 points of 'interior'; of new points it says nothing"
    ):
        solver.eval(J.T @ np.ones(13), points={"interior": POINTS + 0.0})
    with pytest.raises(ValueError, match="cannot be trained on"):
        tx.core([V.mse + J.gram().trace], optimizer=optax.adam(1e-3))
    agree(solver.eval(J[LEFT].T @ V[LEFT]), solver.eval(J[LEFT].T @ V))
