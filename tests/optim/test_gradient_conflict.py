"""Conflict-free directions against NumPy and closed forms; in training, on several devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import slow_but
from programs import collectives, training_program

import tangrax as tx
from tangrax.optim import config, pcgrad

random = np.random.default_rng(0)
CLASH = np.array([[1.0, 0.2, 0.0], [-2.0, 0.5, 1.0], [0.3, -1.5, 0.4], [0.1, 0.1, -1.0]])


def direction(how, gradients, epoch=0, dtype=jnp.float64):
    return np.asarray(how.direction([jnp.asarray(g, dtype) for g in gradients], epoch), dtype=np.float64)


def surgery(gradients, orders):
    """Yu et al. (2020), algorithm 1, in the space of the parameters."""
    total = np.zeros_like(gradients[0])
    for i, order in enumerate(orders):
        mine = gradients[i].copy()
        for j in order:
            along = mine @ gradients[j]
            if j != i and along < 0:
                mine -= along / (gradients[j] @ gradients[j]) * gradients[j]
        total += mine
    return total


def test_surgery_of_two():
    """Of two gradients there is but one order: each loses its part along the other."""
    a, b = CLASH[:2]
    expected = a - (a @ b) / (b @ b) * b + b - (a @ b) / (a @ a) * a
    np.testing.assert_allclose(direction(pcgrad(), [a, b]), expected, rtol=1e-12)


def test_surgery_of_many():
    """The orders that were drawn, not always the same ones; without conflict, the sum."""
    actual = [direction(pcgrad(seed=3), CLASH, epoch) for epoch in range(4)]
    key = jax.random.key(3)
    for epoch, mine in enumerate(actual):
        keys = [jax.random.fold_in(jax.random.fold_in(key, epoch), i) for i in range(len(CLASH))]
        orders = [np.asarray(jax.random.permutation(k, len(CLASH))) for k in keys]
        np.testing.assert_allclose(mine, surgery(CLASH, orders), rtol=1e-12)
    assert len({tuple(np.round(mine, 9)) for mine in actual}) > 1
    agree = np.abs(CLASH)
    np.testing.assert_allclose(direction(pcgrad(), agree), agree.sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_one_cosine_to_all(count):
    """The direction of ConFIG against NumPy's pseudo-inverse; all cosines are one, and its length is as said."""
    gradients = random.normal(size=(count, 40)) * 10.0 ** random.uniform(-3, 3, size=(count, 1))
    units = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    u = np.linalg.pinv(units) @ np.ones(count)
    u /= np.linalg.norm(u)
    actual = direction(config(), gradients)
    np.testing.assert_allclose(actual, np.sum(gradients @ u) * u, rtol=1e-9)
    cosines = units @ actual / np.linalg.norm(actual)
    np.testing.assert_allclose(cosines, cosines[0], rtol=1e-9)
    assert cosines[0] > 0


def test_nearly_opposite():
    """In float32, of two gradients 1e-3 from opposite: the bisector, which both gain from alike."""
    a, b = np.array([1.0, 1e-3, 0.0]), np.array([-5.0, 5e-3, 0.0])
    actual = direction(config(), [a, b], dtype=jnp.float32)
    np.testing.assert_allclose(actual / np.linalg.norm(actual), [0, 1, 0], atol=1e-3)


@pytest.mark.parametrize("how", [pcgrad(), config()], ids=["pcgrad", "config"])
def test_a_gradient_of_zeros(how):
    """It neither counts nor makes a NaN; tiny float32 gradients do not underflow."""
    a, b = 1e-30 * CLASH[0], np.zeros(3)
    np.testing.assert_allclose(direction(how, [a, b], dtype=jnp.float32), a, rtol=1e-5)
    np.testing.assert_array_equal(direction(how, [b, b]), b)


def problem(devices=1, **options):
    """Two terms that conflict, one of them in a group; 1 learning rate, so that updates are directions."""
    line = tx.domain.line(n=31)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=6, depth=1, key=1)
    u = net(x)
    terms = {"low": (u - 1).mse, "high": (u + 2)[x > 0.5].mse, "ends": net(ends).mse}
    solver = tx.core(terms, devices=devices, dtype="float64", **{"optimizer": optax.sgd(1.0), **options})
    return solver, net, terms


