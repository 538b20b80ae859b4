"""SPRING and ENGD against NumPy's recursion and least squares, on several devices, and what they refuse."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from marks import with_slow
from programs import collectives, training_program

import tangrax as tx
from tangrax.optim import engd, spring

π = np.pi
# Points and way: JJᵀ of 6 rows and 8 parameters, JᵀJ of 8 parameters and 34 rows, products with J.
WAYS = {
    "kernel": (3, {"way": "gram"}),
    "normal matrix": (17, {"way": "gram"}),
    "products": (17, {"way": "cg", "rank": 3, "tolerance": 1e-13}),
}


def polynomial(points, devices, **options):
    """A residual that is linear in eight parameters, and (A, b) with r = A p - b, weighted and grouped."""
    x, _ = tx.domain.line(n=points).variable("interior")
    powers = [tx.nn.parameter(0.1 * k, name=f"p{k}") for k in range(8)]
    r = sum((p * x**k for k, p in enumerate(powers[1:], start=1)), start=powers[0] + 0 * x) - tx.np.exp(x)
    terms = {"fit": 4 * r.mse + r[x < 0.6].mse}
    solver = tx.core(terms, optimizer=spring(**options), devices=devices, dtype="float64")
    at = x.points.coordinates[:, 0]
    near = at < 0.6
    weights = np.concatenate([np.full(len(at), np.sqrt(4 / len(at))), near / np.sqrt(np.sum(near))])
    A = np.tile(at[:, None] ** np.arange(8), (2, 1)) * weights[:, None]
    return solver, powers, A, np.tile(np.exp(at), 2) * weights


@pytest.mark.parametrize("way, devices", [("kernel", 2), ("normal matrix", 3), ("products", 1), ("products", 3)])
def test_recursion(way, devices):
    """Six steps with momentum and a schedule, against φ and θ in NumPy, damped in parts of the trace."""
    points, options = WAYS[way]
    rates, schedule = [1.0, 1.0, 0.5, 0.5, 0.25, 0.25], optax.exponential_decay(1.0, 2, 0.5, staircase=True)
    solver, powers, A, b = polynomial(points, devices, rate=schedule, momentum=0.7, damping=1e-4, **options)
    p, φ, λ = 0.1 * np.arange(8), np.zeros(8), 1e-4 * np.sum(A**2)
    losses = []
    for rate in rates:
        r = A @ p - b
        losses.append(r @ r)
        φ = 0.7 * φ + A.T @ np.linalg.solve(A @ A.T + λ * np.eye(len(A)), r - 0.7 * A @ φ)
        p = p - rate * φ
    solver.solve(6, progress=False)
    np.testing.assert_allclose(solver.history["loss"], losses, rtol=1e-7)
    np.testing.assert_allclose([float(solver.module(power)) for power in powers], p, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(solver.history["damping"], λ)
    np.testing.assert_allclose(solver.history["rate"], rates)
    assert solver.history["radius"][-1] == pytest.approx(0.25 * np.linalg.norm(φ), rel=1e-6)


@pytest.mark.parametrize("points, devices", with_slow([(17, 3), (3, 2), (17, 8), (17, 1)], (3, 2), (17, 8), (17, 1)))
def test_engd(points, devices):
    """θ - η (G + λ)⁻¹∇L/2 with G = JᵀJ in NumPy, η the best of 31 rates; N below P and above, λ as given."""
    x, _ = tx.domain.line(n=points).variable("interior")
    start = np.array([0.5, 2.0, 1.0, 2.0])
    a, b, c, d = (tx.nn.parameter(number, name=name) for number, name in zip(start, "abcd", strict=True))
    r = a * tx.np.exp(b * x) + c * tx.np.sin(d * x) - 1 / (1 + x)
    solver = tx.core([r.mse], optimizer=engd(damping=1e-6), devices=devices, dtype="float64")
    at = x.points.coordinates[:, 0]
    residual = lambda p: (p[0] * np.exp(p[1] * at) + p[2] * np.sin(p[3] * at) - 1 / (1 + at)) / np.sqrt(points)
    p, losses, rates, dampings = start, [], [], []
    for _ in range(6):
        columns = [np.exp(p[1] * at), p[0] * at * np.exp(p[1] * at), np.sin(p[3] * at), p[2] * at * np.cos(p[3] * at)]
        J = np.stack(columns, axis=1) / np.sqrt(points)
        losses.append(np.sum(residual(p) ** 2))
        dampings.append(1e-6 * np.sum(J**2))
        step = np.linalg.solve(J.T @ J + dampings[-1] * np.eye(4), J.T @ residual(p))
        trials = [np.sum(residual(p - η * step) ** 2) for η in 0.5 ** np.arange(31)]
        rates.append(0.5 ** np.argmin(trials))
        p = p - rates[-1] * step
    solver.solve(6, progress=False)
    np.testing.assert_allclose(solver.history["loss"], losses, rtol=1e-6)
    np.testing.assert_array_equal(solver.history["rate"], rates)
    np.testing.assert_allclose(solver.history["damping"], dampings, rtol=1e-6)
    assert losses[-1] < 1e-2 * losses[0] and (min(rates) < 1 or points == 3)


def poisson(points=41, width=8, devices=1, optimizer=None, dtype="float64", **options):
    """Two tags, a group and weights; u = sin(πx)."""
    line = tx.domain.line(n=points)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=width, depth=2, key=1)
    u, at_ends = net(x), net(ends)
    pde = u.d2(x) + π**2 * tx.np.sin(π * x)
    terms = {"pde": pde.mse + 0.5 * pde[x < 0.4].mse, "ends": 10 * at_ends.mse}
    solver = tx.core(terms, optimizer=optimizer or spring(**options), devices=devices, dtype=dtype)
    return solver, net, (pde, at_ends, x)


@pytest.mark.slow
def test_without_momentum():
    """A damped Gauss-Newton step is the least-squares solution of J over √λ, whatever the terms."""
    solver, net, (pde, at_ends, x) = poisson(momentum=0.0, rate=1.0, damping=1e-6, devices=2)
    at = solver.eval(x)
    weights = np.sqrt(1 / len(at) + 0.5 * np.where(at < 0.4, 1 / np.sum(at < 0.4), 0))
    J = np.concatenate([weights[:, None] * solver.eval(pde.grad(net)), np.sqrt(5) * solver.eval(at_ends.grad(net))])
    r = np.concatenate([weights * solver.eval(pde), np.sqrt(5) * solver.eval(at_ends)])
    λ = 1e-6 * np.sum(J**2)
    over = np.concatenate([J, np.sqrt(λ) * np.eye(J.shape[1])])
    step = np.linalg.lstsq(over, np.concatenate([r, np.zeros(J.shape[1])]), rcond=None)[0]
    before = numbers(solver, net)
    solver.solve(1, progress=False)
    np.testing.assert_allclose(before - numbers(solver, net), step, rtol=1e-6, atol=1e-8 * np.linalg.norm(step))


def numbers(solver, net):
    return np.asarray(ravel_pytree(eqx.filter(solver.module(net), eqx.is_inexact_array))[0])


@pytest.mark.slow
@pytest.mark.parametrize("way", ["gram", "cg"])
def test_devices(way):
    """41 points and 2 on one and three devices: the same losses and rates."""
    options = {"way": way, "damping": 1e-7, "tolerance": 1e-10}
    runs = [poisson(devices=devices, **options)[0].solve(10, progress=False).history for devices in (1, 3)]
    np.testing.assert_allclose(runs[1]["loss"], runs[0]["loss"], rtol=1e-4)
    np.testing.assert_array_equal(runs[1]["rate"], runs[0]["rate"])
    assert runs[0]["loss"][-1] < 1e-2 * runs[0]["loss"][0]
    assert ("iterations" in runs[0]) == (way == "cg")


@pytest.mark.slow
def test_below_adam():
    """Poisson's equation below 1e-5 in 100 steps; Adam stays above 1e-3."""
    x, _ = tx.domain.line(n=60).variable("interior")
    u = tx.nn.mlp(1, width=16, depth=2, key=0)(x) * x * (1 - x)
    exact = tx.np.sin(π * x) / π**2
    errors = []
    for optimizer in (spring(), optax.adam(1e-3)):
        solver = tx.core([(u.d2(x) + tx.np.sin(π * x)).mse], optimizer=optimizer, devices=1, dtype="float64")
        solver.solve(100, progress=False)
        result, expected = solver.eval([u, exact], points={"interior": np.linspace(0, 1, 101)})
        errors.append(np.linalg.norm(result - expected) / np.linalg.norm(expected))
    assert errors[0] < 1e-5 and errors[1] > 1e-3


