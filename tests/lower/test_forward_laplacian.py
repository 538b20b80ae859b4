"""One pass for values, first and sums of second derivatives, against jax.hessian; how often it uses each weight."""

from collections import Counter

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow_but, with_slow

import tangrax as tx
from tangrax.jacobian.weight_tracing import trace_weights
from tangrax.lower import at_point
from tangrax.lower.forward_laplacian import jets
from tangrax.lower.laplacian_terms import collected

POINT = jnp.array([0.3, -0.4, 0.7])


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


PARAMETERS = {"a": draw(6, 3, seed=1), "b": draw(6, seed=2), "c": draw(6, 6, seed=3) / 2, "d": draw(6, seed=4)}


def tanh_net(p, z):
    return p["d"] @ jnp.tanh(p["c"] @ jnp.tanh(p["a"] @ z + p["b"]))


def residual_net(p, z):
    h = jnp.sin(p["a"] @ z)
    h = h + jax.nn.gelu(p["c"] @ h)
    return (h + jax.nn.silu(h @ p["c"])) @ p["d"]


def attention(p, z):
    """Products in which both sides depend on the point."""
    h = jnp.tanh(jnp.outer(p["b"], p["a"] @ z))
    return jnp.sum(jax.nn.softmax(h @ p["c"] @ h.T) @ h)


def scanned(p, z):
    return jax.lax.scan(lambda h, w: (jnp.tanh(p["c"] @ h + w), h[0]), p["a"] @ z, p["c"])[1]


def looped(p, z):
    return jax.lax.fori_loop(0, 3, lambda _, h: jnp.sin(p["c"] @ h), p["a"] @ z) @ p["d"]


@jax.custom_jvp
def halved(w, x):
    """With a derivative that is not its own, and a weight."""
    return jnp.sin(w @ x)


@halved.defjvp
def _(primals, tangents):
    w, x = primals
    return halved(w, x), jnp.cos(w @ x) * (tangents[0] @ x + w @ tangents[1]) / 2


FUNCTIONS = {
    "network": tanh_net,
    "residual network": residual_net,
    "attention": attention,
    "relu": lambda p, z: tanh_net(p, z) * jax.nn.relu(p["a"] @ z).sum(),
    "products": lambda p, z: tanh_net(p, z) * residual_net(p, z) ** 2 * z[0],
    "quotients": lambda p, z: tanh_net(p, z) / (2 + z[1] ** 2) + z[0] / 3 + 1 / (3 + tanh_net(p, z)),
    "where": lambda p, z: jnp.where(z[0] > 0.2, tanh_net(p, z) * z[1], z[2]) + jnp.where(z < 0, z**3, z**2).sum(),
    "pieces": lambda p, z: jnp.max((p["a"] @ z) ** 2) + jnp.abs(tanh_net(p, z)) * jnp.clip(z[0], 0, 1),
    "powers": lambda p, z: (2 + z[0]) ** z[1] + jnp.exp(p["b"][0] * z[2]) + z[1] ** 3 + jnp.sqrt(1 + z @ z),
    "arranged": lambda p, z: jnp.concatenate([z[::-1], jnp.stack([z, z**2]).T.reshape(-1)]).cumsum() * p["b"][0],
    "vector": lambda p, z: jnp.tanh(p["c"] @ jnp.sin(p["a"] @ z)),
    "a column more": lambda p, z: jnp.zeros((4, 3)).at[1].add(z**2)[jnp.array([1, 2])] * p["b"][0],
    "called": lambda p, z: jax.jit(tanh_net)(p, z) + jax.checkpoint(residual_net)(p, z) * jax.jit(jnp.sin)(z[0]),
    "conditional": lambda p, z: jax.lax.cond(z[0] > 0, lambda: tanh_net(p, z), lambda: z[1]),
    "scanned": scanned,
    "looped": looped,
    "own rule": lambda p, z: halved(p["c"], halved(p["a"], z) + p["b"]),
    "complex": lambda p, z: jnp.abs(tanh_net(p, z) + 1j * z[0] ** 2) ** 2 + jnp.exp(2j * z[1]).real * z[0],
    "stopped": lambda p, z: jax.lax.stop_gradient(tanh_net(p, z)) * z[0] ** 2 + jnp.floor(z[1] * 3) * z[2],
    "linear": lambda p, z: p["a"] @ z + p["b"],
    "of no point": lambda p, z: p["b"],
    "hessian": lambda p, z: jax.hessian(tanh_net, argnums=1)(p, z)[0],
}
SUMS = [tuple((axis, axis) for axis in axes) for axes in ((0,), (0, 1), (0, 1, 2), (0, 2))]
FIRST = [((axis,),) for axis in range(3)]


