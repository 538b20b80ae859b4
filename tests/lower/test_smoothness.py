"""Networks that are too rough for their equation, by what analysis knows of their activations."""

import inspect

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax.lower import too_rough

X, T = tx.domain.line(n=12).over_time(0.0, 1.0).variable("interior")
# The order from which on derivatives of one hidden layer are zero between its kinks; None where none are.
VANISH = {
    "relu": (jax.nn.relu, 2),
    "leaky relu": (jax.nn.leaky_relu, 2),
    "abs": (jnp.abs, 2),
    "hard tanh": (lambda a: jnp.clip(a, -1, 1), 2),
    "relu by where": (lambda a: jnp.where(a > 0, a, 0.0), 2),
    "relu squared": (lambda a: jax.nn.relu(a) ** 2, 3),
    "steps": (jnp.sign, 1),
    "elu": (jax.nn.elu, None),
    "softplus": (jax.nn.softplus, None),
    "tanh": (jnp.tanh, None),
    "polynomial": (jnp.square, None),
    "linear": (lambda a: a, None),
}


def net_of(activation):
    return tx.nn.wrap(eqx.nn.MLP(2, 1, 5, 1, activation=activation, key=jax.random.key(0)), name="net")


@pytest.mark.parametrize("name", VANISH)
def test_the_order_at_which_derivatives_vanish(name):
    activation, order = VANISH[name]
    u = net_of(activation)(X, T)
    actual = [k for k in (1, 2, 3) if too_rough([u.d(X, k).mse])]
    assert actual == ([] if order is None else list(range(order, 4)))


def test_orders_add_up_along_an_expression():
    u, outer = net_of(jax.nn.relu)(X, T), tx.nn.mlp(1)
    for smooth in (u.mse, (u.d(X) * u.d(T)).mse, (u.d(X).mean * X).d(X).mse, u.d(X)[X < 0.5].mse):
        assert not too_rough([smooth])
    for rough in ((u * u.d(X)).d(X), u.laplacian(X), u.d(X).d(T), u.d2(X)[X < 0.5], outer(u).d2(X)):
        assert len(too_rough([rough.mse])) == 1


def test_what_has_no_second_derivative_rightly():
    k = tx.nn.parameter(1.0)
    line = tx.nn.wrap(eqx.nn.Linear(2, 1, key=jax.random.key(0)))
    for field in ((k * X).d2(X), line(X, T).d2(X), tx.np.abs(X).d2(X), (line(X, T) * X).d2(X)):
        assert not too_rough([field.mse])


ROUGH = tx.nn.mlp(2, width=4, depth=2, activation=jax.nn.relu, name="rough")(X, T)
SAYS = "'rough' is differentiated 2 times .* Take a smooth activation"


def test_one_warning_where_the_problem_is_made():
    with pytest.warns(UserWarning, match=SAYS) as caught:
        tx.core([(ROUGH.d2(X) + ROUGH.d2(T)).mse, ROUGH.d2(X).mse], optimizer=optax.adam(1e-3), devices=1)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert caught[0].lineno == inspect.getsourcelines(test_one_warning_where_the_problem_is_made)[1] + 2


def test_what_is_warned_of_has_no_loss_before_training(devices):
    """As analysis has it: relu is linear but at 0."""
    with pytest.warns(UserWarning, match=SAYS):
        solver = tx.core([ROUGH.laplacian(X, T).mse], optimizer=optax.adam(1e-3), devices=devices)
    assert solver.eval(ROUGH.laplacian(X, T).mse) == 0.0
    np.testing.assert_array_equal(solver.eval(ROUGH.d2(X)), 0.0)
