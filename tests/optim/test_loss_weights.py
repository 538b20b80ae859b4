"""Weights of terms against NumPy recursions from what is measured apart; the same on several devices."""

import numpy as np
import optax
import pytest
from marks import slow_but
from scipy.special import softmax

import tangrax as tx
from tangrax.optim import gauss_newton, grad_norm, ntk_balance, relobralo

π = np.pi


def problem(devices=1, optimizer=None, balance=None, weights=(1, 1), **options):
    line = tx.domain.line(n=31)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=6, depth=2, key=1)
    u, at_ends = net(x), net(ends)
    pde = u.d2(x) + π**2 * tx.np.sin(π * x)
    terms = {"pde": pde.mse + 0.5 * pde[x < 0.4].mse, "ends": 10 * at_ends.mse}
    trained = {name: weight * term for weight, (name, term) in zip(weights, terms.items(), strict=True)}
    optimizer = optax.adam(1e-2) if optimizer is None else optimizer
    solver = tx.core(trained, optimizer=optimizer, balance=balance, devices=devices, dtype="float64", **options)
    return solver, net, terms, [(pde, x), (at_ends, ends)]


def lengths(solver, net, terms, fields):
    return np.array([np.linalg.norm(g) for g in solver.eval([term.grad(net) for term in terms.values()])])


def traces(solver, net, terms, fields):
    """Means of squared rows of J, with the factors of the terms."""
    (pde, x), (at_ends, _) = fields
    rows, at, edge = solver.eval([pde.grad(net), x, at_ends.grad(net)])
    squares = np.sum(rows**2, axis=1)
    return np.array([np.mean(squares) + 0.5 * np.mean(squares[at < 0.4]), 10 * np.mean(np.sum(edge**2, axis=1))])


@pytest.mark.parametrize("devices", slow_but([1, 3], 3))
@pytest.mark.parametrize(("rule", "numbers"), [(grad_norm, lengths), (ntk_balance, traces)])
def test_shares(rule, numbers, devices):
    """Σⱼ nⱼ/nᵢ at first, then a running mean; weights stay between two looks; the loss is what they make of it."""
    solver, *rest = problem(devices, balance=rule(every=3, smoothing=0.75))
    expected = None
    for _ in range(3):
        n = numbers(solver, *rest)
        share = n.sum() / n
        expected = share if expected is None else 0.75 * expected + 0.25 * share
        solver.solve(3, progress=False)
        actual = np.array([solver.history[f"weight/{name}"][-1] for name in ("pde", "ends")])
        np.testing.assert_allclose(actual, expected, rtol=1e-8)
        each = np.stack([solver.history[name][-3:] for name in ("pde", "ends")])
        np.testing.assert_allclose(solver.history["loss"][-3:], expected @ each, rtol=1e-8)
    np.testing.assert_array_equal(solver.history.epochs("weight/pde"), [0, 3, 6])


@pytest.mark.parametrize("lookback", [0.0, 1.0])
def test_relative_progress(lookback):
    """Bischof and Kraus (2021), with the draws that leave nothing to chance; the first weights are 1."""
    solver, *_ = problem(balance=relobralo(smoothing=0.8, temperature=0.5, lookback=lookback))
    solver.solve(6, progress=False)
    losses = np.stack([solver.history[name] for name in ("pde", "ends")], axis=1)
    weights = [np.ones(2)]
    for now in range(1, 6):
        against = [2 * softmax(losses[now] / (0.5 * losses[then])) for then in (0, now - 1)]
        weights.append(0.8 * (weights[-1] if lookback else against[0]) + 0.2 * against[1])
    actual = np.stack([solver.history[f"weight/{name}"] for name in ("pde", "ends")], axis=1)
    np.testing.assert_allclose(actual, weights, rtol=1e-8)


def test_draws():
    """The weights are sometimes those against the start, as often as asked."""
    solver, *_ = problem(balance=relobralo(smoothing=1.0, lookback=0.7))
    solver.solve(400, progress=False)
    unchanged = np.diff(solver.history["weight/pde"]) == 0
    assert 0.6 < unchanged.mean() < 0.8


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(grad_norm(every=5), id="grad_norm", marks=pytest.mark.slow),
        pytest.param(ntk_balance(every=5), id="ntk_balance"),
        pytest.param(relobralo(), id="relobralo", marks=pytest.mark.slow),
    ],
)
def test_devices(rule):
    runs = []
    for devices in (1, 3):
        solver, *_ = problem(devices, balance=rule)
        solver.solve(12, progress=False)
        runs.append([solver.history[name] for name in ("loss", "weight/pde", "weight/ends")])
    np.testing.assert_allclose(np.concatenate(runs[1]), np.concatenate(runs[0]), rtol=1e-8)


@pytest.mark.slow
def test_gauss_newton():
    """A weighted step is that of terms multiplied by the same numbers."""
    balanced, _net, _, _ = problem(balance=grad_norm(every=50), optimizer=gauss_newton(way="svd"))
    balanced.solve(3, progress=False)
    weights = [balanced.history[f"weight/{name}"][0] for name in ("pde", "ends")]
    by_hand, *_ = problem(weights=weights, optimizer=gauss_newton(way="svd"))
    by_hand.solve(3, progress=False)
    np.testing.assert_allclose(balanced.history["loss"], by_hand.history["loss"], rtol=1e-6)
    np.testing.assert_allclose(balanced.history["damping"], by_hand.history["damping"], rtol=1e-6)


@pytest.mark.slow
def test_a_line_search_sees_the_weighted_loss():
    """L-BFGS on balanced terms is L-BFGS on terms multiplied by the same numbers."""
    balanced, *_ = problem(balance=grad_norm(every=50), optimizer=optax.lbfgs())
    balanced.solve(6, progress=False)
    weights = [balanced.history[f"weight/{name}"][0] for name in ("pde", "ends")]
    by_hand, *_ = problem(weights=weights, optimizer=optax.lbfgs())
    by_hand.solve(6, progress=False)
    np.testing.assert_allclose(balanced.history["loss"], by_hand.history["loss"], rtol=1e-6)


def test_a_term_that_is_met():
    """A gradient of zeros gives the largest weight, no infinite one."""
    x, _ = tx.domain.line(n=5).variable("interior")
    u = tx.nn.mlp(1, width=4, key=0)(x)
    solver = tx.core({"met": (0 * u).mse, "other": u.mse}, optimizer=optax.sgd(1e-3), balance=grad_norm())
    solver.solve(1, progress=False)
    assert solver.history["weight/met"] == 1e6 and solver.history["weight/other"] == 1


def test_refusals():
    with pytest.raises(TypeError, match=r"balance='ntk'.*ntk_balance"):
        problem(balance="ntk")
    with pytest.raises(TypeError, match=r"balance="):
        problem(balance=tx.optim.pcgrad())
    with pytest.raises(ValueError, match="two of the balancing objects record 'weight/pde'"):
        problem(balance=[grad_norm(), relobralo()])
    with pytest.raises(ValueError, match=r"grad_norm: smoothing=1.5"):
        grad_norm(smoothing=1.5)
    with pytest.raises(ValueError, match=r"relobralo: temperature=0"):
        relobralo(temperature=0)
    x, _ = tx.domain.line(n=5).variable("interior")
    u = tx.nn.mlp(1, width=4, key=0)(x)
    with pytest.raises(ValueError, match=r"ntk_balance: term 'a' = .* no sum of squares"):
        tx.core({"a": u.mae, "b": u.mse}, optimizer=optax.adam(1e-3), balance=ntk_balance())
