"""Groups that leave out where a field is singular: sums, their gradients and steps are those of the points inside."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx

POINTS = np.linspace(0, 1, 11)[:, None]  # √x has an infinite slope at the first, and 1/x is infinite there
FIELDS = {
    "root": (lambda x, u: tx.np.sqrt(x * u * u), lambda x, u: jnp.sqrt(x * u * u)),
    "quotient": (lambda x, u: u / x, lambda x, u: u / x),
    "power": (lambda x, u: (x * tx.np.exp(u)) ** 0.5, lambda x, u: (x * jnp.exp(u)) ** 0.5),
    "function of one's own": (
        lambda x, u: tx.np.function(own, [x, u], pointwise=True),
        lambda x, u: own(x, u),
    ),
}


def own(x, u):
    return u * jnp.log(x)


def problem():
    x, _ = tx.domain.line(mesh_size=0.1).points("rod", POINTS)
    net = tx.nn.mlp(1, width=3, depth=1, key=0)
    return x, net, net(x)


@pytest.mark.parametrize(
    "name, limit", [*((name, 2**30) for name in FIELDS), ("quotient", 1)], ids=[*FIELDS, "quotient in chunks"]
)
def test_gradients_of_groups(name, limit, devices):
    """On 0.85 < x two shards of three have no point at all; against JAX on the points inside."""
    x, net, u = problem()
    ours, plain = FIELDS[name]
    field = ours(x, u)
    groups = {"some": x > 0.25, "few": x > 0.85}
    terms = [field[group].mse for group in groups.values()] + [field[x > 0.5].max]
    solver = tx.core([terms[0]], optimizer=optax.sgd(0.1), devices=devices, dtype="float64", memory_limit=limit)
    result = solver.eval([*terms, *(term.grad(net) for term in terms)])
    arrays, rest = eqx.partition(solver.module(net), eqx.is_inexact_array)

    def of(arrays, least, how):
        inside = jnp.asarray(POINTS[POINTS[:, 0] > least])
        values = jax.vmap(lambda p: plain(p[0], eqx.combine(arrays, rest)(p).reshape(())))(inside)
        return how(values)

    references = [
        lambda a: of(a, 0.25, lambda v: jnp.mean(v**2)),
        lambda a: of(a, 0.85, lambda v: jnp.mean(v**2)),
        lambda a: of(a, 0.5, jnp.max),
    ]
    for value, gradient, reference in zip(result, result[3:], references, strict=False):
        expected, slopes = jax.value_and_grad(reference)(arrays)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(slopes)])
        np.testing.assert_allclose(gradient, flat, rtol=1e-10, atol=1e-12)


OPTIMIZERS = {
    "gauss-newton": tx.optim.gauss_newton,
    "spring": tx.optim.spring,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_on_groups(name, devices):
    """A step sees what is in the group alone: the same as of a tag that has no other points."""
    losses = []
    for whole in (True, False):
        inside = POINTS if whole else POINTS[POINTS[:, 0] > 0.85]
        x, _ = tx.domain.line(mesh_size=0.1).points("rod", inside)
        net = tx.nn.mlp(1, width=3, depth=1, key=0)
        field = net(x) / x - 1
        term = field[x > 0.85].mse if whole else field.mse
        solver = tx.core([term], optimizer=OPTIMIZERS[name](), devices=devices, dtype="float64")
        losses.append(solver.solve(3, progress=False).history["loss"])
    assert np.isfinite(losses).all() and losses[0][2] < losses[0][0]
    np.testing.assert_allclose(*losses, rtol=1e-6)
