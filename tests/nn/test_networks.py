"""Networks: wrapping, calling, masks, the multilayer perceptron."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx

X, Y, _ = tx.domain.rect(mesh_size=0.25).variable("interior")
POINTS = np.column_stack([np.repeat([0.25, 0.5, 0.75], 3), np.tile([0.25, 0.5, 0.75], 3)])


def solver_of(term, devices=2):
    return tx.core([term], optimizer=optax.adam(1e-3), devices=devices, dtype="float64")


@pytest.mark.parametrize("outputs", ["scalar", 1, 3])
def test_equinox_modules_as_they_are(outputs, devices):
    module = eqx.nn.MLP(2, outputs, 4, 1, key=jax.random.key(0))
    field = tx.nn.wrap(module)(X, Y)
    value = solver_of(field.mse, devices).eval(field)
    expected = jax.vmap(module)(POINTS)
    np.testing.assert_allclose(value, expected[:, 0] if outputs == 1 else expected, rtol=1e-12)


def test_foundax_modules_as_they_are():
    foundax = pytest.importorskip("foundax", reason="foundax is not installed")
    module = foundax.mlp(in_features=2, hidden_dims=5, num_layers=2, key=jax.random.key(0))
    net = tx.nn.wrap(module)
    value = solver_of(net(X, Y).mse).eval(net(X, Y))
    np.testing.assert_allclose(value, jax.vmap(module)(POINTS)[:, 0], rtol=1e-12)
    for tree in (net.module, net.params):
        mask = eqx.tree_at(lambda m: m.output_layer.weight, jax.tree.map(lambda _: False, tree), True)
        assert net(X, Y).grad(net.mask(mask)).shape == (5,)


def test_pure_functions(devices):
    net = tx.nn.wrap(lambda p, z: jnp.sin(p["w"] @ z), {"w": np.array([1.0, 2.0])})
    value = solver_of(net(X, Y).mse, devices).eval(net(X, Y))
    np.testing.assert_allclose(value, np.sin(POINTS @ [1.0, 2.0]), rtol=1e-13)
    assert net.params["w"].shape == (2,)


class Wave(eqx.Module):
    """A layer between numbers that no one means to train."""

    omega: float
    layer: eqx.nn.Linear
    dropout: eqx.nn.Dropout
    shift: np.float64
    amplitude: np.ndarray

    def __init__(self):
        self.omega, self.shift = 5.0, np.float64(0.25)
        self.layer, self.amplitude = eqx.nn.Linear(2, 1, key=jax.random.key(0)), np.array(2.0)
        self.dropout = eqx.nn.Dropout(0.3, inference=True)

    def __call__(self, z):
        return self.amplitude * jnp.sin(self.omega * self.dropout(self.layer(z))[0] + self.shift)


def wave(p, z):
    return p["a"] * jnp.sin(p["omega"] * (p["w"] @ z) + p["shift"])


DICT = {"w": jnp.array([0.5, -1.0]), "omega": 5.0, "shift": np.float64(0.25), "a": np.array(2.0)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("wrap", [lambda: tx.nn.wrap(wave, DICT), lambda: tx.nn.wrap(Wave())], ids=["dict", "module"])
def test_numbers_among_the_leaves_are_not_trained(wrap, dtype, devices, tmp_path):
    """Arrays move by Adam's first step, numbers stay to the last bit, in the module, a mask, a file."""
    net = wrap()
    assert all(name.endswith(("['a']", "['w']", "weight", "bias", "amplitude")) for name in net.leaf_names)
    every = net.mask(jax.tree.map(lambda _: True, net.module))
    assert every.leaf_names == net.leaf_names
    solver = tx.core([(net(X, Y) - 1).mse], optimizer=optax.adam(1e-2), devices=devices, dtype=dtype)
    solver.solve(1, progress=False)
    trained = solver.module(net)
    for leaf, was in zip(jax.tree.leaves(trained), jax.tree.leaves(net.module), strict=True):
        if isinstance(was, (float, bool)):
            assert type(leaf) is type(was) and leaf == was
        elif hasattr(was, "dtype"):
            np.testing.assert_allclose(np.abs(leaf - was), 1e-2, rtol=1e-4)
    solver.save(tmp_path / "net.npz")
    other = tx.core([(net(X, Y) - 1).mse], optimizer=optax.adam(1e-2), devices=devices, dtype=dtype)
    np.testing.assert_array_equal(other.load(tmp_path / "net.npz").eval(net(X, Y)), solver.eval(net(X, Y)))


