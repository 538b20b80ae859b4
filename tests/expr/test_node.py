"""Expressions: identity, shapes, names, and what is refused."""

import dataclasses
import gc
import sys
import typing

import jax.numpy as jnp
import numpy as np
import pytest

import tangrax as tx
from tangrax.expr import Node, ops

LINE = tx.domain.line(mesh_size=0.1)
X, T = LINE.variable("interior")
XB, _ = LINE.variable("boundary")
NET = tx.nn.mlp(1, width=4, depth=1, name="net")
K = tx.nn.parameter(0.5, name="k")
PAIR = tx.nn.mlp(2, outputs=2, width=4, depth=1, name="pair")


def test_equal_expressions_are_one_object():
    assert NET(X).d2(X) is NET(X).d(X).d(X)
    assert NET(X) * 2 + 1 is NET(X) * 2 + 1
    assert LINE.variable("interior")[0] is X
    assert PAIR(X, T).d(X).d(T) is PAIR(X, T).d(T).d(X)
    assert tx.np.sin(NET(X)) is tx.np.sin(NET(X))
    assert tx.np.stack([X, T]) is not tx.np.stack([T, X])


def test_what_differs_is_never_one_object():
    f, g = (lambda v: v), (lambda v: v)
    assert tx.np.function(f, [X]) is not tx.np.function(g, [X])
    assert X * 1 is not X * 1.0 and X * 1 is not X * True
    assert X * np.array([1.0, 2.0]) is not X * np.array([1.0, 3.0])
    assert X * np.array([1.0, 2.0]) is not X * np.array([1.0, 2.0], np.float32)
    assert NET(X) is not tx.nn.mlp(1, width=4, depth=1, name="net")(X)
    assert NET(X).mse.grad(NET) is not NET(X).mae.grad(NET)
    some = NET.mask(_mask(NET, 0))
    other = NET.mask(_mask(NET, 1))
    assert NET(X).grad(some) is not NET(X).grad(other) and NET(X).grad(some) is not NET(X).grad(NET)
    assert NET(X).grad(NET.mask(None)) is NET(X).grad(NET)


def _mask(net, chosen):
    import jax

    leaves, tree = jax.tree.flatten(net.params)
    return tree.unflatten([i == chosen for i in range(len(leaves))])


def test_nodes_die_with_their_last_user():
    from tangrax.expr import node as module

    gc.collect()
    before = len(module.interned)
    for i in range(50):
        _ = tx.np.sin(NET(X) * float(i)).mse
    del _
    gc.collect()
    assert len(module.interned) <= before + 2


def test_nodes_are_immutable():
    with pytest.raises(AttributeError, match="immutable"):
        X.op = None


@pytest.mark.parametrize(
    "node, shape, text",
    [
        (NET(X), (), "net(x)"),
        (PAIR(X, T), (2,), "pair(x, t)"),
        (PAIR(X, T)[0], (), "pair(x, t)[0]"),
        (NET(X).d2(X), (), "net(x)_xx"),
        ((NET(X) ** 2 - X).mse, (), "((net(x) ** 2) - x).mse"),
        (NET(X).grad(NET), (13,), "net(x).grad(net)"),
        (PAIR(X, T).grad(PAIR), (2, 22), "pair(x, t).grad(pair)"),
        (NET(X).mse.grad(NET), (13,), "net(x).mse.grad(net)"),
        (tx.np.stack([X, T, X]), (3,), "stack(x, t, x, axis=0)"),
        (NET(X)[X < 0.5].mean, (), "net(x)[(x < 0.5)].mean"),
        (NET(X).named("u"), (), "u"),
        (tx.np.periodic(X, 2.0), (2,), "periodic((x * 3.14159))"),
    ],
)
def test_shape_and_text(node, shape, text):
    assert node.shape == shape
    assert str(node) == text


def test_iteration_gives_components():
    u, v = PAIR(X, T)
    assert u is PAIR(X, T)[0] and v is PAIR(X, T)[1]
    with pytest.raises(TypeError, match="no components"):
        iter(NET(X))


def test_arithmetic_with_arrays_on_the_left():
    assert (np.array([1.0, 2.0]) * X).shape == (2,)
    assert (jnp.array([1.0, 2.0]) * X).shape == (2,)
    assert (np.float64(3.0) * X) is (3.0 * X)


def test_functions_without_nodes_are_plain():
    assert float(tx.np.sin(0.5)) == pytest.approx(np.sin(0.5))
    assert tx.np.stack([np.ones(2), np.ones(2)]).shape == (2, 2)
    assert float(tx.np.mean(np.array([1.0, 3.0]))) == 2.0
    assert float(tx.np.cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0]))) == pytest.approx(np.sqrt(0.5))


