"""What stays of a solver that has gone. Oracles: reference counts, what XLA and the system say is alive."""

import gc
import threading
import weakref
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax.nn.layers import Dense
from tangrax.nn.mlp import MLP
from tangrax.optim.constant_arrays import filled


def programs() -> int:
    return len(jax.devices()[0].client.live_executables())


def resident() -> float:
    """MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def solver(devices, width=6, **more):
    x, y, _ = tx.domain.rect(n=40 + width, boundary=8).variable("interior")
    u = tx.nn.mlp(2, width=width, depth=1)(x, y)
    residual = u.laplacian(x, y) + 1
    more = {key: value(residual) for key, value in more.items()}
    return tx.core([residual.mse, u.mse.tracker(2)], optimizer=optax.adam(1e-3), devices=devices, **more)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"balance": lambda _: tx.optim.grad_norm(every=2)},
        {"resample": lambda residual: tx.optim.rad(residual, every=2, pool=200)},
    ],
    ids=["plain", "balance", "resample"],
)
def test_nothing_but_its_user_keeps_a_solver(devices, more):
    gc.collect()
    gc.disable()
    try:
        one = solver(devices, **more).solve(4, progress=False)
        field = one.training.terms.losses["mse_0"].args[0]
        one.eval([field])
        parts = [weakref.ref(part) for part in (one, one.training, one.training.executor, one.training.loop)]
        del one, field
        assert [part() for part in parts] == [None] * 4
    finally:
        gc.enable()


def test_a_solver_of_another_size_leaves_no_program(devices):
    solver(devices, 5).solve(1, progress=False)
    gc.collect()
    before = programs()
    solver(devices, 7).solve(1, progress=False)  # weights of both widths are drawn in eights and sixteens
    gc.collect()
    assert programs() == before


def looks(parameters):
    return {"largest": np.float32(max(np.abs(np.asarray(p)).max() for p in jax.tree.leaves(parameters)))}


@pytest.mark.parametrize(
    "init",
    [
        optax.adam(1e-3).init,
        optax.lbfgs().init,
        optax.inject_hyperparams(optax.adam)(learning_rate=1e-3).init,
        optax.add_noise(0.1, 0.5, 3).init,
        looks,
    ],
    ids=["adam", "lbfgs", "injected", "noise", "looks at numbers"],
)
def test_states_filled_on_the_host_are_those_of_optax(init):
    parameters = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}
    mine, its = filled(init)(parameters), init(parameters)
    assert jax.tree.structure(mine) == jax.tree.structure(its)
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(its), strict=True):
        if isinstance(b, jax.Array) and jnp.issubdtype(b.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(*map(jax.random.key_data, (a, b)))
            continue
        assert jax.typeof(a) == jax.typeof(b)
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(1, 5), (9, 2), (32, 32)])
def test_weights_are_those_of_glorot(shape):
    # Of JAX's own initializer, in the shape itself: bit for bit.
    outputs, inputs = shape
    key = jax.random.key(3)
    layer = Dense(inputs, outputs, False, key=key)
    wanted = jax.nn.initializers.glorot_normal()(jax.random.split(key)[0], shape)
    np.testing.assert_array_equal(layer.weight, wanted)


def test_networks_can_be_made_inside_a_traced_function():
    keys = jax.random.split(jax.random.key(0), 3)
    arguments = {"inputs": 2, "outputs": 1, "width": 4, "depth": 1, "activation": jnp.tanh}
    make = lambda key: MLP(**arguments, frequencies=None, factorised=False, key=key)
    together = eqx.filter_vmap(make)(keys)
    np.testing.assert_allclose(together.layers[0].weight[1], make(keys[1]).layers[0].weight, rtol=1e-6)


def test_an_array_given_may_change_afterwards():
    values = np.ones(1024)
    net = tx.nn.wrap(lambda p, inputs: p[0] * inputs, [values])
    values[:] = 7
    assert (np.asarray(net.params[0]) == 1).all()


@pytest.mark.slow
def test_sixty_solvers_in_one_process_take_no_more_than_twenty():
    held = {}
    for number in range(60):
        solver(1).solve(10, progress=False)
        if number in (19, 59):
            gc.collect()
            held[number] = programs(), threading.active_count(), len(jax.live_arrays()), resident()
    (*counts, before), (*later, after) = held[19], held[59]
    assert counts == later
    assert after - before < 8  # MB; 0.8 a solver would be 32
