"""Factors of any function's Jacobian, found in its trace, against rows by jax.jacrev."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import with_slow

from tangrax.jacobian.cost_model import Rates, split_leaves
from tangrax.jacobian.weight_factors import Split, factors_at, kernel
from tangrax.jacobian.weight_tracing import trace_weights

KEY = jax.random.key(0)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def mlp(leaves, z):
    first, bias, middle, last = leaves
    return (jnp.tanh(jnp.tanh(first @ z + bias) @ middle) @ last)[0]


NET = [draw(5, 2, seed=1), draw(5, seed=2), draw(5, 7, seed=3), draw(7, 1, seed=4)]
Z = draw(6, 2, seed=5)


def laplacian(leaves, z):
    return jnp.trace(jax.hessian(lambda z: mlp(leaves, z))(z)) - mlp(leaves, z) ** 2


def vector(leaves, z):
    return jnp.stack([mlp(leaves, z), mlp(leaves, z * 2), z[0] * mlp(leaves, z)])


@jax.custom_jvp
def layer(weight, z):
    return jnp.tanh(weight @ z)


@layer.defjvp
def _(primals, tangents):
    weight, z = primals
    value = layer(weight, z)
    return value, (1 - value**2) * (tangents[0] @ z + weight @ tangents[1])


FUNCTIONS = {
    "value": mlp,
    "residual": laplacian,
    "derivative": lambda leaves, z: jax.grad(mlp, argnums=1)(leaves, z)[0],
    "vector": vector,
    "jit": lambda leaves, z: jax.jit(mlp)(leaves, z) + jax.jit(mlp)(leaves, -z),
    "checkpoint": lambda leaves, z: jax.checkpoint(mlp)(leaves, z),
    "custom_jvp": lambda leaves, z: layer(leaves[0], z) @ leaves[1],
    "weights shared": lambda leaves, z: (
        (leaves[2].T @ jnp.tanh(leaves[2] @ jnp.tanh(leaves[2].T @ leaves[1])))[0] * z[0]
    ),
    "a matrix operand": lambda leaves, z: jnp.sum(jnp.tanh(leaves[0] @ jnp.outer(z, jnp.arange(3.0)))),
    "two weights": lambda leaves, z: jnp.sum(jnp.tanh(leaves[0].T @ leaves[2]) @ leaves[3]) * z[1],
    "reshaped": lambda leaves, z: jnp.sum(jnp.tanh(leaves[2].reshape(7, 5) @ leaves[1])) * z[0],
    "in two shapes": lambda leaves, z: jnp.sum(leaves[2].reshape(7, 5) @ leaves[1]) + (leaves[1] @ leaves[2])[0] * z[0],
    "used otherwise": lambda leaves, z: mlp(leaves, z) + jnp.sum(leaves[2] ** 2),
    "scanned": lambda leaves, z: jax.lax.scan(lambda c, _: (jnp.tanh(leaves[0] @ c)[:2], None), z, None, 3)[0][0],
    "not used": lambda leaves, z: jnp.sum(leaves[0] @ z),
}
# Leaves for which factors exist.
FIT = {"used otherwise": {0, 3}, "scanned": set(), "not used": {0}, "custom_jvp": {0}, "weights shared": {2}}
# The bias goes with its weight where it is added to products of that weight alone.
BIASES = {key: set() for key in ["custom_jvp", "weights shared", "a matrix operand", "two weights", "reshaped"]}
BIASES |= {key: set() for key in ["in two shapes", "scanned", "not used"]}
FIT |= {"a matrix operand": {0}, "two weights": {0, 2, 3}, "reshaped": {2}, "in two shapes": set()}


@pytest.mark.parametrize("name", with_slow(FUNCTIONS, "residual"))
def test_kernel_of_factors(name):
    """Factors of every leaf that has them, whether they pay or not, give J Jᵀ."""
    function = FUNCTIONS[name]
    result = trace_weights(function, NET, Z[0])
    every = split_leaves([result], NET, None)
    assert set(every.weights) == FIT.get(name, {0, 2, 3})
    assert set(every.biases) == BIASES.get(name, {1})
    factors = jax.vmap(lambda z: factors_at(function, NET, z, every))(Z)
    rows = [jax.vmap(jax.jacrev(function), in_axes=(None, 0))(NET, Z)]
    J = np.concatenate(
        [np.asarray(leaf).reshape(-1, size.size) for leaf, size in zip(rows[0], NET, strict=True)], axis=1
    )
    expected = J @ J.T
    np.testing.assert_allclose(kernel(factors, factors), expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_what_pays():
    """A use or two of a wide weight by factors; small weights, and many uses, by rows."""
    wide = [draw(64, 2), draw(64), draw(64, 64), draw(64, 1)]
    known = Rates(1.0, 60.0, 30.0)
    assert split_leaves([trace_weights(mlp, wide, Z[0])], wide, known) == Split((2,), ())
    many = lambda leaves, z: sum(mlp(leaves, z * k) for k in range(9))
    assert split_leaves([trace_weights(many, wide, Z[0])], wide, known) == Split()
    # Where products cost nothing but their multiplications, one use of two columns pays too, with its bias.
    assert split_leaves([trace_weights(mlp, wide, Z[0])], wide, Rates(1.0, 0.0, 0.0)) == Split((0, 2), (1,))


@pytest.mark.slow
def test_equinox_modules():
    """Linear layers with biases, a convolution, a normalisation: what has no factors keeps rows."""
    keys = jax.random.split(KEY, 3)
    net = eqx.nn.Sequential(
        [
            eqx.nn.Linear(2, 12, key=keys[0]),
            eqx.nn.Lambda(lambda h: jnp.tanh(h).reshape(3, 4)),
            eqx.nn.Conv1d(3, 3, 2, key=keys[1]),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.LayerNorm(9),
            eqx.nn.Linear(9, 1, key=keys[2]),
        ]
    )
    parameters, static = eqx.partition(
        jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_array(x) else x, net), eqx.is_array
    )
    leaves, tree = jax.tree.flatten(parameters)
    function = lambda leaves, z: eqx.combine(tree.unflatten(leaves), static)(z)[0]
    result = trace_weights(function, leaves, Z[0])
    every = split_leaves([result], leaves, None)
    assert len(every.weights) == 2, "the two linear layers"
    assert len(every.biases) == 2, "and their biases"
    factors = jax.vmap(lambda z: factors_at(function, leaves, z, every))(Z)
    rows = jax.vmap(jax.jacrev(function), in_axes=(None, 0))(leaves, Z)
    J = np.concatenate([np.asarray(leaf).reshape(6, -1) for leaf in rows], axis=1)
    np.testing.assert_allclose(kernel(factors, factors), J @ J.T, rtol=1e-12)
