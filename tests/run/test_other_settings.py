"""Runs that go on with another optimizer: optax by hand is the oracle of those that may, the others are refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx

X, _ = tx.domain.line(mesh_size=0.1).variable("interior")
POINTS = np.linspace(0, 1, 11)[1:-1]
BEFORE, AFTER = 6, 9


def make(optimizer, trackers=(), own=None):
    """a x + b fitted to 2 x + 1, as plain optax fits it below."""
    line = tx.nn.wrap(lambda p, z: p["a"] * z[0] + p["b"], {"a": jnp.full((), 0.5), "b": jnp.zeros(())}, name="line")
    line = line if own is None else line.optimizer(own)
    terms = {"fit": (line(X) - 2 * X - 1).mse, **{name: line(X).mean.tracker(each) for name, each in trackers}}
    return tx.core(terms, optimizer=optimizer, devices=1, dtype="float64")


def loss(params):
    return jnp.mean((params["a"] * POINTS + params["b"] - 2 * POINTS - 1) ** 2)


def by_hand(before, after, carried):
    """Losses of both parts; `carried` makes the second optimizer's state of what the first left."""
    params = {"a": jnp.asarray(0.5), "b": jnp.asarray(0.0)}
    state, losses = before.init(params), []
    for epoch in range(BEFORE + AFTER):
        optimizer = before if epoch < BEFORE else after
        state = carried(state, after.init(params)) if epoch == BEFORE else state
        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(value)
    return np.array(losses)


def injected(state, fresh):
    return state._replace(hyperparams=fresh.hyperparams)


SCHEDULE = optax.exponential_decay(0.1, 4, 0.5)
CHANGES = {
    "a rate": (optax.adam(0.1), optax.adam(0.02), lambda state, _: state, "step_size is -0.02 from epoch 6 on"),
    "momentum": (
        optax.sgd(0.1, momentum=0.9),
        optax.sgd(0.1, momentum=0.3),
        lambda state, _: state,
        "decay is 0.3 from epoch 6 on, and was 0.9",
    ),
    "a schedule": (
        optax.adam(0.1),
        optax.adam(SCHEDULE),
        lambda state, _: (state[0], optax.ScaleByScheduleState(jnp.asarray(BEFORE, jnp.int32))),
        "step_size is .*exponential_decay.* from epoch 6 on, and was -0.1",
    ),
    "no schedule any more": (
        optax.adam(SCHEDULE),
        optax.adam(0.05),
        lambda state, _: (state[0], optax.EmptyState()),
        "step_size is -0.05 from epoch 6 on, and was .*exponential_decay",
    ),
    "an injected rate of zero": (
        optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
        optax.inject_hyperparams(optax.sgd)(learning_rate=0.0),
        injected,
        "learning_rate is 0 from epoch 6 on, and was 0.1",
    ),
    "injected moments": (
        optax.chain(optax.clip(10.0), optax.inject_hyperparams(optax.adam)(0.1, b1=0.9)),
        optax.chain(optax.clip(10.0), optax.inject_hyperparams(optax.adam)(0.1, b1=0.5)),
        lambda state, fresh: (state[0], injected(state[1], fresh[1])),
        "b1 is 0.5 from epoch 6 on, and was 0.9",
    ),
    "nothing": (optax.adam(0.1), optax.adam(0.1), lambda state, _: state, None),
}


@pytest.mark.parametrize("name", CHANGES)
def test_new_settings_win_and_moments_are_kept(name, tmp_path, capsys):
    before, after, carried, words = CHANGES[name]
    make(before).solve(BEFORE, progress=False, run_dir=tmp_path)
    capsys.readouterr()
    second = make(after).solve(BEFORE + AFTER, progress=False, run_dir=tmp_path)
    said = [line for line in capsys.readouterr().err.splitlines() if "optimizer of 'line': " in line]
    np.testing.assert_allclose(second.history["fit"], by_hand(before, after, carried), rtol=1e-12)
    assert second.timing.epochs == AFTER and len(said) == (words is not None)
    assert words is None or re.search(words, said[0])


@pytest.mark.parametrize(
    "after, words",
    [
        (optax.adamw(0.1), r"chain\(scale_by_adam.*, scale\) there, chain\(.*add_decayed_weights, scale\) here"),
        (optax.nadam(0.1), "nesterov=False.* there, .*nesterov=True.* here"),
        (optax.amsgrad(0.1), "scale_by_adam.* there, .*scale_by_amsgrad.* here"),
        (optax.sgd(0.1), r"there, chain\(identity, scale\) here"),
    ],
    ids=["adamw", "nadam", "amsgrad", "sgd"],
)
def test_another_kind_is_refused(after, words, tmp_path):
    make(optax.adam(0.1)).solve(BEFORE, progress=False, run_dir=tmp_path)
    solver = make(after)
    with pytest.raises(ValueError, match=f"was trained by other optimizers: of 'line', .*{words}"):
        solver.solve(BEFORE + AFTER, progress=False, run_dir=tmp_path)
    assert solver.epoch == 0
    # The way out that is named.
    make(optax.adam(0.1)).solve(BEFORE, progress=False, run_dir=tmp_path).save(tmp_path / "here.npz")
    solver.load(tmp_path / "here.npz").solve(1, progress=False, run_dir=tmp_path / "other")


def test_optimizers_of_networks_are_compared_one_by_one(tmp_path, capsys):
    make(None, own=optax.adam(0.1)).solve(BEFORE, progress=False, run_dir=tmp_path)
    with pytest.raises(ValueError, match=r"of 'line', .* there, .*add_decayed_weights"):
        make(None, own=optax.adamw(0.1)).solve(9, progress=False, run_dir=tmp_path)
    make(optax.sgd(1.0), own=optax.adam(0.2)).solve(9, progress=False, run_dir=tmp_path)
    assert "optimizer of 'line': step_size is -0.2 from epoch 6 on, and was -0.1" in capsys.readouterr().err


def test_trackers_come_and_go(tmp_path, capsys):
    """The run itself is the unbroken one; the history of a new tracker begins where it does."""
    whole = make(optax.adam(0.1)).solve(12, progress=False)
    make(optax.adam(0.1), [("seen", 2)]).solve(6, progress=False, run_dir=tmp_path)
    second = make(optax.adam(0.1), [("new", 1)]).solve(12, progress=False, run_dir=tmp_path)
    np.testing.assert_array_equal(second.history["fit"], whole.history["fit"])
    np.testing.assert_array_equal(second.history.epochs("seen"), [0, 2, 4])
    np.testing.assert_array_equal(second.history.epochs("new"), np.arange(6, 12))
    assert "tracker 'new' is new: its history begins at epoch 6" in capsys.readouterr().err