def test_a_column_for_each_number_of_an_array_and_none_for_a_number():
    """J by hand: ∂/∂a = sin, ∂/∂w = a ω cos · z."""
    angle = 5.0 * POINTS @ [0.5, -1.0] + 0.25
    expected = np.column_stack([np.sin(angle), 10.0 * np.cos(angle)[:, None] * POINTS])
    np.testing.assert_allclose(tx.jacobian.rows(wave, DICT, POINTS), expected, rtol=1e-12)
    net = tx.nn.wrap(wave, DICT)
    np.testing.assert_allclose(solver_of(net(X, Y).mse).eval(net(X, Y).grad(net)), expected, rtol=1e-12)


COMPLEX = np.array([1.0 + 1.0j, 2.0])


@pytest.mark.parametrize(
    "build",
    [
        lambda: tx.nn.wrap(lambda p, z: jnp.real(p["w"] @ z), {"w": COMPLEX}),
        lambda: tx.nn.wrap(eqx.tree_at(lambda m: m.weight, eqx.nn.Linear(2, 1, key=jax.random.key(0)), COMPLEX[None])),
        lambda: tx.nn.wrap(lambda p, z: p @ z + 1j, jnp.ones(2))(X, Y),
        lambda: tx.nn.parameter(1j),
        lambda: X * 1j,
        lambda: X + COMPLEX,
        lambda: tx.np.function(lambda x: jnp.exp(1j * x), [X], pointwise=True),
        lambda: tx.np.function(jnp.fft.fft, [X]),
        lambda: tx.jacobian.rows(lambda p, z: jnp.real(p @ z), COMPLEX, POINTS),
        lambda: tx.jacobian.rows(lambda p, z: p @ z, jnp.ones(2), POINTS + 1j),
        lambda: tx.jacobian.rows(lambda p, z: p @ z, jnp.ones(2), POINTS, sharded=True) @ COMPLEX,
        lambda: tx.jacobian.products(lambda p, z: p @ z, jnp.ones(2), POINTS) @ COMPLEX,
        lambda: tx.domain.rect(n=4).values("interior", np.full(4, 1j)),
        lambda: tx.domain.rect(n=4).points("mine", POINTS + 1j),
        lambda: tx.domain.cloud({"mine": POINTS + 1j}),
        lambda: solver_of((tx.nn.parameter(1.0) * X).mse).eval(X, points={"interior": POINTS + 0j}),
    ],
)
def test_complex_numbers_are_refused(build):
    with pytest.raises(TypeError, match=r"complex numbers .* two real ones"):
        build()


def test_vectors_are_put_into_one_input():
    module = eqx.nn.MLP(3, 1, 4, 1, key=jax.random.key(0))
    wave = tx.np.periodic(X, 2.0)
    field = tx.nn.wrap(module)(wave, Y)
    inputs = np.column_stack([np.cos(np.pi * POINTS[:, 0]), np.sin(np.pi * POINTS[:, 0]), POINTS[:, 1]])
    np.testing.assert_allclose(solver_of(field.mse).eval(field), jax.vmap(module)(inputs)[:, 0], rtol=1e-12)


