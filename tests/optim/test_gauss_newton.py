"""Gauss-Newton against closed forms, on several devices, and what it refuses."""

import importlib
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from marks import slow_but, with_slow
from programs import gathered_bytes, reduced_numbers, training_program

import tangrax as tx
from tangrax.optim import gauss_newton

module = importlib.import_module("tangrax.optim.second_order.gauss_newton")  # the function has the same name

π = np.pi
COLUMNS = 4 + 4 + 16 + 4 + 4 + 1  # of a network of width 4
WAYS = {
    "svd, few rows": {"way": "svd"},
    "svd, many rows": {"way": "svd", "points": 90, "width": 4},
    "subspace": {"sketch": 30, "way": "subspace"},
    "sketch": {"sketch": 25, "buckets": 120, "way": "sketch", "points": 90},
}


def poisson(points=40, width=8, devices=1, optimizer=None, **options):
    """Two terms and a group, so that weights matter; u = sin(πx)."""
    line = tx.domain.line(n=points)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=width, depth=2, key=1)
    u, at_ends = net(x), net(ends)
    pde = u.d2(x) + π**2 * tx.np.sin(π * x)
    terms = {"pde": pde.mse + 0.5 * pde[x < 0.4].mse, "ends": 10 * at_ends.mse}
    solver = tx.core(terms, optimizer=optimizer or gauss_newton(**options), devices=devices, dtype="float64")
    return solver, net, (u, tx.np.sin(π * x)), [(pde, x), (at_ends, ends)]


def weighted(solver, net, fields):
    """J and r whose squares add up to the loss."""
    (pde, x), (at_ends, _ends) = fields
    x = solver.eval(x)
    weights = np.sqrt(1 / len(x) + 0.5 * np.where(x < 0.4, 1 / np.sum(x < 0.4), 0))
    J = [weights[:, None] * solver.eval(pde.grad(net)), np.sqrt(5) * solver.eval(at_ends.grad(net))]
    return np.concatenate(J), np.concatenate([weights * solver.eval(pde), np.sqrt(5) * solver.eval(at_ends)])


@pytest.mark.parametrize("devices", [1, 3])
def test_linear_least_squares(devices):
    """Of residuals that are linear in the parameters, weighted and grouped, the solution of the normal equations."""
    x, _ = tx.domain.line(n=25).variable("interior")
    a, b, c = (tx.nn.parameter(0.1 * k, name=name) for k, name in enumerate("abc"))
    r = a + b * x + c * x**2 - tx.np.exp(x)
    terms = {"fit": 4 * r.mse + r[x < 0.3].mse}
    solver = tx.core(terms, optimizer=gauss_newton(), devices=devices, dtype="float64")
    solver.solve(4, progress=False)
    points = x.points.coordinates[:, 0]
    weights = np.sqrt(4 / len(points) + np.where(points < 0.3, 1 / np.sum(points < 0.3), 0))
    A = np.stack([np.ones_like(points), points, points**2], axis=1)
    expected = np.linalg.lstsq(A * weights[:, None], weights * np.exp(points), rcond=None)[0]
    actual = [float(solver.module(p)) for p in (a, b, c)]
    np.testing.assert_allclose(actual, expected, rtol=1e-10)


@pytest.mark.parametrize("way", with_slow(WAYS, "sketch", "svd, few rows"))
def test_first_step(way):
    """Radius and ratio of an SVD's step against NumPy's solve; whatever the way, the loss falls as the ratio says."""
    size = {key: value for key, value in WAYS[way].items() if key in ("points", "width")}
    options = {key: value for key, value in WAYS[way].items() if key not in size}
    solver, net, _, fields = poisson(**size, **options, corrections=0)
    J, r = weighted(solver, net, fields)
    solver.solve(2, progress=False)
    history = solver.history
    assert history["loss"][0] == pytest.approx(r @ r)
    taken = history["loss"][0] - history["loss"][1]
    assert taken > 0 and history["ratio"][0] >= 0.075
    if options["way"] == "svd":
        p = -np.linalg.solve(J.T @ J + history["damping"][0] * np.eye(J.shape[1]), J.T @ r)
        assert history["radius"][0] == pytest.approx(np.linalg.norm(p), rel=1e-5)
        assert history["ratio"][0] == pytest.approx(taken / (r @ r - np.sum((r + J @ p) ** 2)), rel=1e-5)


CORRECTED = [("svd", True, 1), ("subspace", True, 2), ("subspace", False, 3)]


