"""`tx.jacobian` for plain JAX functions, against NumPy with J from jax.jacrev; kinds of networks; tiles and rings."""

import equinox as eqx
import foundax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from marks import with_slow

import tangrax as tx
from tangrax.jacobian import sharded_jacobian
from tangrax.jacobian.gram import Choice, Rows, choose, moments, stored
from tangrax.jacobian.weight_factors import Split
from tangrax.parallel import Layout, make_transport

POINTS = np.random.default_rng(0).random((11, 2))
KEY = jax.random.key(3)


def float64(tree):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if eqx.is_inexact_array(leaf) else leaf, tree)


def laplacian(value):
    return lambda p, z: jnp.trace(jax.hessian(lambda z: value(p, z))(z)) - value(p, z) ** 2


class Residual(eqx.Module):
    """Layers that add to what they are given, a weight used twice, a factorised one, Fourier features."""

    frequencies: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    first: jax.Array
    shared: jax.Array
    scale: jax.Array
    last: eqx.nn.Linear

    def __init__(self):
        keys = jax.random.split(KEY, 5)
        self.frequencies = tuple(map(tuple, jax.random.normal(keys[0], (3, 2)).tolist()))
        self.first, self.shared = jax.random.normal(keys[1], (5, 6)), 0.4 * jax.random.normal(keys[2], (5, 5))
        self.scale, self.last = jax.random.normal(keys[3], (5,)), eqx.nn.Linear(5, 1, key=keys[4])

    def __call__(self, z):
        angles = jnp.array(self.frequencies) @ z
        hidden = self.first @ jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
        for _ in range(2):
            hidden = hidden + jnp.tanh(jnp.exp(self.scale) * (self.shared @ hidden))
        return self.last(hidden)[0]


class Convolution(eqx.Module):
    lift: eqx.nn.Linear
    kernel: eqx.nn.Conv1d

    def __init__(self):
        self.lift, self.kernel = eqx.nn.Linear(2, 6, key=KEY), eqx.nn.Conv1d(1, 1, 3, key=KEY)

    def __call__(self, z):
        return jnp.sum(jnp.tanh(self.kernel(jnp.tanh(self.lift(z))[None])))


def called(p, z):
    return p(z)


def pair(p, z):
    return jnp.stack([p(z), p(2 * z) * z[0]])


MLP = eqx.nn.MLP(2, "scalar", 7, 2, activation=jnp.tanh, key=KEY)
FOUNDAX = foundax.mlp(in_features=2, hidden_dims=6, num_layers=2, key=jax.random.PRNGKey(0))
CASES = {
    "eqx": (called, MLP),
    "eqx laplacian": (laplacian(called), MLP),
    "vector": (pair, MLP),
    "foundax": (lambda p, z: p(z)[0], FOUNDAX),
    "residual": (laplacian(called), Residual()),
    "convolution": (called, Convolution()),
}


def by_jacrev(function, module, points):
    """Rows (N·C, P), computed without Tangrax."""
    parameters, static = eqx.partition(module, eqx.is_inexact_array)
    rows = jax.vmap(jax.jacrev(lambda p, z: jnp.ravel(function(eqx.combine(p, static), z))), in_axes=(None, 0))
    actual = jax.tree.leaves(rows(parameters, jnp.asarray(points)))
    return np.concatenate([np.asarray(leaf).reshape(len(points) * actual[0].shape[1], -1) for leaf in actual], axis=1)


def agree(actual, expected, tolerance=1e-12):
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("name", with_slow(CASES, "residual", "eqx laplacian"))
def test_kernels(name, devices, monkeypatch):
    """By factors of every leaf that has them; what pays, rows for such small networks, on 3 devices."""
    if devices != 3:
        monkeypatch.setattr(sharded_jacobian, "rates", lambda transport, dtype: None)
    function, module = CASES[name][0], float64(CASES[name][1])
    J = by_jacrev(function, module, POINTS)
    agree(tx.jacobian.gram(function, module, POINTS, mesh=devices), J @ J.T)


def test_float32(devices, monkeypatch):
    """Added up in float64 where JAX has it; what is left is the rounding of J."""
    monkeypatch.setattr(sharded_jacobian, "rates", lambda transport, dtype: None)
    function, module = CASES["eqx laplacian"]
    J = by_jacrev(function, float64(module), POINTS)
    actual = tx.jacobian.gram(function, module, POINTS, mesh=devices)
    assert actual.dtype == np.float64
    agree(actual, J @ J.T, 2e-6)


def test_everything_else(devices):
    module = float64(MLP)
    J, of_pair = by_jacrev(called, module, POINTS), by_jacrev(pair, module, POINTS)
    api, weights = tx.jacobian, np.linspace(0, 1, 11)
    agree(api.rows(called, module, POINTS, mesh=devices), J)
    agree(api.rows(pair, module, POINTS, mesh=devices), of_pair.reshape(11, 2, -1))
    agree(api.gram(called, module, POINTS, other=pair, mesh=devices), J @ of_pair.T)
    agree(api.gram(called, module, POINTS, other_points=POINTS[:4], mesh=devices), J @ J[:4].T)
    weighted = np.sqrt(weights)[:, None] * J
    agree(api.gram(called, module, POINTS, weights=weights, mesh=devices), weighted @ weighted.T)
    actual = api.spectrum(called, module, POINTS, mesh=devices)
    agree(actual.eigenvalues, np.linalg.svd(J, compute_uv=False) ** 2)
    groups = [weights < 0.5, weights > 0.2]
    agree(api.means(called, module, POINTS, groups, mesh=devices), np.stack([J[g].mean(axis=0) for g in groups]))