def in_one_pass(function, sums):
    """Value, gradient and sums of second derivatives, stacked."""

    def together(parameters, z):
        (jet,) = jets(lambda z: [function(parameters, z)], z, [{*FIRST, *sums}])
        return jnp.stack([jet.value, *[jet.along.get(one, jnp.zeros_like(jet.value)) for one in [*FIRST, *sums]]])

    return together


def by_hessian(function, sums):
    def together(parameters, z):
        first = jax.jacfwd(function, argnums=1)(parameters, z)
        second = jax.hessian(function, argnums=1)(parameters, z)
        totals = [sum(second[..., i, j] for i, j in total) for total in sums]
        return jnp.stack([function(parameters, z), *jnp.moveaxis(first, -1, 0), *totals])

    return together


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_hessians(name):
    """Along one axis, two, three; traced alone and over many points."""
    function = FUNCTIONS[name]
    points = jnp.concatenate([POINT[None], draw(4, 3, seed=9)])
    expected = jax.jit(jax.vmap(by_hessian(function, SUMS), in_axes=(None, 0)))(PARAMETERS, points)
    close(jax.jit(jax.vmap(in_one_pass(function, SUMS), in_axes=(None, 0)))(PARAMETERS, points), expected)
    alone = jax.jit(in_one_pass(function, SUMS[1:2]))(PARAMETERS, POINT)
    close(alone, expected[0][jnp.array([0, 1, 2, 3, 5])])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "looped"])
def test_by_parameters(name):
    """Reverse mode through the pass."""
    actual = jax.jit(jax.jacrev(in_one_pass(FUNCTIONS[name], SUMS[1:2])))(PARAMETERS, POINT)
    expected = jax.jit(jax.jacrev(by_hessian(FUNCTIONS[name], SUMS[1:2])))(PARAMETERS, POINT)
    jax.tree.map(close, actual, expected)


def test_mixed_and_several_sums():
    """A pass gives each of several results the derivatives that are wanted of it, and no others."""
    sums = {((0, 1),), ((0, 0), (2, 2)), ((1, 2), (0, 0))}
    one, other = jets(lambda z: [tanh_net(PARAMETERS, z), jnp.sin(z)], POINT, [sums, {((2,),)}])
    hessian = jax.hessian(tanh_net, argnums=1)(PARAMETERS, POINT)
    for total in sums:
        close(one.along[total], sum(hessian[axes] for axes in total))
    assert set(other.along) == {((2,),)}
    close(other.along[((2,),)], jnp.cos(POINT) * jnp.array([0.0, 0, 1]))


@pytest.mark.slow
def test_a_pass_within_a_pass():
    def laplacian(z):
        return jets(lambda z: [tanh_net(PARAMETERS, z)], z, [{((0, 0), (1, 1))}])[0].along[((0, 0), (1, 1))]

    actual = jets(lambda z: [laplacian(z)], POINT, [{((0, 0), (1, 1))}])[0].along[((0, 0), (1, 1))]
    trace = lambda f: lambda z: sum(jax.hessian(f)(z)[axis, axis] for axis in (0, 1))
    close(actual, trace(trace(lambda z: tanh_net(PARAMETERS, z)))(POINT))


def kernel_function(field, *nets):
    """A field as the kernels take it, with its leaves, and the same in JAX by the network's module."""
    parameters = {
        net.trainable: jax.tree.map(lambda leaf: (leaf + 0.1).astype(jnp.float64), net.trainable.initial)
        for net in nets
    }
    leaves = [leaf for tree in parameters.values() for leaf in jax.tree.leaves(tree)]
    return at_point(field, [net.selection for net in nets], parameters), leaves


def same(function, expected, leaves, z):
    """Values and derivatives by the leaves."""
    actual, theirs = (jax.jit(lambda *at, f=f: (f(*at), jax.jacrev(f)(*at)))(leaves, z) for f in (function, expected))
    jax.tree.map(close, actual, theirs)


def module_of(net, leaves):
    static = eqx.partition(net.module, eqx.is_inexact_array)[1]
    module = eqx.combine(jax.tree.unflatten(jax.tree.structure(net.params), leaves), static)
    return lambda z: module(z)[0]