@pytest.mark.parametrize("way, stored, devices", slow_but(CORRECTED, ("subspace", False, 3)))
def test_corrected_step(monkeypatch, way, stored, devices):
    """The step taken is the best of the chord iterations, done by NumPy with residuals in plain JAX."""
    monkeypatch.setattr(module, "FAST", -1.0)  # no step does without
    if not stored:
        monkeypatch.setattr(module, "STORED", 0)
    solver, net, _, [(_, x), (_, ends)] = poisson(points=90, width=4, devices=devices, way=way, corrections=3)
    inner, outer = x.points.coordinates[:, 0], ends.points.coordinates[:, 0]
    weights = np.sqrt(1 / 90 + 0.5 * np.where(inner < 0.4, 1 / np.sum(inner < 0.4), 0))
    unravel = ravel_pytree(solver.module(net))[1]

    @jax.jit
    def residuals(flat):
        u = lambda x: unravel(flat)(x[None])[0]
        pde = jax.vmap(jax.grad(jax.grad(u)))(inner) + π**2 * np.sin(π * inner)
        return jnp.concatenate([weights * pde, np.sqrt(5) * jax.vmap(u)(outer)])

    jacobian = jax.jit(jax.jacrev(residuals))
    rounds = []
    for epoch in range(8):
        start = np.asarray(ravel_pytree(solver.module(net))[0])
        solver.solve(1, progress=False)
        taken, damping = np.asarray(ravel_pytree(solver.module(net))[0]) - start, solver.history["damping"][epoch]
        _, values, right = np.linalg.svd(jacobian(start))
        p, tried = np.zeros(len(start)), []
        for _ in range(4):
            slopes = jacobian(start).T @ residuals(start + p) + damping * p
            p = p - right.T @ (right @ slopes / (values**2 + damping))
            tried.append(p)
        losses = [np.sum(np.square(residuals(start + p))) for p in tried]
        # Some of the dampings alone are corrected.
        rounds.append(min(0, np.argmin(losses), key=lambda k: np.linalg.norm(tried[k] - taken)))
        np.testing.assert_allclose(taken, tried[rounds[-1]], rtol=0, atol=1e-6 * np.linalg.norm(taken))
        assert solver.history["radius"][epoch] == pytest.approx(np.linalg.norm(taken), rel=1e-6)
    assert max(rounds) > 0


@pytest.mark.parametrize("way", slow_but(WAYS, "subspace"))
def test_devices(way):
    """Losses and dampings of the first 20 steps do not depend on the number of devices."""
    runs = [poisson(devices=devices, **WAYS[way])[0].solve(20, progress=False).history for devices in (1, 3)]
    start = runs[0]["loss"][0]
    np.testing.assert_allclose(runs[1]["loss"], runs[0]["loss"], rtol=0, atol=1e-8 * start)
    np.testing.assert_allclose(runs[1]["damping"], runs[0]["damping"], rtol=1e-3)
    assert runs[0]["loss"][-1] < 1e-2 * start


@pytest.mark.slow
def test_round_off():
    """Errors fall to round-off, training says that it has ended; handed over from Adam and on to another."""
    x, _ = tx.domain.line(n=60).variable("interior")
    u = tx.nn.mlp(1, width=16, depth=2, key=0)(x) * x * (1 - x)
    exact = tx.np.sin(π * x) / π**2
    solver = tx.core([(u.d2(x) + tx.np.sin(π * x)).mse], optimizer=optax.adam(1e-3), devices=1, dtype="float64")
    solver.solve(30, progress=False)
    assert solver.stalled is None
    solver.optimizer(gauss_newton()).solve(150, progress=False)
    new = np.linspace(0, 1, 101)
    actual, expected = solver.eval([u, exact], points={"interior": new})
    assert np.linalg.norm(actual - expected) < 1e-13 * np.linalg.norm(expected)
    assert solver.stalled is not None and "no step of 32 lowered the loss" in solver.stalled
    assert "round-off" in solver.stalled and "60 residuals are enough for 321 parameters" in solver.stalled
    assert list(solver.history.epochs("damping")) == list(range(30, 180))
    before = solver.history["loss"][-1]
    solver.optimizer(optax.sgd(1e-30)).solve(2, progress=False)
    assert solver.stalled is None and solver.history["loss"][-1] == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize(
    ("residual", "reason"),
    [
        (lambda x, k: k * x - tx.np.sin(9 * x), "it is at a minimum"),
        (lambda x, k: abs(k - 1 / 3) + x, "it bends within the shortest of them"),
    ],
)
@pytest.mark.parametrize("devices", [1, 3])
def test_reasons(residual, reason, devices):
    """Why no step lowers the loss: a least square that is not zero, a kink at the minimum."""
    x, _ = tx.domain.line(n=40).variable("interior")
    k = tx.nn.parameter(0.8, name="k")
    solver = tx.core([residual(x, k).mse], optimizer=gauss_newton(), devices=devices, dtype="float64")
    assert reason in (solver.solve(80, progress=False).stalled or ""), solver.stalled


def test_reason_of_buckets():
    """Where sums of residuals should fall by more than last digits move the loss, and it does not fall."""
    x, _ = tx.domain.line(n=40).variable("interior")
    k = tx.nn.parameter(0.8, name="k")
    optimizer = gauss_newton(way="sketch").build_for({"fit": (k * x - 1).mse}, [k.trainable])
    none = optimizer.init({k.trainable: k.trainable.initial})
    actual = optimizer.trouble(replace(none, stalled=jnp.asarray(10), rough=jnp.asarray(5e-4), left=jnp.asarray(0.1)))
    assert optimizer.trouble(none) is None and actual is not None and "round-off (5e-04 of it)" in actual


