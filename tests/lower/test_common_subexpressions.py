"""Equal operations made one: the same values and derivatives, fewer uses of each weight."""

import jax
import jax.numpy as jnp
import numpy as np

from tangrax.lower.common_subexpressions import merged


def count(function, *args):
    """Matrix products in a traced function, nested programs included."""

    def of(jaxpr):
        total = 0
        for equation in jaxpr.eqns:
            total += equation.primitive.name == "dot_general"
            for value in equation.params.values():
                inner = getattr(value, "jaxpr", value)
                total += of(inner) if hasattr(inner, "eqns") else 0
        return total

    return of(jax.make_jaxpr(function)(*args).jaxpr)


def second_derivative(weights, x):
    def net(s):
        return weights[1] @ jnp.tanh(weights[0] @ s)

    unit = np.eye(2)[0]
    return jax.jvp(lambda p: jax.jvp(net, (p,), (unit,))[1], (x,), (unit,))[1]


WEIGHTS = [jax.random.normal(jax.random.key(0), (4, 2)), jax.random.normal(jax.random.key(1), (1, 4))]
X = jnp.array([0.3, -0.2])


def test_values_and_gradients_stay():
    plain = lambda w: second_derivative(w, X)[0]
    once = lambda w: merged(lambda v: second_derivative(v, X))(w)[0]
    np.testing.assert_allclose(once(WEIGHTS), plain(WEIGHTS), rtol=1e-14)
    for a, b in zip(jax.grad(once)(WEIGHTS), jax.grad(plain)(WEIGHTS), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


def test_the_first_derivative_is_computed_once():
    plain = lambda x: second_derivative(WEIGHTS, x)
    assert count(merged(plain), X) < count(plain, X)


def test_what_differs_is_kept_apart():
    """Constants, parameters of operations, and functions of the user's with derivatives of their own."""

    @jax.custom_jvp
    def halved(x):
        return x

    halved.defjvp(lambda p, t: (p[0], t[0] / 2))

    def mixed(x):
        return (
            jnp.sum(x * np.array([1.0, 2.0])) + jnp.sum(x * np.array([1.0, 3.0])) + x[0] ** 2 + x[0] ** 3 + halved(x)[1]
        )

    np.testing.assert_allclose(merged(mixed)(X), mixed(X), rtol=1e-14)
    np.testing.assert_allclose(jax.grad(merged(mixed))(X), jax.grad(mixed)(X), rtol=1e-13)


def test_trees_in_and_out():
    function = lambda tree: {"a": tree["x"] * 2, "b": (tree["x"] * 2, tree["y"])}
    actual = merged(function)({"x": X, "y": jnp.int32(3)})
    np.testing.assert_allclose(actual["a"], X * 2)
    np.testing.assert_allclose(actual["b"][0], X * 2)
    assert actual["b"][1] == 3
