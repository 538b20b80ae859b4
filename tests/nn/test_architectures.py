"""Modified perceptrons, SIREN and PirateNet: forward passes by NumPy, starts, periodicity, Jacobians, files."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import slow_but

import tangrax as tx
from tangrax.jacobian import sharded_jacobian

X, Y, _ = tx.domain.rect(mesh_size=0.25).variable("interior")
POINTS = np.random.default_rng(0).random((7, 2))
NETS = {
    "modified": lambda **more: tx.nn.modified_mlp(2, width=4, depth=1, fourier_features=3, factorised=True, **more),
    "siren": lambda **more: tx.nn.siren(2, width=4, depth=2, frequency=7.0, **more),
    "pirate": lambda **more: tx.nn.pirate(2, width=4, blocks=1, factorised=True, **more),
}


@pytest.fixture(params=NETS)
def net(request):
    return NETS[request.param](key=3, name="net")


def moved(module):
    """Every parameter away from its start: no bias, scale or α is left at 0 or 1."""
    draw = np.random.default_rng(1)
    add = lambda leaf: leaf + 0.3 * draw.standard_normal(leaf.shape)
    return jax.tree.map(lambda leaf: add(leaf) if eqx.is_inexact_array(leaf) else leaf, module)


def affine(dense, x):
    weight = np.asarray(dense.weight)
    if dense.scale is not None:
        weight = np.diag(np.exp(np.asarray(dense.scale))) @ weight
    return weight @ x + np.asarray(dense.bias)


def features(module, x):
    angles = 2 * np.pi * np.array(module.frequencies) @ x
    return np.concatenate([np.cos(angles), np.sin(angles)])


def test_modified_by_hand():
    module = moved(tx.nn.modified_mlp(2, 3, width=5, depth=2, fourier_features=3, factorised=True).module)
    h = features(module, POINTS[0])
    u, v = np.tanh(affine(module.encoders.first, h)), np.tanh(affine(module.encoders.second, h))
    for layer in module.layers:
        a = np.tanh(affine(layer, h))
        h = a * u + (1 - a) * v
    np.testing.assert_allclose(module(jnp.asarray(POINTS[0])), affine(module.output_layer, h), rtol=1e-12)


def test_siren_by_hand():
    module = moved(tx.nn.siren(2, 3, width=5, depth=3, frequency=7.0).module)
    h = POINTS[0]
    for layer in module.layers:
        h = np.sin(7 * affine(layer, h))
    np.testing.assert_allclose(module(jnp.asarray(POINTS[0])), affine(module.output_layer, h), rtol=1e-11)


def test_pirate_by_hand():
    module = moved(tx.nn.pirate(2, 3, width=6, blocks=2, factorised=True).module)
    x = features(module, POINTS[0])
    u, v = np.tanh(affine(module.encoders.first, x)), np.tanh(affine(module.encoders.second, x))
    for block in module.blocks:
        f = np.tanh(affine(block.layers[0], x))
        g = np.tanh(affine(block.layers[1], f * u + (1 - f) * v))
        h = np.tanh(affine(block.layers[2], g * u + (1 - g) * v))
        x = float(block.alpha) * h + (1 - float(block.alpha)) * x
    np.testing.assert_allclose(module(jnp.asarray(POINTS[0])), affine(module.output_layer, x), rtol=1e-12)


@pytest.mark.parametrize("frequency", [5.0, 30.0])
def test_siren_keeps_its_variance(frequency):
    """Bounds of the weights; a mean square of about 1/2 in every layer (Sitzmann et al., section 3.2)."""
    module = tx.nn.siren(2, width=256, depth=5, frequency=frequency).module
    bounds = [1 / 2, *[np.sqrt(6 / 256) / frequency] * 5]
    for layer, bound in zip([*module.layers, module.output_layer], bounds, strict=True):
        assert 0.95 * bound < np.abs(layer.weight).max() <= bound
        assert abs(np.std(layer.weight) / (bound / np.sqrt(3)) - 1) < 0.1
    h = 2 * np.random.default_rng(0).random((500, 2)) - 1
    for layer in module.layers:
        h = np.sin(frequency * (h @ np.asarray(layer.weight).T + np.asarray(layer.bias)))
        assert 0.4 < np.mean(h**2) < 0.6


def test_pirate_starts_linear_in_its_features():
    module = tx.nn.pirate(2, width=6, blocks=3).module
    assert [float(block.alpha) for block in module.blocks] == [0, 0, 0]
    expected = [affine(module.output_layer, features(module, z)) for z in POINTS]
    np.testing.assert_allclose(jax.vmap(module)(jnp.asarray(POINTS)), expected, rtol=1e-12)


@pytest.mark.parametrize("make", [tx.nn.modified_mlp, tx.nn.siren, tx.nn.pirate])
def test_periodic_inputs(make):
    """Values and derivatives one period on."""
    u = make(3, width=4, key=1)(tx.np.periodic(X, 2.0), Y)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1, dtype="float64")
    fields = [u, u.d(X), u.d2(X)]
    own, other = (
        solver.eval(fields, points={"interior": POINTS + shift}) for shift in (np.zeros(2), np.array([2.0, 0.0]))
    )
    for a, b in zip(own, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * max(1.0, np.abs(a).max()))


@pytest.mark.slow
def test_kernels_of_residuals(net, devices, monkeypatch):
    """By factors of every leaf that has them, against J from jax.jacrev."""
    monkeypatch.setattr(sharded_jacobian, "rates", lambda transport, dtype: None)
    module = moved(net.module)
    residual = lambda p, z: jax.grad(lambda z: p(z)[0])(z)[0] - p(z)[0] ** 2
    parameters, static = eqx.partition(module, eqx.is_inexact_array)
    rows = jax.vmap(jax.jacrev(lambda p, z: residual(eqx.combine(p, static), z)), in_axes=(None, 0))
    leaves = jax.tree.leaves(rows(parameters, jnp.asarray(POINTS)))
    J = np.concatenate([np.asarray(leaf).reshape(len(POINTS), -1) for leaf in leaves], axis=1)
    actual = tx.jacobian.gram(residual, module, POINTS, mesh=devices)
    np.testing.assert_allclose(actual, J @ J.T, rtol=0, atol=1e-12 * np.abs(J @ J.T).max())


@pytest.mark.parametrize("net", slow_but(NETS, "siren"), indirect=True)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_train_save_and_load(net, tmp_path, dtype):
    """Gauss-Newton lowers the loss; the file alone gives the trained network back."""
    u = net(X, Y) * X * (1 - X)
    optimizer = tx.optim.gauss_newton() if dtype == "float64" else optax.adam(1e-3)
    solver = tx.core([(u.laplacian(X, Y) + 1).mse], optimizer=optimizer, devices=1, dtype=dtype)
    solver.solve(3, progress=False)
    losses = solver.history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    solver.save(tmp_path / "run.npz")
    trained, z = solver.module(net), jnp.asarray(POINTS[0], dtype)
    np.testing.assert_array_equal(tx.load(tmp_path / "run.npz")(z), trained(z))
    assert trained(z).dtype == dtype


def test_files_without_a_kind_are_of_perceptrons():
    net = tx.nn.mlp(2, width=3, depth=1)
    recipe = dict(net.trainable.recipe)
    assert recipe.pop("kind") == "mlp"
    assert isinstance(tx.nn.from_recipe(recipe), tx.nn.MLP)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: tx.nn.modified_mlp(2, width=0), r"modified_mlp\(width=0\): at least 1"),
        (lambda: tx.nn.modified_mlp(2, fourier_features=-1), "fourier_features=-1"),
        (lambda: tx.nn.modified_mlp(2, fourier_features=2, fourier_scale=0.0), "fourier_scale=0.0"),
        (lambda: tx.nn.siren(2, depth=0), "depth=0"),
        (lambda: tx.nn.siren(2, frequency=-1.0), "frequency=-1.0"),
        (lambda: tx.nn.siren(2, frequency=float("inf")), "frequency=inf"),
        (lambda: tx.nn.pirate(2, width=5), "an even number"),
        (lambda: tx.nn.pirate(2, blocks=0), "blocks=0"),
        (lambda: tx.nn.pirate(2, fourier_scale=float("nan")), "fourier_scale=nan"),
        (lambda: tx.nn.from_recipe({"kind": "transformer"}), "of kind 'transformer'"),
    ],
)
def test_refused_architectures(build, message):
    with pytest.raises(ValueError, match=message):
        build()