@pytest.mark.slow
def test_final_errors():
    """Where training ends does not depend on the number of devices, though its way there does."""
    x, _ = tx.domain.line(n=61).variable("interior")
    u = tx.nn.mlp(1, width=16, depth=2, key=0)(x) * x * (1 - x)
    exact = tx.np.sin(π * x) / π**2
    errors = []
    for devices in (1, 3):
        solver = tx.core([(u.d2(x) + tx.np.sin(π * x)).mse], optimizer=gauss_newton(), devices=devices, dtype="float64")
        solver.solve(100, progress=False)
        errors.append(float(solver.eval(tx.np.relative_l2(u.held_out(500), exact.held_out(500)))))
    assert max(errors) < 1e-13
    assert max(errors) <= 3 * min(errors), errors


@pytest.mark.slow
def test_several_networks_and_numbers():
    """All trainables move; frozen ones do not."""
    x, t = tx.domain.line(n=50).over_time(0.0, 1.0).variable("interior")
    first, second = tx.nn.mlp(2, width=6, depth=1, key=0, name="u"), tx.nn.mlp(2, outputs=2, width=5, key=1, name="v")
    k, held = tx.nn.parameter(0.3, name="k"), tx.nn.parameter(2.0, name="held").freeze()
    u, v = first(x, t), second(x, t)
    terms = [(u.d(t) - k * u.d2(x) + v[0]).mse, (v - held * u).mse, (u - tx.np.exp(-t) * tx.np.sin(π * x)).mse]
    solver = tx.core(terms, optimizer=gauss_newton(), devices=2, dtype="float64").solve(40, progress=False)
    losses = solver.history["loss"]
    assert losses[-1] < 1e-3 * losses[0] and np.all(np.diff(losses) <= 0)
    assert solver.module(held) == 2.0 and solver.module(k) != 0.3


@pytest.mark.parametrize(
    "way, size, gathered, sketched",
    [
        ("svd", COLUMNS, 3 * (COLUMNS + 1) ** 2, 0),
        ("subspace", 20, 3 * 21**2, 0),
        pytest.param("sketch", 20, 0, 70 * 21, marks=pytest.mark.slow),
    ],
)
def test_communication(way, size, gathered, sketched):
    """A step sends what its way says: no J in one piece, nothing that grows with the points."""
    solver, *_ = poisson(points=90, width=4, devices=3, way=way, sketch=20, buckets=70)
    program = training_program(solver)
    assert gathered_bytes(program) == 8 * gathered
    tried, corrected = 32, 8
    gradient = COLUMNS + 3 + 1  # with three means, and the number of points of the group
    chosen = 2 + tried * (2 + size)  # dampings, promises and steps of the first shard, and the extent of its J
    losses = 1 + tried + 1  # as it is, of all steps, and with last digits changed
    # Of residuals, with slopes in the space or in buckets, and the corrections of the first shard.
    correction = corrected * (1 + (70 if way == "sketch" else size)) + corrected * size
    expected = gradient + sketched + chosen + losses + correction
    assert abs(reduced_numbers(program) - expected) <= 2


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: gauss_newton(way="qr"), ValueError, "one of svd, subspace, sketch"),
        (lambda: gauss_newton(sketch=0), ValueError, r"sketch=0\): at least 1"),
        (lambda: gauss_newton(corrections=-1), ValueError, r"corrections=-1\): at least 0"),
        (lambda: gauss_newton(ratio=1.5), ValueError, "between 0 and 1"),
        (lambda: gauss_newton(decades=(1.0, 2.0)), ValueError, "from below zero"),
        (lambda: tx.nn.mlp(1).optimizer(gauss_newton()), TypeError, r"give it as tx.core\(..., optimizer=...\)"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_problems_that_are_refused():
    x, _ = tx.domain.line(n=9).variable("interior")
    net, other = tx.nn.mlp(1, width=4, depth=1, name="net"), tx.nn.mlp(1, width=4, depth=1, name="other")
    u = net(x)
    with pytest.raises(ValueError, match=r"term 'absolute'.*no sum of squares"):
        tx.core({"absolute": u.mae}, optimizer=gauss_newton())
    both = u + other.optimizer(optax.adam(1e-3))(x)
    with pytest.raises(ValueError, match="there are several optimizers"):
        tx.core([both.mse], optimizer=gauss_newton())
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1)
    tx.setup(dtype="float32")
    try:
        with pytest.raises(ValueError, match=r'put tx.setup\(dtype="float64"\) at the top'):
            tx.core([u.mse], optimizer=gauss_newton())
    finally:
        tx.setup(dtype="float64")
    absolute = tx.core([u.mae], optimizer=optax.adam(1e-3), devices=1)
    with pytest.raises(ValueError, match="no sum of squares"):
        absolute.optimizer(gauss_newton())
    absolute.solve(1, progress=False)
    assert solver.stalled is None