def coordinates(dimension, time=False):
    domain = tx.domain.box([0.0] * dimension, [1.0] * dimension, n=5)
    if time:
        domain = domain.over_time(0, 1)
    return domain.variable("interior")[: dimension + time]


NETS = {
    "tanh": {},
    "sin": {"activation": jnp.sin},
    "gelu": {"activation": jax.nn.gelu},
    "relu": {"activation": jax.nn.relu},
    "fourier features": {"fourier_features": 4},
    "factorised": {"factorised": True},
}


@pytest.mark.parametrize("dimension", slow_but([1, 2, 3], 2))
@pytest.mark.parametrize("name", NETS)
def test_residuals_of_networks(name, dimension):
    """Values and parameter gradients of Δu + u u_x."""
    coords = coordinates(dimension)
    net = tx.nn.mlp(dimension, width=7, depth=2, **NETS[name])
    u = net(*coords)
    function, leaves = kernel_function(u.laplacian(*coords) + u * u.d(coords[0]), net)

    def expected(leaves, z):
        f = module_of(net, leaves)
        return jnp.trace(jax.hessian(f)(z)) + f(z) * jax.grad(f)(z)[0]

    z = POINT[:dimension]
    same(function, expected, leaves, z)


EQUATIONS = {
    "heat": (
        lambda u, x, y, t: u.d(t) - 0.1 * u.laplacian(x, y),
        lambda u, d: d(u, 2) - 0.1 * (d(u, 0, 0) + d(u, 1, 1)),
    ),
    "by hand": (lambda u, x, y, t: -u.d2(x) - u.d2(y) - 2 * u, lambda u, d: -d(u, 0, 0) - d(u, 1, 1) - 2 * u),
    "weighted": (
        lambda u, x, y, t: 3 * u.d2(x) + x + u.d2(y) * 3 - u.d2(t),
        lambda u, d: 3 * d(u, 0, 0) + X + 3 * d(u, 1, 1) - d(u, 2, 2),
    ),
    "one alone": (lambda u, x, y, t: u.laplacian(x, y) * u.d2(x), lambda u, d: (d(u, 0, 0) + d(u, 1, 1)) * d(u, 0, 0)),
    "two": (
        lambda u, x, y, t: u.laplacian(x, y, t) + u.laplacian(x, t) ** 2,
        lambda u, d: d(u, 0, 0) + d(u, 1, 1) + d(u, 2, 2) + (d(u, 0, 0) + d(u, 2, 2)) ** 2,
    ),
    "mixed": (lambda u, x, y, t: u.laplacian(x, y) + u.d(x).d(t), lambda u, d: d(u, 0, 0) + d(u, 1, 1) + d(u, 0, 2)),
    "third": (lambda u, x, y, t: u.laplacian(x, y) + u.d(t, 3), lambda u, d: d(u, 0, 0) + d(u, 1, 1) + d(u, 2, 2, 2)),
    "flux": (
        lambda u, x, y, t: ((1 + u**2) * u.d(x)).d(x) + ((1 + u**2) * u.d(y)).d(y),
        lambda u, d: sum(d(lambda z: (1 + F[0](z) ** 2) * jax.grad(F[0])(z)[k], k) for k in (0, 1)),  # noqa: B023
    ),
    "biharmonic": (
        lambda u, x, y, t: u.laplacian(x, y).laplacian(x, y),
        lambda u, d: d(u, 0, 0, 0, 0) + 2 * d(u, 0, 0, 1, 1) + d(u, 1, 1, 1, 1),
    ),
    "laplacian of a product": (
        lambda u, x, y, t: (u * u * x).laplacian(x, y) + u,
        lambda u, d: sum(d(lambda z: F[0](z) ** 2 * z[0], k, k) for k in (0, 1)) + u,
    ),
    "of no network": (lambda u, x, y, t: (x * y).laplacian(x, y) + (x * x).laplacian(x, y) + u, lambda u, d: 2 + u),
}
X, F = POINT[0], []