def test_periodic_fields_are_periodic_with_their_derivatives():
    module = eqx.nn.MLP(3, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0))
    field = tx.nn.wrap(module)(tx.np.periodic(X, 2.0), Y)
    solver = solver_of(field.mse)
    own, other = (
        solver.eval([field, field.d(X), field.d2(X)], points={"interior": POINTS + shift})
        for shift in ([0.0, 0.0], [2.0, 0.0])
    )
    np.testing.assert_allclose(own, other, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("form", ["module", "params"])
def test_masks_are_views(form, devices):
    """The selected columns of the full Jacobian; the network itself is never changed."""
    module = eqx.nn.MLP(2, 1, 4, 2, key=jax.random.key(0))  # activations are leaves of the module
    net = tx.nn.wrap(module)
    tree = getattr(net, form)
    mask = eqx.tree_at(
        lambda m: (m.layers[0].bias, m.layers[2].weight), jax.tree.map(lambda _: False, tree), (True,) * 2
    )
    view = net.mask(mask)
    field = net(X, Y)
    solver = solver_of(field.mse, devices)
    full, some, again = solver.eval([field.grad(net), field.grad(view), field.grad(view.mask(None))])
    names = [(0, "weight", 8), (0, "bias", 4), (1, "weight", 16), (1, "bias", 4), (2, "weight", 4), (2, "bias", 1)]
    columns = np.cumsum([0] + [size for *_, size in names])
    np.testing.assert_allclose(some, np.hstack([full[:, columns[1] : columns[2]], full[:, columns[4] : columns[5]]]))
    np.testing.assert_array_equal(full, again)
    assert full.shape == (9, 37)


def test_handles_do_not_change():
    net = tx.nn.mlp(2, width=3)
    net.freeze(), net.optimizer(optax.sgd(0.1)), net.mask(jax.tree.map(lambda _: True, net.params))
    assert not net.frozen and net.own_optimizer is None and net.selected is None


def test_factorised_weights_are_the_weights_they_factorise():
    """exp(s) V x + b, s near 1; the effective weights are Glorot's."""
    net = tx.nn.mlp(2, width=50, depth=2, factorised=True)
    first = net.module.layers[0]
    assert abs(float(first.scale.mean()) - 1) < 0.1 and 0.05 < float(first.scale.std()) < 0.2
    effective = np.exp(first.scale)[:, None] * first.weight
    z = jnp.array([0.3, -0.7])
    np.testing.assert_allclose(first(z), effective @ z + first.bias, rtol=1e-12)
    assert abs(float(effective.std()) - np.sqrt(2 / 52)) < 0.05


def test_fourier_features():
    net = tx.nn.mlp(2, width=4, depth=1, fourier_features=6, fourier_scale=2.0)
    module = net.module
    z = np.array([0.3, -0.7])
    angles = 2 * np.pi * np.array(module.frequencies) @ z
    hidden = np.tanh(module.layers[0].weight @ np.concatenate([np.cos(angles), np.sin(angles)]) + module.layers[0].bias)
    np.testing.assert_allclose(
        module(jnp.asarray(z)), module.output_layer.weight @ hidden + module.output_layer.bias, rtol=1e-10
    )
    # 4 x 12 weights and 4 biases, 4 weights and 1 bias: the frequencies are not trained.
    assert sum(leaf.size for leaf in jax.tree.leaves(net.params)) == 57


def test_a_trainable_scalar_is_found():
    """An inverse problem: k u'' = -sin πx with u known gives back k."""
    x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
    k = tx.nn.parameter(0.2, name="k")
    u = tx.np.sin(tx.np.pi * x) / (0.7 * tx.np.pi**2)
    solver = tx.core([(k * u.d2(x) + tx.np.sin(tx.np.pi * x)).mse], optimizer=optax.adam(0.05), devices=3)
    solver.solve(400, progress=False)
    assert float(solver.module(k)) == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize(
    "build, kind, message",
    [
        (lambda: tx.nn.wrap(jnp.sin), TypeError, "callable module with arrays"),
        (lambda: tx.nn.wrap(lambda p, z: z, {"n": 3, "name": "a"}), ValueError, "no parameters"),
        (lambda: tx.nn.mlp(0), ValueError, "inputs=0"),
        (lambda: tx.nn.mlp(1, depth=0), ValueError, "depth=0"),
        (lambda: tx.nn.mlp(1, fourier_features=-1), ValueError, "fourier_features=-1"),
        (lambda: tx.nn.parameter(np.nan), ValueError, "finite"),
        (lambda: tx.nn.mlp(1).optimizer("adam"), TypeError, "give an optax optimizer"),
    ],
)
def test_refused(build, kind, message):
    with pytest.raises(kind, match=message):
        build()