REFUSED = {
    "two tags": (lambda: NET(X) - NET(XB), ValueError, r"'interior'.*'boundary'.*Reduce each"),
    "two domains": (
        lambda: X + tx.domain.line(mesh_size=0.2).variable("interior")[0],
        ValueError,
        "of another domain",
    ),
    "group of another tag": (lambda: NET(X)[XB < 0.5], ValueError, "'interior'.*'boundary'"),
    "group that is no condition": (lambda: NET(X)[X], TypeError, "boolean field"),
    "too few inputs": (lambda: PAIR(X), ValueError, r"pair\(x\): the network does not take .* 1 number"),
    "no inputs": (lambda: NET(), ValueError, "needs the coordinates"),
    "component out of range": (lambda: PAIR(X, T)[2], ValueError, r"no component \[2\]"),
    "component of a number": (lambda: NET(X)[0], ValueError, "no component"),
    "shapes that do not fit": (lambda: PAIR(X, T) + np.ones(3), ValueError, "shapes per point"),
    "derivative along a field": (lambda: NET(X).d(NET(X)), TypeError, "give a coordinate"),
    "derivative along another tag": (lambda: NET(X).d(XB), ValueError, "'interior'.*'boundary'"),
    "derivative of a condition": (lambda: (X < 0.5).d(X), TypeError, "no derivative"),
    "derivative of an opaque function": (
        lambda: (2 * tx.np.function(jnp.cumsum, [X])).d(X),
        ValueError,
        "pointwise=True",
    ),
    "laplacian of nothing": (lambda: NET(X).laplacian(), ValueError, "name the coordinates"),
    "gradient with respect to a field": (lambda: NET(X).grad(X), TypeError, "tx.nn.wrap"),
    "gradient of nothing": (lambda: NET(X).grad(), ValueError, "name the network"),
    "J by what a field does not hold": (
        lambda: NET(X).grad(PAIR),
        ValueError,
        r"net\(x\).grad\(pair\): it depends on net, so the derivative is zero everywhere",
    ),
    "gradient by what a term does not hold": (lambda: NET(X).mse.grad(K, PAIR), ValueError, "depends on net, so"),
    "J of an exact solution": (lambda: tx.np.sin(X).grad(NET), ValueError, "nothing that can be trained"),
    "reduction of a term": (lambda: NET(X).mse.mean, TypeError, "a term already"),
    "arithmetic with a group": (lambda: NET(X)[X < 0.5] * 2, TypeError, "reduce it first"),
    "truth of a field": (lambda: bool(X < 0.5), TypeError, "tx.np.where"),
    "number of a field": (lambda: float(NET(X).mse), TypeError, "solver.eval"),
    "array with one number a point": (lambda: NET(X) - np.zeros(9), ValueError, "same at every point"),
    "text in an expression": (lambda: NET(X) + "1", TypeError, "cannot stand in an expression"),
    "tracker of a field": (lambda: NET(X).tracker(10), TypeError, "one value per point"),
    "interval 0": (lambda: NET(X).mse.tracker(0), ValueError, "interval=0"),
    "cosine of fields": (lambda: tx.np.cosine(X, X), TypeError, "group means"),
    "cosine of one": (lambda: tx.np.cosine([NET(X).mse.grad(NET)]), ValueError, "two vectors"),
    "opaque function of the wrong kind": (
        lambda: tx.np.function(lambda v: v.sum(), [X], returns="field"),
        ValueError,
        "returns='field'",
    ),
    "opaque function without arguments": (lambda: tx.np.function(jnp.sum, []), TypeError, "as a list"),
    "negative period": (lambda: tx.np.periodic(X, -1.0), ValueError, "positive"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_value_cause_and_mend(name):
    build, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        build()


def test_long_expressions_are_cut_in_messages():
    u = NET(X)
    for _ in range(200):
        u = tx.np.sin(u) + u
    assert len(str(u)) < 2000


def test_a_sum_of_a_thousand_terms():
    total = NET(X).mse
    for i in range(1000):
        total = total + NET(X).mse * float(i)
    assert isinstance(total.op, ops.Apply) and isinstance(total, Node)
    import optax

    solver = tx.core([total], optimizer=optax.sgd(0.1), devices=1)
    one = solver.eval(NET(X).mse)
    np.testing.assert_allclose(solver.eval(total), one * (1 + 999 * 1000 / 2), rtol=1e-4)


def test_what_holds_nodes_is_not_compared_by_them():
    """A == of nodes is an expression without a truth value, and since Python 3.13 a dataclass asks for it."""
    classes = {
        kind
        for module in [m for name, m in sys.modules.items() if name.startswith("tangrax.")]
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind) and isinstance(kind, type)
    }
    compared = {}
    for kind in classes:
        hints = typing.get_type_hints(kind, localns={"Node": Node})
        nodes = [f.name for f in dataclasses.fields(kind) if f.compare and may_be_node(hints[f.name])]
        # Those that compare in a way of their own have eq=False.
        if nodes and kind.__dataclass_params__.eq:
            compared[kind.__qualname__] = nodes
    assert len(classes) > 100 and compared == {}


def may_be_node(hint):
    return hint is Node or Node in typing.get_args(hint)


def test_requests_are_equal_where_they_ask_for_the_same():
    x, y, _ = tx.domain.rect(n=9).variable("interior")
    net = tx.nn.mlp(2, width=2, depth=1)
    J, B = net(x, y).grad(net), net(x, y).d(x).grad(net)
    assert J.gram() == J.gram() and hash(J.gram()) == hash(J.gram())
    different = [J.gram(), B.gram(), J.gram(B), J.spectrum(), J.spectrum(2), J[x < 0.5].spectrum()]
    assert [different.index(request) for request in different] == list(range(6))
    assert len(dict.fromkeys([*different, *different])) == 6
