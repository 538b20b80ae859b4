"""Weights of points and of times against NumPy recursions, with residuals measured apart."""

import jax
import numpy as np
import optax
import pytest
from marks import with_slow
from programs import collectives, training_program

import tangrax as tx
from tangrax.optim import causal, gauss_newton, residual_attention, self_adaptive

π = np.pi


def problem(devices=1, balance=None, optimizer=None):
    line = tx.domain.line(n=37)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=6, depth=2, key=1)
    u, at_ends = net(x), net(ends)
    pde = u.d2(x) + π**2 * tx.np.sin(π * x)
    terms = {"pde": 3 * pde.mse, "left": pde[x < 0.3].mse, "ends": at_ends.mse}
    optimizer = optax.sgd(1e-3) if optimizer is None else optimizer
    solver = tx.core(terms, optimizer=optimizer, balance=balance, devices=devices, dtype="float64")
    return solver, net, pde, x, terms


@pytest.mark.parametrize("devices", with_slow([1, 3], 1))
def test_self_adaptive(devices):
    """Adam upwards on 1/2 (λ r)² at each point, λ = 1 at first; the loss is the mean of (λ r)²."""
    solver, _, pde, x, _ = problem(devices, self_adaptive("pde", "left", rate=0.1))
    inside = solver.eval(x) < 0.3
    λ, m, v = (np.ones((2, 37)), np.zeros((2, 37)), np.zeros((2, 37)))
    for epoch in range(1, 5):
        r = solver.eval(pde)
        means = [np.mean(λ[0] ** 2), np.mean(λ[1, inside] ** 2)]
        slope = λ * r**2 * np.stack([np.ones(37), inside])
        m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2
        λ = λ + 0.1 * (m / (1 - 0.9**epoch)) / (np.sqrt(v / (1 - 0.999**epoch)) + 1e-8)
        solver.solve(1, progress=False)
        history = solver.history
        np.testing.assert_allclose([history[f"point_weight/{n}"][-1] for n in ("pde", "left")], means, rtol=1e-7)
        expected = 3 * np.mean((λ[0] * r) ** 2) + np.mean((λ[1] * r)[inside] ** 2) + history["ends"][-1]
        assert history["loss"][-1] == pytest.approx(expected, rel=1e-7)
        assert history["pde"][-1] == pytest.approx(3 * np.mean(r**2))


@pytest.mark.parametrize("devices", [1, 3])
def test_attention(devices):
    """λ ← 0.9 λ + 0.5 |r| / max |r| every second epoch, from 0."""
    solver, _, pde, _, _ = problem(devices, residual_attention("pde", rate=0.5, decay=0.9, every=2))
    λ = np.zeros(37)
    for _ in range(3):
        r = solver.eval(pde)
        λ = 0.9 * λ + 0.5 * np.abs(r) / np.abs(r).max()
        solver.solve(2, progress=False)
        history = solver.history
        expected = 3 * np.mean((λ * r) ** 2) + history["left"][-2] + history["ends"][-2]
        assert history["loss"][-2] == pytest.approx(expected, rel=1e-7)


def test_the_step_is_of_the_weighted_loss():
    """Parameters go down 3 mean (λ r)² and the other terms, with λ held."""
    solver, net, pde, _, terms = problem(balance=residual_attention("pde", rate=0.5))
    r, rows, *others = solver.eval([pde, pde.grad(net), terms["left"].grad(net), terms["ends"].grad(net)])
    λ = 0.5 * np.abs(r) / np.abs(r).max()
    slope = 6 * np.mean((λ**2 * r)[:, None] * rows, axis=0) + sum(others)
    before = flat(solver, net)
    solver.solve(1, progress=False)
    np.testing.assert_allclose(before - flat(solver, net), 1e-3 * slope, rtol=1e-7, atol=1e-14)


@pytest.mark.slow
def test_gauss_newton():
    """It takes weights of points as parts of the residuals."""
    solver, *_ = problem(balance=residual_attention("pde", rate=0.5, every=100), optimizer=gauss_newton())
    solver.solve(40, progress=False)
    loss = solver.history["loss"]
    assert np.all(np.diff(loss) <= 0) and loss[-1] < 1e-2 * loss[0]


def waves(devices=1, optimizer=None, **options):
    x, t = tx.domain.line(n=41).over_time(0.0, 1.0).variable("interior")
    net = tx.nn.mlp(2, width=6, depth=2, key=1)
    r = net(x, t).d(t) - tx.np.cos(4 * t) + net(x, t).d2(x)
    balance = causal(t, bins=4, **options)
    optimizer = optax.sgd(1e-2) if optimizer is None else optimizer
    solver = tx.core({"pde": 2 * r.mse}, optimizer=optimizer, balance=balance, devices=devices, dtype="float64")
    return solver, net, r, t