def test_products(devices):
    module, draw = float64(MLP), np.random.default_rng(1)
    J, of_pair = by_jacrev(called, module, POINTS), by_jacrev(pair, module, POINTS)
    v, w = draw.random((J.shape[1], 2)), draw.random(11)
    operator = tx.jacobian.products(called, module, POINTS, mesh=devices)
    agree(operator @ v, J @ v)
    agree(operator @ v[:, 0], J @ v[:, 0])
    agree(operator.T @ w, J.T @ w)
    agree(operator.gram(w), J @ (J.T @ w))
    agree(operator.diagonal, np.sum(J**2, axis=1))
    agree(operator.trace, np.sum(J**2))
    several = tx.jacobian.products(pair, module, POINTS, mesh=devices)
    agree(several @ v, (of_pair @ v).reshape(11, 2, 2))
    each = draw.random((11, 2))
    agree(several.T @ each, of_pair.T @ each.ravel())


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(
    count=st.integers(1, 20),
    size=st.sampled_from([1, 2, 3, 4, 8]),
    tile=st.sampled_from([1, 2, 3, 512]),
    held=st.booleans(),
    factored=st.booleans(),
    components=st.booleans(),
)
def test_any_cut(count, size, tile, held, factored, components):
    """K and its moments for any number of points, devices, tile size, with rows held or formed anew."""
    kernel_of(count, size, tile, held, factored, components)


@pytest.mark.parametrize(
    "count, size, tile, held, factored, components",
    [
        (13, 1, 3, True, True, False),  # tiles that overlap
        (13, 4, 3, True, True, False),  # opposite shards, halves that overlap
        pytest.param(16, 8, 512, False, False, False, marks=pytest.mark.slow),  # rows formed anew, all in one tile
        (3, 8, 1, True, True, False),  # more shards than points
        (7, 3, 2, False, True, True),  # two components; no rows to form
        (9, 2, 3, True, False, True),
    ],
)
def test_cuts(count, size, tile, held, factored, components):
    kernel_of(count, size, tile, held, factored, components)


def kernel_of(count, size, tile, held, factored, components):
    function, module = (pair if components else called), float64(MLP)
    parameters, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(parameters)
    points = np.random.default_rng(count).random((count, 2))
    transport, layout = make_transport(size), Layout(count, size)

    def program(collectives, mine, leaves):
        value = lambda leaves, z: function(eqx.combine(tree.unflatten(leaves), static), z)
        side = Rows(value, leaves, mine, layout)
        choice = Choice(choose([side], None).split if factored else Split(), tile, held=held)
        actual = moments(collectives, side, choice)
        return (actual.trace, actual.square), stored(collectives, [side], choice)

    (trace, square), rows = transport.spmd(program, "K")(
        transport.place(layout.pad(points)), transport.replicate(leaves)
    )
    J = by_jacrev(function, module, points)
    K = J @ J.T
    agree(np.asarray(rows)[:count].reshape(len(K), -1), K, 1e-13)
    agree(trace, np.trace(K), 1e-13)
    agree(square, np.sum(K**2), 1e-13)


def test_plans():
    module = float64(MLP)
    plan = tx.jacobian.plan(called, module, POINTS, "spectrum", k=3, mesh=2)
    assert [way.name for way in plan.ways] == ["singular values of J", "eigenvalues of K", "Lanczos' method"]
    assert plan.chosen is plan.ways[0] and "chosen: the first that fits" in str(plan)
    with pytest.raises(ValueError, match=r"takes on each of 1 device\(s\) .* take fewer points"):
        tx.jacobian.spectrum(called, module, POINTS, mesh=1, limit=100)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: tx.jacobian.gram(called, 3, POINTS), "params with arrays of floats"),
        (lambda: tx.jacobian.gram(called, MLP, np.full((2, 2), np.nan)), "give finite points"),
        (lambda: tx.jacobian.gram(called, MLP, POINTS, weights=-np.ones(11)), "none negative"),
        (lambda: tx.jacobian.gram(called, MLP, POINTS, weights=np.ones(11), other=pair), "weigh what they return"),
        (lambda: tx.jacobian.means(called, MLP, POINTS, [np.zeros(11, bool)]), "at least one of them true"),
        (lambda: tx.jacobian.means(pair, MLP, POINTS, [np.ones(11, bool)]), "give one that returns a number"),
        (lambda: tx.jacobian.plan(called, MLP, POINTS, "typo"), "one of gram, spectrum, rows"),
        (lambda: tx.jacobian.products(called, MLP, POINTS) @ np.ones(3), "@ array of shape"),
        (lambda: tx.jacobian.products(called, MLP, POINTS).T @ np.ones(3), "one for each row of J"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