@pytest.mark.parametrize("name", with_slow(EQUATIONS, "biharmonic"))
def test_equations(name):
    """In space and time, time the last column."""
    ours, theirs = EQUATIONS[name]
    coords = coordinates(2, time=True)
    net = tx.nn.mlp(3, width=5, depth=2)
    function, leaves = kernel_function(ours(net(*coords), *coords), net)

    def expected(leaves, z):
        F[:] = [module_of(net, leaves)]

        def d(f, *axes):
            f = f if callable(f) else F[0]
            for axis in axes:
                f = (lambda g, k: lambda z: jax.jvp(g, (z,), (jnp.eye(3)[k],))[1])(f, axis)
            return f(z)

        return theirs(F[0](z), d)

    same(function, expected, leaves, POINT)


def test_components_and_several_networks():
    x, y = coordinates(2)
    net, other = tx.nn.mlp(2, 2, width=5, depth=2), tx.nn.mlp(2, width=4, depth=1, key=1)
    k = tx.nn.parameter(0.3, name="k")
    u, v = net(x, y)
    field = k * u.laplacian(x, y) + v.d(x) * other(x, y) + net(x, y).laplacian(x, y)[1]
    function, leaves = kernel_function(field, net, other, k)

    def expected(leaves, z):
        count = len(jax.tree.leaves(net.params))
        static = eqx.partition(net.module, eqx.is_inexact_array)[1]
        both = eqx.combine(jax.tree.unflatten(jax.tree.structure(net.params), leaves[:count]), static)
        second = jnp.trace(jax.hessian(both)(z), axis1=1, axis2=2)
        return leaves[-1] * second[0] + jax.jacfwd(both)(z)[1, 0] * module_of(other, leaves[count:-1])(z) + second[1]

    z = POINT[:2]
    same(function, expected, leaves, z)


def uses(field, net):
    """How often each weight is used; first layer, hidden layers, output layer."""
    function, leaves = kernel_function(field, net)
    actual = trace_weights(function, leaves, POINT[: net.module.layers[0].weight.shape[1]])
    count = Counter(use.leaf for use in actual.uses)
    return [count[leaf] for leaf in range(0, len(leaves), 2)]


@pytest.mark.parametrize("activation", slow_but([jnp.tanh, jnp.sin, jax.nn.gelu, jax.nn.silu], jnp.tanh, jax.nn.gelu))
@pytest.mark.parametrize("dimension", [2, 3])
def test_uses_of_weights(dimension, activation):
    """Value, D first derivatives, one Laplacian; the input has no second derivative."""
    coords = coordinates(dimension)
    x, y = coords[:2]
    net = tx.nn.mlp(dimension, width=8, depth=3, activation=activation)
    u, many = net(*coords), dimension + 2
    assert uses(u.laplacian(*coords) + u * u.d(x), net) == [dimension + 1, many, many, many]
    assert uses(-sum(u.d2(c) for c in coords) - x * u, net) == [dimension + 1, many, many, many]
    assert uses(u.laplacian(*coords) + u.d(x).d(y), net) == [dimension + 1, *[many + 1] * 3]
    assert uses(u.d(x) + u.d(y), net) == [3] * 4


def test_uses_of_a_system():
    """Components share a network's uses, whatever derivatives each is wanted with."""
    x, y = coordinates(2)
    net = tx.nn.mlp(2, 3, width=8, depth=3)
    u, v, p = net(x, y)
    momentum = u * u.d(x) + v * u.d(y) + p.d(x) - 0.1 * u.laplacian(x, y)
    assert uses(momentum + (u.d(x) + v.d(y)) + (u * v).d(x) + v.laplacian(x, y), net) == [3, 4, 4, 4]


def test_what_is_collected():
    x, y, t = coordinates(2, time=True)
    net = tx.nn.mlp(3, width=3, depth=1)
    u, k = net(x, y, t), tx.nn.parameter(0.3)
    w = u * u
    laplacian = u.laplacian(x, y)
    assert collected(u.d2(x) + u.d2(y)) is laplacian
    assert collected(u.d2(y) + w.d2(y) + (u.d2(x) + w.d2(x))) is laplacian + w.laplacian(x, y)
    assert collected(u.d(t) - k * u.d2(x) - k * u.d2(y)) is u.d(t) - k * laplacian
    assert collected(u.laplacian(x, y) + u.d2(t)) is u.laplacian(x, y, t)
    assert collected(tx.np.sin(-u.d2(x) - u.d2(y)).d(x)) is tx.np.sin(-laplacian).d(x)
    for field in (u.d2(x) - u.d2(y), u.d2(x) + w.d2(y), 2 * u.d2(x) + u.d2(y), u.d2(x) + u.d2(x), u.d(x) + u.d(y)):
        assert collected(field) is field
