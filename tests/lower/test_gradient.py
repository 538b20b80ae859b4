"""Gradients of all kinds of terms against jax.grad of the same formula in plain NumPy-style JAX, float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import tangrax as tx

DOMAIN = tx.domain.line(mesh_size=1 / 12)  # 11 interior points: prime, and fewer rows than 8 devices have pairs
X, _ = DOMAIN.variable("interior")
XB, _ = DOMAIN.variable("boundary")
POINTS = np.linspace(0, 1, 13)[1:-1]


def network(width=5, seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    params = {
        "a": jax.random.normal(keys[0], (width, 1)),
        "b": jax.random.normal(keys[1], (width,)),
        "c": jax.random.normal(keys[2], (2, width)),
    }
    return params


def plain(params, x):
    """Both components at one point."""
    return params["c"] @ jnp.tanh(params["a"][:, 0] * x + params["b"])


NET = tx.nn.wrap(lambda p, xs: plain(p, xs[0]), network(), name="net")
K = tx.nn.parameter(0.7, name="k")
U, V = NET(X)[0], NET(X)[1]


def at_all(component):
    return lambda p: jax.vmap(lambda x: plain(p, x)[component])(POINTS)


u, v = at_all(0), at_all(1)


def opaque_term(values):
    return jnp.sum(jnp.sort(values)[:3] ** 2)


def opaque_field(values):
    return values - jnp.roll(values, 1)


LEFT = X < 0.4
left = POINTS < 0.4

CASES = {
    "mse": (U.mse, lambda p, k: jnp.mean(u(p) ** 2)),
    "mae": (V.mae, lambda p, k: jnp.mean(jnp.abs(v(p)))),
    "sum": (U.sum, lambda p, k: jnp.sum(u(p))),
    "vector mse": (NET(X).mse, lambda p, k: jnp.mean(jnp.stack([u(p), v(p)]) ** 2)),
    "std": (U.std, lambda p, k: jnp.std(u(p))),
    "max": (U.max, lambda p, k: jnp.max(u(p))),
    "min": (V.min, lambda p, k: jnp.min(v(p))),
    "max of a square, squared": ((U * U).max ** 2, lambda p, k: jnp.max(u(p) ** 2) ** 2),
    "centred": ((U - U.mean).mse, lambda p, k: jnp.mean((u(p) - jnp.mean(u(p))) ** 2)),
    "nested": (
        ((U - U.mean) * (V - (U - U.mean).std)).mse,
        lambda p, k: jnp.mean(((u(p) - jnp.mean(u(p))) * (v(p) - jnp.std(u(p) - jnp.mean(u(p))))) ** 2),
    ),
    "ratio": (U.mse / V.mse, lambda p, k: jnp.mean(u(p) ** 2) / jnp.mean(v(p) ** 2)),
    "log": (tx.np.log(U.mse + V.mean**2), lambda p, k: jnp.log(jnp.mean(u(p) ** 2) + jnp.mean(v(p)) ** 2)),
    "group": (U[LEFT].mse, lambda p, k: jnp.mean(u(p)[left] ** 2)),
    "group mean squared": (U[LEFT].mean ** 2, lambda p, k: jnp.mean(u(p)[left]) ** 2),
    "group of the solution": (
        tx.np.where(V > 0, U, 0.0).sum,
        lambda p, k: jnp.sum(jnp.where(v(p) > 0, u(p), 0.0)),
    ),
    "one point": (U[X > 0.9].mse, lambda p, k: jnp.mean(u(p)[POINTS > 0.9] ** 2)),
    "group std": (U[LEFT].std, lambda p, k: jnp.std(u(p)[left])),
    "group max": (U[LEFT].max, lambda p, k: jnp.max(u(p)[left])),
    "parameter alone": (K**2, lambda p, k: k**2),
    "parameter outside": (K * U.mse + K**3, lambda p, k: k * jnp.mean(u(p) ** 2) + k**3),
    "parameter inside": ((K * U - V).mse, lambda p, k: jnp.mean((k * u(p) - v(p)) ** 2)),
    "two tags": (
        3 * U.mse + NET(XB)[0].mse,
        lambda p, k: 3 * jnp.mean(u(p) ** 2) + (plain(p, 0.0)[0] ** 2 + plain(p, 1.0)[0] ** 2) / 2,
    ),
    "term of another tag in a field": (
        (U - NET(XB)[1].mean).mse,
        lambda p, k: jnp.mean((u(p) - (plain(p, 0.0)[1] + plain(p, 1.0)[1]) / 2) ** 2),
    ),
    "opaque term": (tx.np.function(opaque_term, [U]), lambda p, k: opaque_term(u(p))),
    "opaque term of two": (
        tx.np.function(lambda a, b: jnp.dot(a, jnp.cumsum(b)), [U, V]) * K + U.mse,
        lambda p, k: jnp.dot(u(p), jnp.cumsum(v(p))) * k + jnp.mean(u(p) ** 2),
    ),
    "opaque field": (
        (tx.np.function(opaque_field, [U]) * V).mse,
        lambda p, k: jnp.mean((opaque_field(u(p)) * v(p)) ** 2),
    ),
    "opaque of opaque": (
        tx.np.function(opaque_term, [tx.np.function(opaque_field, [U]) - U.mean]),
        lambda p, k: opaque_term(opaque_field(u(p)) - jnp.mean(u(p))),
    ),
    "opaque term inside a field": (
        (V - tx.np.function(opaque_term, [U])).mse,
        lambda p, k: jnp.mean((v(p) - opaque_term(u(p))) ** 2),
    ),
    "stop_gradient": (
        (U - tx.np.stop_gradient(V)).mse,
        lambda p, k: jnp.mean((u(p) - jax.lax.stop_gradient(v(p))) ** 2),
    ),
}


@pytest.fixture(scope="module")
def solvers():
    import optax

    return {}, optax.sgd(0.1)


def solver_on(k, cache):
    actual, optimizer = cache
    if k not in actual:
        actual[k] = tx.core([(K * U).mse], optimizer=optimizer, devices=k, dtype="float64")
    return actual[k]


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(name, devices, solvers):
    term, formula = CASES[name]
    solver = solver_on(devices, solvers)
    value, slope = solver.eval([term, term.grad(NET, K)])
    params = jax.tree.map(lambda a: a.astype(jnp.float64), network())
    expected = formula(params, 0.7)
    slopes = jax.grad(formula, argnums=(0, 1))(params, 0.7)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(slope, ravel_pytree(slopes)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", ["mean", "mean_by_rows"])
def test_group_means_of_rows(way, devices, solvers):
    """J[group].mean is the mean of the rows, by product and row by row, for one and two components."""
    solver = solver_on(devices, solvers)
    params = network()
    rows = jax.vmap(lambda x: jax.jacrev(lambda p: plain(p, x))(params))(POINTS)
    rows = np.concatenate([leaf.reshape(11, 2, -1) for leaf in jax.tree.leaves(rows)], axis=-1)
    one, two, everywhere = solver.eval(
        [
            getattr(U.grad(NET)[LEFT], way),
            getattr(NET(X).grad(NET)[LEFT], way),
            getattr(NET(X).grad(NET), way),
        ]
    )
    np.testing.assert_allclose(one, rows[left, 0].mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(two, rows[left].mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(everywhere, rows.mean(axis=0), rtol=1e-12, atol=1e-14)


def test_rows_of_a_field_that_holds_a_term(devices, solvers):
    """The mean inside moves with the parameters, and every row with it."""
    solver = solver_on(devices, solvers)
    params = network()
    actual = solver.eval(((U - U.mean) * V.std).grad(NET))
    slopes = jax.jacrev(lambda p: (u(p) - jnp.mean(u(p))) * jnp.std(v(p)))(params)
    expected = np.concatenate([leaf.reshape(11, -1) for leaf in jax.tree.leaves(slopes)], axis=-1)
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_rows_of_an_opaque_field_are_refused(solvers):
    with pytest.raises(ValueError, match="pointwise=True"):
        solver_on(1, solvers).eval(tx.np.function(opaque_field, [U]).grad(NET))


def test_gradients_are_never_shared_between_different_expressions(solvers):
    """Two gradients, two masks, two networks: alike in shape, different in value (a peer once mixed them up)."""
    solver = solver_on(1, solvers)
    only_a = NET.mask({"a": True, "b": False, "c": False})
    only_b = NET.mask({"a": False, "b": True, "c": False})
    ga, gb, both, other = solver.eval([U.mse.grad(only_a), U.mse.grad(only_b), U.mse.grad(NET), V.mse.grad(only_a)])
    np.testing.assert_allclose(ga, both[:5], rtol=1e-13)
    np.testing.assert_allclose(gb, both[5:10], rtol=1e-13)
    assert not np.allclose(ga, gb) and not np.allclose(ga, other)
    dot, square = solver.eval(
        [tx.np.dot(U.mse.grad(only_a), V.mse.grad(only_a)), tx.np.dot(U.mse.grad(only_a), U.mse.grad(only_a))]
    )
    np.testing.assert_allclose([dot, square], [ga @ other, ga @ ga], rtol=1e-12)
