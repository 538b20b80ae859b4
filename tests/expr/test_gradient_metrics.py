"""Cosines, norms and projections of gradients against NumPy in float64, and what they communicate."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from marks import with_slow
from programs import collectives, eval_program

import tangrax as tx

DOMAIN = tx.domain.line(mesh_size=1 / 12)  # 11 interior points
X, _ = DOMAIN.variable("interior")
XB, _ = DOMAIN.variable("boundary")
POINTS, ENDS = np.linspace(0, 1, 13)[1:-1], np.array([0.0, 1.0])


def parameters(seed):
    random = np.random.default_rng(seed)
    shapes = {"a": (5, 1), "b": (5,), "c": (2, 5)}
    return {name: jnp.asarray(random.standard_normal(shape)) for name, shape in shapes.items()}


def plain(p, x):
    return p["c"] @ jnp.tanh(p["a"][:, 0] * x + p["b"])


def network(seed, name):
    return tx.nn.wrap(lambda p, xs: plain(p, xs[0]), parameters(seed), name=name)


NET, OTHER, K = network(0, "net"), network(1, "other"), tx.nn.parameter(0.7, name="k")
START = {NET: parameters(0), OTHER: parameters(1), K: jnp.asarray(0.7)}
U, J = NET(X)[0], NET(X)[0].grad(NET)
PAIR = (K * NET(X)[0] - OTHER(X)[1]) ** 2


def u(p, x):
    return plain(p, x)[0]


def mean_of(f, points):
    return lambda *p: jnp.mean(jax.vmap(lambda x: f(*p, x))(points))


def pair(p, q, k, x):
    return (k * plain(p, x)[0] - plain(q, x)[1]) ** 2


def only(net, *names):
    return net.mask({name: name in names for name in net.params})


# Gradients as nodes; the plain functions they are gradients of; by which networks, and which leaves of them.
SETS = {
    "group means and terms of two tags": (
        [J[X < 0.3].mean, J.mean, (U * U - X).mse.grad(NET), NET(XB)[0].mse.grad(NET)],
        [
            mean_of(u, POINTS[POINTS < 0.3]),
            mean_of(u, POINTS),
            mean_of(lambda p, x: (u(p, x) ** 2 - x) ** 2, POINTS),
            mean_of(lambda p, x: u(p, x) ** 2, ENDS),
        ],
        [NET],
        ["a", "b", "c"],
    ),
    "a mask, and a zero vector": (
        [f.grad(only(NET, "a", "c")) for f in (U[X < 0.3].mse, (U * X).mean, (0 * U).mean)],
        [
            mean_of(lambda p, x: u(p, x) ** 2, POINTS[POINTS < 0.3]),
            mean_of(lambda p, x: u(p, x) * x, POINTS),
            mean_of(lambda p, x: 0 * u(p, x), POINTS),
        ],
        [NET],
        ["a", "c"],
    ),
    "two networks and a number, leaves that do not matter": (
        [
            *[f.grad(OTHER, K, NET) for f in (PAIR.mean, PAIR[X > 0.5].mean, U.mean)],
            PAIR.grad(OTHER, K, NET)[X < 0.2].mean,
        ],
        [
            mean_of(pair, POINTS),
            mean_of(pair, POINTS[POINTS > 0.5]),
            mean_of(lambda p, q, k, x: u(p, x), POINTS),
            mean_of(pair, POINTS[POINTS < 0.2]),
        ],
        [OTHER, K, NET],
        ["a", "b", "c", None],
    ),
}


def exact_leaves(name):
    """Each gradient as the list of its leaves, flat, by jax.grad of plain functions."""
    _, functions, handles, names = SETS[name]
    result = []
    for f in functions:
        order = [NET, OTHER, K] if len(handles) == 3 else [NET]
        gradients = jax.grad(f, argnums=tuple(range(len(order))))(*[START[handle] for handle in order])
        by = dict(zip(order, gradients, strict=True))
        leaves = [
            np.asarray(tree[key] if isinstance(tree, dict) else tree).ravel()
            for handle in handles
            for tree in [by[handle]]
            for key in (sorted(tree) if isinstance(tree, dict) else [None])
            if key in names
        ]
        result.append(leaves)
    return result


def exact_cosines(vectors):
    n = np.array([np.linalg.norm(v) for v in vectors])
    return np.array(
        [
            [a @ b / (x * y) if x * y else 0.0 for b, y in zip(vectors, n, strict=True)]
            for a, x in zip(vectors, n, strict=True)
        ]
    )


def exact(name):
    leaves = exact_leaves(name)
    whole = [np.concatenate(parts) for parts in leaves]
    per_leaf = np.stack([exact_cosines([parts[i] for parts in leaves]) for i in range(len(leaves[0]))])
    lengths = np.array([np.sqrt(np.sum(v**2)) for v in whole])
    shares = np.array([[a @ b / np.sqrt(b @ b) if b.any() else 0.0 for b in whole] for a in whole])
    return exact_cosines(whole), per_leaf, per_leaf[:, 0, 1], lengths, shares


@pytest.mark.parametrize("name", with_slow(SETS, "group means and terms of two tags"))
def test_values_and_trackers(name, devices):
    vectors = SETS[name][0]
    nodes = {
        "cosines": tx.np.cosine(vectors),
        "layers": tx.np.cosine(vectors, per_leaf=True),
        "two": tx.np.cosine(vectors[0], vectors[1], per_leaf=True),
        "norms": tx.np.norms(vectors),
        "projections": tx.np.projections(vectors),
    }
    terms = {"fit": PAIR.mean, **{key: node.tracker(2) for key, node in nodes.items()}}
    solver = tx.core(terms, optimizer=optax.sgd(1e-3), devices=devices, dtype="float64")
    expected = exact(name)
    for value, node, wanted in zip(solver.eval(list(nodes.values())), nodes.values(), expected, strict=True):
        assert value.shape == node.shape == wanted.shape
        np.testing.assert_allclose(value, wanted, rtol=1e-11, atol=1e-13)
    solver.solve(5, progress=False)
    for key, wanted in zip(nodes, expected, strict=True):
        assert solver.history[key].shape == (3, *wanted.shape)
        np.testing.assert_allclose(solver.history[key][0], wanted, rtol=1e-11, atol=1e-13)


def test_terms_of_several_numbers_are_flattened_leaf_by_leaf():
    both = tx.np.stack([U.mean, U.mse])
    a, b = both.grad(NET), (2 * both + U.mse).grad(NET)
    solver = tx.core([U.mse], optimizer=optax.sgd(1e-3), devices=3, dtype="float64")
    rows_a, rows_b, value = solver.eval([a, b, tx.np.cosine(a, b, per_leaf=True)])
    cut = np.cumsum([leaf.size for leaf in jax.tree.leaves(NET.params)])[:-1]
    pieces = zip(np.split(rows_a, cut, axis=1), np.split(rows_b, cut, axis=1), strict=True)
    wanted = [np.sum(x * y) / np.sqrt(np.sum(x * x) * np.sum(y * y)) for x, y in pieces]
    np.testing.assert_allclose(value, wanted, rtol=1e-12)


def test_names_of_leaves():
    assert NET.leaf_names == ("net['a']", "net['b']", "net['c']")
    assert only(NET, "a", "c").leaf_names == ("net['a']", "net['c']")
    assert tx.nn.mlp(1, width=2, depth=1, name="u").leaf_names == (
        "u.layers[0].weight",
        "u.layers[0].bias",
        "u.output_layer.weight",
        "u.output_layer.bias",
    )
    assert K.selection.leaf_names == ("k",)
    flat, _ = ravel_pytree(NET.params)
    assert sum(NET.selection.leaf_sizes) == len(flat)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_beyond_float32(scale):
    """Gradients whose squares are 0 or infinite in float32."""
    a, b = np.array([[3, 4, 0], [1, 1, 1]], np.float32) * np.float32(scale)
    np.testing.assert_allclose(tx.np.norms([a, b]), [5 * scale, np.sqrt(3) * scale], rtol=1e-6)
    np.testing.assert_allclose(tx.np.cosine([a, b])[0, 1], 7 / np.sqrt(75), rtol=1e-6)
    expected = scale * np.array([[5, 7 / np.sqrt(3)], [7 / 5, np.sqrt(3)]])
    np.testing.assert_allclose(tx.np.projections([a, b]), expected, rtol=1e-6)
    field = scale * U
    vectors = [field.mean.grad(NET), field[X < 0.3].mean.grad(NET)]
    solver = tx.core([U.mse], optimizer=optax.sgd(1e-3), devices=3, dtype="float32")
    unit = [vector / np.float32(scale) for vector in np.float64(solver.eval(vectors))]
    lengths, shares, layers = solver.eval(
        [tx.np.norms(vectors), tx.np.projections(vectors), tx.np.cosine(vectors, per_leaf=True)]
    )
    assert lengths.dtype == np.float32
    lengths, shares = np.float64(lengths) / np.float32(scale), np.float64(shares) / np.float32(scale)
    np.testing.assert_allclose(lengths, [np.linalg.norm(v) for v in unit], rtol=1e-6)
    wanted = [[v @ w / np.linalg.norm(w) for w in unit] for v in unit]
    np.testing.assert_allclose(shares, wanted, rtol=1e-5)
    cut = np.cumsum(NET.selection.leaf_sizes)[:-1]
    pieces = zip(*[np.split(v, cut) for v in unit], strict=True)
    np.testing.assert_allclose(layers, [exact_cosines(pair) for pair in pieces], rtol=1e-5, atol=1e-6)


def test_zero_and_not_finite():
    zero, one, broken = np.zeros(3), np.ones(3), np.array([1.0, np.nan, 0.0])
    np.testing.assert_array_equal(tx.np.norms([zero]), [0.0])
    np.testing.assert_array_equal(tx.np.projections([one, zero])[:, 1], [0.0, 0.0])
    np.testing.assert_array_equal(tx.np.projections([one, zero])[1], [0.0, 0.0])
    assert np.isnan(tx.np.norms([one, broken])).tolist() == [False, True]
    assert np.isnan(tx.np.cosine(one, broken))


def four(kind):
    x, _ = LINE.variable("interior")
    net, J = LARGE, LARGE(x).grad(LARGE)
    groups = [x < 0.2, (x > 0.2) & (x < 0.5), x > 0.5, x > 0.9]
    pde = LARGE(x).d2(x) + x
    match kind:
        case "group means":
            return [J[group].mean for group in groups]
        case "terms of groups":
            return [pde[group].mse.grad(net) for group in groups]
    return [pde.mse.grad(net), *[net(LINE.variable(tag)[0]).mse.grad(net) for tag in ("boundary", "left")], J.mean]


LINE = tx.domain.line(mesh_size=1 / 334)  # 333 points
LARGE = tx.nn.mlp(1, width=8, depth=2)


@pytest.mark.parametrize("kind", ["group means", "terms of groups", "three tags"])
@pytest.mark.parametrize("what", ["cosine", "everything"])
def test_one_all_reduce_for_all(kind, what):
    """Whatever the number of gradients and tags: one all-reduce of G P and a few numbers, no gather, no rows."""
    vectors = four(kind)
    nodes = [tx.np.cosine(vectors)]
    if what == "everything":
        nodes += [tx.np.cosine(vectors, per_leaf=True), tx.np.norms(vectors), tx.np.projections(vectors)]
    x, _ = LINE.variable("interior")
    solver = tx.core([LARGE(x).mse], optimizer=optax.adam(1e-3), devices=8, dtype="float64")
    program = eval_program(solver, nodes)
    assert collectives(program) == {"all-reduce": 1}
    text, size = program.as_text(), sum(leaf.size for leaf in jax.tree.leaves(LARGE.params))
    line = next(line for line in text.splitlines() if " all-reduce" in line)
    (summed,) = [int(n) for n in re.findall(r"f64\[(\d+)\]", line.split(" all-reduce")[0])]
    # Besides the gradients: the numbers of points in groups, the values of the terms.
    assert 4 * size <= summed <= 4 * size + 8, line
    rows = -(-333 // 8)
    assert f"[{rows},{size}]" not in text and f"[333,{size}]" not in text and f"[{8 * rows},{size}]" not in text


def masked(name):
    return U.mse.grad(only(NET, name))


REFUSED = {
    "no gradient": (
        lambda: tx.np.cosine(2 * J.mean, J.mean, per_leaf=True),
        TypeError,
        "Put factors and sums into the term",
    ),
    "an array": (lambda: tx.np.cosine(J.mean, np.ones(20), per_leaf=True), TypeError, "only the gradient of a term"),
    "another network": (
        lambda: tx.np.cosine(J.mean, OTHER(X)[0].mean.grad(OTHER), per_leaf=True),
        ValueError,
        "the one is by net and the other by other. Take both",
    ),
    "another mask": (
        lambda: tx.np.cosine([masked("a"), masked("b")], per_leaf=True),
        ValueError,
        r"by net\['a'\] and the other by net\['b'\]",
    ),
    "another order": (
        lambda: tx.np.cosine(PAIR.mean.grad(NET, OTHER), PAIR.mean.grad(OTHER, NET), per_leaf=True),
        ValueError,
        "by net, other and the other by other, net",
    ),
    "rows": (lambda: tx.np.cosine(J, J, per_leaf=True), TypeError, "group means"),
    "norms of a field": (lambda: tx.np.norms([U]), TypeError, "one value per point"),
    "norms of one vector": (lambda: tx.np.norms(J.mean), TypeError, r"Give a list of them, norms\("),
    "norms of nothing": (lambda: tx.np.norms([]), ValueError, "one vector or more"),
    "projections of numbers": (lambda: tx.np.projections([U.mse, U.mean]), TypeError, "one number.*term.grad"),
    "projections of one": (lambda: tx.np.projections([J.mean]), ValueError, "two vectors or more"),
    "cosine of one vector": (lambda: tx.np.cosine(J.mean), TypeError, r"Give a list of them, cosine\("),
    "different sizes": (lambda: tx.np.projections([J.mean, masked("a")]), ValueError, "of these shapes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_value_cause_and_mend(name):
    build, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        build()


def test_a_mask_of_all_is_no_mask():
    every = NET.mask(jax.tree.map(lambda _: True, NET.params))
    both = tx.np.cosine(U.mse.grad(every).named("g"), J.mean, per_leaf=True)
    assert both.shape == (3,) and str(both) == "cosine(g, net(x)[0].grad(net).mean, per_leaf=True)"
    assert both is tx.np.cosine(U.mse.grad(every).named("g"), J.mean, per_leaf=True)
