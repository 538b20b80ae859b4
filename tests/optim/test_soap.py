"""SOAP against the paper's algorithm in NumPy and against Adam; on devices, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import with_slow

import tangrax as tx
from tangrax.optim import soap

B1, B2, EPS, EVERY, RATE = 0.9, 0.95, 1e-3, 3, 0.1


def eigenbasis(average, basis=None):
    """Of the average and its small diagonal: by eigenvectors, or by a step of orthogonal iteration and an order."""
    size = len(average)
    decided = average + np.sqrt(np.finfo(float).eps) * np.trace(average) * np.diag(np.linspace(1, 0.5, size))
    if basis is None:
        return np.linalg.eigh(decided)[1][:, ::-1]
    order = np.argsort(-np.diag(basis.T @ decided @ basis))
    return np.linalg.qr((decided @ basis)[:, order])[0], order


def algorithm(gradients):
    """Updates of one matrix: algorithm 3 with the first moment in the space of the weights, as the paper has it."""
    first, *others = gradients
    L, R = (1 - B2) * first @ first.T, (1 - B2) * first.T @ first
    left, right = eigenbasis(L), eigenbasis(R)
    M, V, updates = np.zeros_like(first), np.zeros_like(first), [np.zeros_like(first)]
    for t, G in enumerate(others, start=1):
        M, V = B1 * M + (1 - B1) * G, B2 * V + (1 - B2) * (left.T @ G @ right) ** 2
        N = (left.T @ M @ right) / (1 - B1**t) / (np.sqrt(V / (1 - B2**t)) + EPS)
        updates.append(-RATE * left @ N @ right.T)
        L, R = B2 * L + (1 - B2) * G @ G.T, B2 * R + (1 - B2) * G.T @ G
        if t % EVERY == 0:
            left, rows = eigenbasis(L, left)
            right, columns = eigenbasis(R, right)
            V = V[rows][:, columns]
    return updates


def test_steps():
    """Eleven steps with three refreshments: matrices as in the paper, also where an axis of one lies between; the rest
    as by Adam, a step later, for the first only measures."""
    random = np.random.default_rng(1)
    shapes = {"matrix": (4, 3), "column": (5, 1), "with one": (4, 1, 3), "bias": (4,), "number": ()}
    gradients = [{name: random.normal(size=shape) for name, shape in shapes.items()} for _ in range(11)]
    for gradient in gradients:
        gradient["with one"] = gradient["matrix"][:, None]
    optimizer = soap(RATE, b1=B1, b2=B2, eps=EPS, every=EVERY)
    adam = optax.adam(RATE, B1, B2, EPS)
    update, peer = jax.jit(optimizer.update), jax.jit(adam.update)
    state, its = optimizer.init(gradients[0]), adam.init(gradients[0])
    expected = algorithm([gradient["matrix"] for gradient in gradients])
    for number, gradient in enumerate(gradients):
        updates, state = update(gradient, state)
        np.testing.assert_allclose(updates["matrix"], expected[number], atol=1e-7)
        np.testing.assert_allclose(updates["with one"], updates["matrix"][:, None], atol=1e-12)
        plain = jax.tree.map(np.zeros_like, gradient)
        if number > 0:
            plain, its = peer(gradient, its)
        for name in ("bias", "number"):
            np.testing.assert_allclose(updates[name], plain[name], rtol=1e-12)
    # A column has one axis to rotate.
    left = state[0].bases[sorted(shapes).index("column")]
    assert left[0].shape == (5, 5) and left[1] is None


def fit(devices, optimizer):
    """41 points, and weights of 6 x 1, 6 x 6 and 1 x 6."""
    x, _ = tx.domain.line(n=41).variable("interior")
    u = tx.nn.mlp(1, width=6, depth=2, key=0)(x)
    return tx.core([(u - tx.np.sin(9 * x)).mse], optimizer=optimizer, devices=devices, dtype="float64")


@pytest.mark.parametrize("devices", with_slow([3, 8], 8))
def test_devices(devices):
    """Where L and R are far from full rank, as after few steps: the same losses as on one device."""
    one, several = (fit(n, soap(3e-2)).solve(60, progress=False).history["loss"] for n in (1, devices))
    np.testing.assert_allclose(several, one, rtol=1e-6)
    assert one[-1] < 0.5 * one[0] and one[0] == one[1]


@pytest.mark.slow
def test_below_adam():
    """The same rate and steps on a fit: a tenth of Adam's loss."""
    losses = [fit(1, make(1e-2)).solve(2000, progress=False).history["loss"][-1] for make in (soap, optax.adam)]
    assert losses[0] < 0.1 * losses[1]


@pytest.mark.parametrize(
    "arguments, message",
    [({"b1": 1.0}, r"b1=1.0\): .* 0 to below 1"), ({"eps": -1.0}, r"eps=-1.0"), ({"every": 0}, "at least 1")],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        soap(**arguments)


def test_long_axes_have_no_basis():
    assert [each is None for each in soap().init(jnp.zeros((5000, 2)))[0].bases[0]] == [True, False]