def test_several_networks_and_numbers():
    """All trainables move, frozen ones do not; no step is longer than asked for."""
    x, t = tx.domain.line(n=50).over_time(0.0, 1.0).variable("interior")
    first, second = tx.nn.mlp(2, width=6, depth=1, key=0, name="u"), tx.nn.mlp(2, outputs=2, width=5, key=1, name="v")
    k, held = tx.nn.parameter(0.3, name="k"), tx.nn.parameter(2.0, name="held").freeze()
    u, v = first(x, t), second(x, t)
    terms = [(u.d(t) - k * u.d2(x) + v[0]).mse, (v - held * u).mse, (u - tx.np.exp(-t) * tx.np.sin(π * x)).mse]
    solver = tx.core(terms, optimizer=spring(norm=0.5), devices=2, dtype="float64").solve(40, progress=False)
    losses = solver.history["loss"]
    assert losses[-1] < 1e-2 * losses[0] and np.all(np.diff(losses) <= 0)
    assert solver.module(held) == 2.0 and solver.module(k) != 0.3
    assert np.max(solver.history["radius"]) <= 0.5 * (1 + 1e-12)


@pytest.mark.slow
def test_single_precision():
    """Damping is at least ten roundings of the trace; the loss falls as far as that lets it."""
    tx.setup(dtype="float32")
    try:
        solver = poisson(dtype="float32", damping=1e-12)[0].solve(40, progress=False)
    finally:
        tx.setup(dtype="float64")
    history = solver.history
    assert history["loss"][-1] < 1e-3 * history["loss"][0] and np.all(np.diff(history["loss"]) <= 0)