def in_bins(r, t):
    edges = np.linspace(t.min(), t.max(), 5)[1:-1]
    where = np.searchsorted(edges, t, side="right")
    return np.array([2 * np.mean(r[where == j] ** 2) for j in range(4)])


@pytest.mark.parametrize("devices", with_slow([1, 3], 1))
def test_causal(devices):
    """wⱼ = exp(-ε Σ_{k<j} Lₖ), the step along Σ wⱼ ∇Lⱼ / M with the weights held."""
    solver, net, r, t = waves(devices, tolerances=(0.7,), every=1)
    values, times = solver.eval([r, t])
    losses = in_bins(values, times)
    weights = np.exp(-0.7 * np.concatenate([[0], np.cumsum(losses)[:-1]]))
    edges = np.linspace(times.min(), times.max(), 5)[1:-1]
    where = np.searchsorted(edges, times, side="right")
    rows = solver.eval(r.grad(net))
    slope = sum(w * 4 * values[where == j] @ rows[where == j] / np.sum(where == j) for j, w in enumerate(weights)) / 4
    start = flat(solver, net)
    solver.solve(1, progress=False)
    assert solver.history["loss"][0] == pytest.approx(np.mean(weights * losses))
    assert solver.history["causal_weight/pde"][0] == pytest.approx(weights[-1])
    np.testing.assert_allclose(start - flat(solver, net), 1e-2 * slope, rtol=1e-7, atol=1e-12)


def test_tolerances():
    """ε goes on where the last weight is above `ready`, and stays at the last of them."""
    solver, *_ = waves(tolerances=(0.0, 1e-9, 50.0, 60.0), every=2)
    solver.solve(10, progress=False)
    np.testing.assert_array_equal(solver.history["causal_weight/tolerance"], [1e-9, 50, 50, 50, 50])
    weights = solver.history["causal_weight/pde"]
    assert weights[0] == pytest.approx(1) and weights[1] < 0.5


def flat(solver, net):
    leaves = [np.asarray(leaf).ravel() for leaf in jax.tree.leaves(solver.module(net)) if hasattr(leaf, "dtype")]
    return np.concatenate(leaves)


@pytest.mark.parametrize("how", with_slow(["residual_attention", "self_adaptive", "causal"], "self_adaptive", "causal"))
def test_devices(how):
    losses = []
    for devices in (1, 2, 3):
        if how == "causal":
            solver, *_ = waves(devices, every=3)
        else:
            solver, *_ = problem(devices, getattr(tx.optim, how)())
        solver.solve(8, progress=False)
        losses.append(solver.history["loss"])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-9)


def test_a_bad_loss_takes_the_weights_back():
    """Where the loss is not finite, the weights are those of the epoch before, and training can go on."""
    solver, _, pde, _x, _ = problem(balance=residual_attention("pde"), optimizer=optax.sgd(1e200))
    with pytest.raises(tx.NonFiniteLoss):
        solver.solve(5, progress=False)
    assert np.isfinite(solver.eval(pde)).all() and all(np.isfinite(v).all() for v in solver.history.values())


def test_communication():
    """Pointwise weights send nothing but what their summary takes: one sum and one maximum a look."""
    solver, *_ = problem(3, residual_attention("pde"))
    assert collectives(training_program(solver)) == {"all-reduce": 2, "all-gather": 1}


def test_refusals():
    with pytest.raises(ValueError, match=r"self_adaptive\('pdf'\): the terms are pde, left, ends"):
        problem(balance=self_adaptive("pdf"))
    with pytest.raises(ValueError, match="two objects weight single points"):
        problem(balance=[self_adaptive("pde"), residual_attention("ends")])
    with pytest.raises(ValueError, match=r"points of 'interior' move, and each has a weight"):
        _, _, pde, _, terms = problem()
        moves = tx.optim.uniform(pde, every=5)
        tx.core(terms, optimizer=optax.sgd(1.0), balance=self_adaptive("pde"), resample=moves)
    with pytest.raises(ValueError, match=r"residual_attention: rate=0"):
        residual_attention(rate=0)
    _x, t = tx.domain.line(n=5).over_time(0.0, 1.0).variable("interior")
    with pytest.raises(TypeError, match=r"give the coordinate of time"):
        causal(2 * t)
    with pytest.raises(ValueError, match=r"bins=1"):
        causal(t, bins=1)
    with pytest.raises(ValueError, match=r"causal\(t\): no term is on the points of 'interior'"):
        problem(balance=causal(t))