def flat(solver, net):
    leaves = jax.tree.leaves(jax.tree.map(np.asarray, solver.module(net)), is_leaf=lambda x: isinstance(x, np.ndarray))
    return np.concatenate([leaf.ravel() for leaf in leaves if isinstance(leaf, np.ndarray)])


@pytest.mark.parametrize("devices", slow_but([1, 2, 3], 3))
@pytest.mark.parametrize("how", [pcgrad(every=1), config(every=1)], ids=["pcgrad", "config"])
def test_a_step(how, devices):
    """The parameters move by the direction of the terms' gradients, whatever the number of devices."""
    solver, net, terms = problem(devices, conflict=how)
    gradients = solver.eval([term.grad(net) for term in terms.values()])
    before = flat(solver, net)
    solver.solve(1, progress=False)
    np.testing.assert_allclose(before - flat(solver, net), direction(how, gradients), rtol=1e-9, atol=1e-12)
    units = [g / np.linalg.norm(g) for g in gradients]
    least = min(units[i] @ units[j] for i, j in [(0, 1), (0, 2), (1, 2)])
    assert solver.history["conflict/cosine"][0] == pytest.approx(least)


def test_on_while_they_conflict():
    """With `below`, plain steps while no cosine is below it, others while one is; it says when that changes."""
    actual = {}
    for name, how in {"plain": None, "off": config(below=-1.0), "on": config(below=1.0), "always": config()}.items():
        solver, net, _ = problem(optimizer=optax.sgd(0.05), conflict=how)
        solver.solve(6, progress=False)
        actual[name] = flat(solver, net)
    np.testing.assert_allclose(actual["off"], actual["plain"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(actual["on"], actual["always"], rtol=1e-12, atol=1e-15)
    assert np.abs(actual["on"] - actual["off"]).max() > 1e-3
    warnings = []

    class Listener:
        def on_start(self, run): ...

        def on_stretch(self, stretch):
            warnings.extend(stretch.warnings)

        def on_end(self): ...

    solver, _, _ = problem(optimizer=optax.sgd(0.05), conflict=config(below=-0.2, every=5))
    solver.solve(60, progress=False, listeners=[Listener()])
    on = solver.history["conflict/on"]
    changes = np.flatnonzero(np.diff(np.concatenate([[False], on])))
    np.testing.assert_array_equal(on, solver.history["conflict/cosine"] < -0.2)
    assert len(changes) and len(warnings) == len(changes)
    assert warnings[0].startswith(f"epoch {5 * changes[0]}: ") and warnings[0].endswith("on")


def test_one_all_reduce():
    """All gradients in one; the look at the cosines is another, and so is each side of a switch."""
    solver, _, _ = problem(devices=3, conflict=config())
    assert collectives(training_program(solver)) == {"all-reduce": 2}
    solver, _, _ = problem(devices=3, conflict=config(below=0.0))
    assert collectives(training_program(solver)) == {"all-reduce": 3}


def test_refusals():
    with pytest.raises(ValueError, match=r"conflict= needs two terms .* the loss has mse_0 alone"):
        x, _ = tx.domain.line(n=5).variable("interior")
        tx.core([(tx.nn.mlp(1, width=4, key=0)(x) - x).mse], optimizer=optax.sgd(1.0), conflict=config())
    with pytest.raises(ValueError, match="searches along it"):
        problem(conflict=config(), optimizer=optax.lbfgs())
    with pytest.raises(ValueError, match="leave one of the two out"):
        problem(conflict=config(), optimizer=tx.optim.gauss_newton())
    with pytest.raises(TypeError, match=r"conflict='pcgrad'"):
        problem(conflict="pcgrad")
    with pytest.raises(ValueError, match=r"pcgrad: every=0"):
        pcgrad(every=0)
    with pytest.raises(ValueError, match=r"config: below=3"):
        config(below=3)