@pytest.mark.slow
def test_communication():
    """No callback in the program; a product with JᵀJ is an all-reduce, and nothing is gathered for it."""
    compiled = training_program(poisson(devices=3, way="cg")[0])
    assert "callback" not in compiled.as_text()
    assert set(collectives(compiled)) == {"all-reduce"}


def test_trouble():
    """After ten steps without a lower loss, or ten solves that ended early, it says so and what may help."""
    k = tx.nn.parameter(1.0, name="k")
    x, _ = tx.domain.line(n=17).variable("interior")
    optimizer = spring(way="cg", rank=1, iterations=1).build_for({"fit": (k * x - 1).mse}, [k.trainable])
    none = optimizer.init({k.trainable: k.trainable.initial})
    assert optimizer.trouble(none) is None
    stalled = optimizer.trouble(replace(none, stalled=jnp.asarray(10)))
    assert stalled is not None and "no rate of 16 lowered the loss in the last 10 epochs" in stalled
    unsolved = optimizer.trouble(replace(none, unsolved=jnp.asarray(10)))
    assert unsolved is not None and "more iterations than 1" in unsolved


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: engd(damping=0.0), ValueError, r"engd\(damping=0.0\): above 0"),
        (lambda: spring(way="qr"), ValueError, "one of gram, cg"),
        (lambda: spring(momentum=1.0), ValueError, "0 to below 1"),
        (lambda: spring(damping=0.0), ValueError, r"damping=0.0\): above 0"),
        (lambda: spring(rate=-1.0), ValueError, "above 0"),
        (lambda: spring(tried=0), ValueError, "at least 1"),
        (lambda: tx.nn.mlp(1).optimizer(spring()), TypeError, r"give it as tx.core\(..., optimizer=...\)"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_problems_that_are_refused():
    x, _ = tx.domain.line(n=9).variable("interior")
    net, other = tx.nn.mlp(1, width=4, depth=1, name="net"), tx.nn.mlp(1, width=4, depth=1, name="other")
    with pytest.raises(ValueError, match=r"spring: term 'absolute'.*no sum of squares"):
        tx.core({"absolute": net(x).mae}, optimizer=spring())
    both = net(x) + other.optimizer(optax.adam(1e-3))(x)
    with pytest.raises(ValueError, match="spring trains all networks and parameters at once"):
        tx.core([both.mse], optimizer=spring())


def test_default_way():
    """A matrix up to 4000 rows, of whichever is fewer; the same on any number of devices."""
    x, _ = tx.domain.line(n=5000).variable("interior")
    for width, way in ((8, "gram"), (100, "cg")):
        net = tx.nn.mlp(1, width=width, depth=2)
        optimizer = spring().build_for({"pde": net(x).mse}, [net.selection.trainable])
        assert optimizer.way == way and optimizer.rows == 5000
    assert jax.config.jax_enable_x64
