"""What a user is told who slips: the exception's own words, the user's line, and what to write instead.

The line is compared with `inspect`, the function of `tx.np` that is named with what it gives.
"""

import inspect
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tangrax as tx

DOMAIN = tx.domain.line(n=7).over_time(0.0, 1.0)
X, T = DOMAIN.variable("interior")
U = tx.nn.mlp(2, width=3, depth=1, name="u")(X, T)
PARAMS = {"w": jnp.ones(2)}


def absent(p, z):
    return p["v"] @ z


def divides(p, z):
    return p["w"] @ z * (1 / (len(z) - len(z)))


def branches(p, z):
    return p["w"] @ z if z[0] > 0 else z[0]


def counts(p, z):
    return p["w"] @ jnp.ones(int(z[0]))


def of_numpy(p, z):
    return p["w"] @ np.asarray(z)


def misfits(p, z):
    return p["w"] @ z[:1]


class Drops(eqx.Module):
    layer: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __call__(self, z):
        return self.dropout(self.layer(z))


DROPPED = Drops(eqx.nn.Linear(2, 1, key=jax.random.key(0)), eqx.nn.Dropout(0.5))
FAULTS = {
    absent: "KeyError: 'v'",
    divides: "ZeroDivisionError: division by zero",
    branches: "TracerBoolConversionError: .* choose by jnp.where, not if",
    counts: "ConcretizationTypeError: ",
    of_numpy: "TracerArrayConversionError: .* take the function of jax.numpy",
    misfits: r"TypeError: dot_general .* got \(2,\) and \(1,\)",
    Drops: r"RuntimeError: Dropout requires a key .* eqx.nn.inference_mode\(module\)",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_exception_in_a_network_is_told_with_its_line(fault):
    net = tx.nn.wrap(DROPPED) if fault is Drops else tx.nn.wrap(fault, PARAMS)
    with pytest.raises(ValueError, match=FAULTS[fault]) as caught:
        net(X, T)
    lines, first = inspect.getsourcelines(Drops.__call__ if fault is Drops else fault)
    assert f"{__file__}:{first + 1}: {lines[1].strip()}" in str(caught.value)
    assert "number(s) per point" not in str(caught.value)  # which these have nothing to do with
    assert caught.value.__cause__ is not None


def three(p, z):
    x, y, t = z
    return p["w"][0] * x * y * t


@pytest.mark.parametrize(
    "net", [tx.nn.wrap(three, PARAMS), tx.nn.mlp(3), tx.nn.wrap(eqx.nn.MLP(3, 1, 40, 1, key=jax.random.key(0)))]
)
def test_a_wrong_number_of_inputs_is_told_with_the_right_one(net):
    with pytest.raises(ValueError, match=r"does not take its input of 2 number\(s\) per point, it takes 3"):
        net(X, T)


@pytest.mark.parametrize("pointwise", [True, False])
def test_an_exception_in_a_function_is_told_with_its_line(pointwise):
    def looks_up(x):
        return {}["rate"] * x

    with pytest.raises(ValueError, match="KeyError: 'rate'") as caught:
        tx.np.function(looks_up, [X], pointwise=pointwise)
    lines, first = inspect.getsourcelines(looks_up)
    assert f"{__file__}:{first + 1}: {lines[1].strip()}" in str(caught.value)
    assert "shape" not in str(caught.value)


@pytest.mark.parametrize("output", [None, (1.0, 2.0)])
def test_what_is_no_array_is_named(output):
    with pytest.raises(ValueError, match=f"it returns {type(output).__name__}: give one array"):
        tx.nn.wrap(lambda p, z: output, PARAMS)(X, T)
    with pytest.raises(ValueError, match=f"it returns {type(output).__name__}: give one array"):
        tx.jacobian.rows(lambda p, z: output, PARAMS, np.ones((4, 2)))


SLIPS = {
    "jnp.sin": (lambda: jnp.sin(X), "sin"),
    "jnp.exp": (lambda: 2.0 * jnp.exp(-(U**2)) + 1.0, "exp"),
    "jnp.maximum": (lambda: jnp.maximum(U, 0.0), "maximum"),
    "jnp.where": (lambda: jnp.where(X > 0.5, U, 0.0), "where"),
    "jnp.stack": (lambda: jnp.stack([U, X]), "stack"),
    "jnp.mean": (lambda: jnp.mean(U), "mean"),
    "jnp.remainder": (lambda: jnp.remainder(U, 2.0), "mod"),
    "jnp.linalg.norm": (lambda: jnp.linalg.norm(tx.np.stack([U, X])), "linalg.norm"),
    "jax.nn.sigmoid": (lambda: jax.nn.sigmoid(U), "sigmoid"),
    "np.sin": (lambda: np.sin(X), "sin"),
    "np.sqrt": (lambda: np.sqrt(U.mse), "sqrt"),
    "np.absolute": (lambda: np.abs(U), "abs"),
    "np.mean": (lambda: np.mean(U), "mean"),
    "np.where": (lambda: np.where(X > 0.5, U, 0.0), "where"),
    "np.stack": (lambda: np.stack([U, X]), "stack"),
    "math.sin": (lambda: math.sin(X), "sin"),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_function_of_another_library_names_that_of_tx_np(name):
    slip, own = SLIPS[name]
    with pytest.raises((TypeError, ValueError), match=f"{name} of .*, which is symbolic: write tx.np.{own}(\\n|$)"):
        slip()


def test_what_tx_np_has_no_function_for():
    with pytest.raises(TypeError, match=r"no such function; write tx.np.function\(f, \[field\], pointwise=True\)"):
        np.gradient(U)
    with pytest.raises(TypeError, match=r"tx.np.stack makes one of them"):
        X - [X, T]
    with pytest.raises(TypeError, match=r"solver.eval\(...\) gives its values"):
        np.asarray(U)


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), jnp.array([1.0, 2.0]), np.float32(2.0), jnp.float32(2.0)])
def test_operators_with_an_array_on_the_left(array):
    result = [array + X, array - X, array / X, array * X, array**X, array // X, array % X]
    assert [node.op.name for node in result] == ["+", "-", "/", "*", "**", "//", "%"]
    assert all(node.args[1] is X and not node.args[0].args for node in result)
    assert [(array < X).op.name, (array >= X).op.name, (array == X).op.name] == [">", "<=", "=="]


@pytest.mark.parametrize("shape", [(7,), (7, 1)])
def test_an_array_of_all_points_is_sent_to_domain_values(shape):
    pair = tx.np.stack([U, X])
    for build in (lambda: U - np.ones(shape), lambda: jnp.ones(shape) * U, lambda: pair - np.ones((7, 2))):
        with pytest.raises(ValueError, match=r"domain.values\('interior', array\)"):
            build()
    assert (np.ones((7, 2)) @ pair).shape == (7,)  # a matrix that happens to have 7 rows


POINTS = np.random.default_rng(0).random((5, 2))
NET = eqx.nn.MLP(2, "scalar", 4, 1, key=jax.random.key(0))


def called(p, z):
    return p(z)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda f: f(NET, called, POINTS), r"the order is \(function, params, points\)"),
        (lambda f: f(called, POINTS, NET), r"the order is .* points are of type MLP"),
        (lambda f: f(POINTS, NET, called), r"the order is .* here of type ndarray"),
        (lambda f: f(lambda w, z: w[:2] @ z, POINTS, np.ones(3)), "takes params as points and points as params"),
        (lambda f: f(lambda z, p: p(z), NET, POINTS), r"takes \(point, params\); give lambda p, z: f\(z, p\)"),
        (lambda f: f(lambda p, z: jax.vmap(p)(z), NET, POINTS), "takes all points at once; give a function of one"),
        (lambda f: f(lambda w, z: z[:, 0] * w[0], np.ones(3), POINTS), "takes all points at once"),
        (lambda f: f(absent, PARAMS, POINTS), r"'absent' failed at a point of shape \(2,\). KeyError: 'v'; at .*v"),
    ],
)
@pytest.mark.parametrize("function", [tx.jacobian.rows, tx.jacobian.gram, tx.jacobian.products])
def test_arguments_of_jacobian_that_are_something_else(call, says, function):
    with pytest.raises((TypeError, ValueError), match=says):
        call(function)
