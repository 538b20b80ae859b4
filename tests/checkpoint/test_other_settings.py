"""Runs that go on with another optimizer: optax by hand is the oracle of those that may, the others are refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import slow_but

import tangrax as tx
from tangrax.analysis.record import read_record

LINE = tx.domain.line(mesh_size=0.1)
X, _ = LINE.variable("interior")
ENDS, _ = LINE.variable("boundary")
POINTS = np.linspace(0, 1, 11)[1:-1]
BEFORE, AFTER = 6, 9


def make(optimizer, trackers=(), own=None, watched=lambda line: {}, devices=1):
    """a x + b fitted to 2 x + 1, as plain optax fits it below."""
    line = tx.nn.wrap(lambda p, z: p["a"] * z[0] + p["b"], {"a": jnp.full((), 0.5), "b": jnp.zeros(())}, name="line")
    line = line if own is None else line.optimizer(own)
    terms = {"fit": (line(X) - 2 * X - 1).mse, **{name: line(X).mean.tracker(each) for name, each in trackers}}
    return tx.core({**terms, **watched(line)}, optimizer=optimizer, devices=devices, dtype="float64")


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


def relabelled(state, fresh):
    """`injected` within optax.partition, whose one label has a masked state."""
    mine, new = (each.inner_states["all"] for each in (state, fresh))
    return state._replace(inner_states={"all": mine._replace(inner_state=injected(mine.inner_state, new.inner_state))})


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
    "an injected rate within steps of two": (
        optax.MultiSteps(optax.inject_hyperparams(optax.sgd)(0.1), 2),
        optax.MultiSteps(optax.inject_hyperparams(optax.sgd)(0.01), 2),
        lambda state, fresh: state._replace(inner_opt_state=injected(state.inner_opt_state, fresh.inner_opt_state)),
        "learning_rate is 0.01 from epoch 6 on, and was 0.1",
    ),
    "an injected rate by label": (
        optax.partition({"all": optax.inject_hyperparams(optax.sgd)(0.1)}, "all"),
        optax.partition({"all": optax.inject_hyperparams(optax.sgd)(0.01)}, "all"),
        lambda state, fresh: relabelled(state, fresh),
        "learning_rate is 0.01 from epoch 6 on, and was 0.1",
    ),
    "the second of two of one name": (
        optax.chain(optax.inject_hyperparams(optax.scale)(2.0), optax.inject_hyperparams(optax.scale)(-0.1)),
        optax.chain(optax.inject_hyperparams(optax.scale)(2.0), optax.inject_hyperparams(optax.scale)(-0.01)),
        lambda state, fresh: (state[0], injected(state[1], fresh[1])),
        r"step_size \(2\) is -0.01 from epoch 6 on, and was -0.1",
    ),
    "an injected schedule": (
        optax.inject_hyperparams(optax.sgd)(0.1),
        optax.inject_hyperparams(optax.sgd)(SCHEDULE),
        lambda state, fresh: fresh._replace(
            count=state.count,
            hyperparams_states={"learning_rate": fresh.hyperparams_states["learning_rate"]._replace(count=state.count)},
        ),
        "learning_rate is .*exponential_decay.* from epoch 6 on, and was 0.1",
    ),
    "a schedule of steps of two": (
        optax.MultiSteps(optax.sgd(0.1), 2),
        optax.MultiSteps(optax.sgd(SCHEDULE), 2),
        lambda state, _: state._replace(
            inner_opt_state=(optax.EmptyState(), optax.ScaleByScheduleState(jnp.asarray(BEFORE // 2, jnp.int32)))
        ),
        "step_size is .*exponential_decay.* from epoch 6 on, and was -0.1",
    ),
    "numbers in a schedule of one's own": (
        optax.sgd(lambda count: 0.1 * 0.9**count),
        optax.sgd(lambda count: 0.1 * 0.5**count),
        lambda state, _: state,
        "step_size is .*0.1, 0.5.* from epoch 6 on, and was .*0.1, 0.9",
    ),
    "a number that such a schedule names": (
        optax.sgd(eval("lambda count: RATE * 0.9**count", {"RATE": 0.1})),
        optax.sgd(eval("lambda count: RATE * 0.9**count", {"RATE": 0.01})),
        lambda state, _: state,
        "step_size is .* from epoch 6 on, and was",
    ),
    "nothing": (optax.adam(0.1), optax.adam(0.1), lambda state, _: state, None),
    "nothing in a compiled schedule, written on another line": (
        optax.sgd(jax.jit(lambda count: 0.1 * 0.9**count)),
        optax.sgd(jax.jit(lambda count: 0.1 * 0.9**count)),
        lambda state, _: state,
        None,
    ),
    "nothing in a schedule of one's own": (
        optax.sgd(lambda count: 0.1 * 0.9**count),
        optax.sgd(lambda count: 0.1 * 0.9**count),
        lambda state, _: state,
        None,
    ),
}


FEW = ("a rate", "a schedule", "an injected rate by label", "injected moments", "a schedule of steps of two", "nothing")


@pytest.mark.parametrize("name", slow_but(CHANGES, *FEW))
def test_new_settings_win_and_moments_are_kept(name, tmp_path, capsys):
    before, after, carried, words = CHANGES[name]
    make(before).solve(BEFORE, progress=False, run_dir=tmp_path)
    capsys.readouterr()
    second = make(after).solve(BEFORE + AFTER, progress=False, run_dir=tmp_path)
    lines = [line for line in capsys.readouterr().err.splitlines() if "optimizer of 'line': " in line]
    np.testing.assert_allclose(second.history["fit"], by_hand(before, after, carried), rtol=1e-12)
    assert second.timing.epochs == AFTER and len(lines) == (words is not None)
    assert words is None or re.search(words, lines[0])


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


def test_another_kind_in_a_function_of_ones_own_is_refused(tmp_path):
    """What optax.inject_hyperparams is given may be a function: what it names tells the kind."""
    make(optax.inject_hyperparams(lambda rate: optax.adam(rate))(0.1)).solve(2, progress=False, run_dir=tmp_path)
    with pytest.raises(ValueError, match=r"<lambda>\[optax adam\].* there, .*<lambda>\[optax nadam\].* here"):
        make(optax.inject_hyperparams(lambda rate: optax.nadam(rate))(0.1)).solve(4, progress=False, run_dir=tmp_path)


def test_optimizers_of_networks_are_compared_one_by_one(tmp_path, capsys):
    make(None, own=optax.adam(0.1)).solve(BEFORE, progress=False, run_dir=tmp_path)
    with pytest.raises(ValueError, match=r"of 'line', .* there, .*add_decayed_weights"):
        make(None, own=optax.adamw(0.1)).solve(9, progress=False, run_dir=tmp_path)
    make(optax.sgd(1.0), own=optax.adam(0.2)).solve(9, progress=False, run_dir=tmp_path)
    assert "optimizer of 'line': step_size is -0.2 from epoch 6 on, and was -0.1" in capsys.readouterr().err


def test_optimizers_of_one_kind_may_be_given_anywhere(tmp_path, capsys):
    """To the problem, then to its only network."""
    make(optax.adam(0.1)).solve(BEFORE, progress=False, run_dir=tmp_path)
    second = make(None, own=optax.adam(0.1)).solve(9, progress=False, run_dir=tmp_path)
    whole = make(optax.adam(0.1)).solve(9, progress=False)
    np.testing.assert_array_equal(second.history["fit"], whole.history["fit"])
    assert "optimizer of" not in capsys.readouterr().err


def test_nothing_is_said_of_a_start_that_is_refused(tmp_path, capsys):
    make(optax.lbfgs(memory_size=10)).solve(2, progress=False, run_dir=tmp_path)
    with pytest.raises(ValueError, match="does not fit"):
        make(optax.lbfgs(memory_size=5)).solve(4, progress=False, run_dir=tmp_path)
    assert "memory_size" not in capsys.readouterr().err


def test_settings_of_resampling_are_compared(tmp_path):
    def moving(pool):
        net = tx.nn.mlp(1, width=4, depth=1, key=0)(X)
        rule = tx.optim.rad(net - X, every=2, pool=pool)
        return tx.core([(net - X).mse], optimizer=optax.sgd(0.1), resample=rule, devices=1)

    moving(50).solve(1, progress=False, run_dir=tmp_path)
    with pytest.raises(ValueError, match=r"pool=50.* there, .*pool=80.* here"):
        moving(80).solve(3, progress=False, run_dir=tmp_path)


def test_trackers_come_and_go(tmp_path, capsys):
    """The run itself is the unbroken one; the history of a new tracker begins where it does."""
    whole = make(optax.adam(0.1)).solve(12, progress=False)
    make(optax.adam(0.1), [("seen", 2)]).solve(6, progress=False, run_dir=tmp_path)
    second = make(optax.adam(0.1), [("new", 1)]).solve(12, progress=False, run_dir=tmp_path)
    np.testing.assert_array_equal(second.history["fit"], whole.history["fit"])
    np.testing.assert_array_equal(second.history.epochs("seen"), [0, 2, 4])
    np.testing.assert_array_equal(second.history.epochs("new"), np.arange(6, 12))
    assert "tracker 'new' is new: its history begins at epoch 6" in capsys.readouterr().err


def reference(a):
    """A network that no term holds, of the name of the one that is trained."""
    return tx.nn.wrap(lambda p, z: p["a"] * z[0], {"a": jnp.full((), a)}, name="line").freeze()


def seen(of):
    return lambda line: {"seen": of(line).tracker(1)}


RECORDED = {
    "another network": (None, lambda line: (line(X) - reference(3.0)(X)).mean),
    "its numbers": (
        lambda line: (line(X) - reference(1.0)(X)).mean,
        lambda line: (line(X) - reference(3.0)(X)).mean,
    ),
    "another expression": (lambda line: line(X).mean, lambda line: (line(X) * line(X)).mean),
    "another shape": (lambda line: line(X).mean, lambda line: line(X).grad(line).mean),
    "another tag": (lambda line: line(X).grad(line).mean, lambda line: line(ENDS).mean),
}


@pytest.mark.parametrize("name", slow_but(RECORDED, "another tag"))
def test_what_a_tracker_records_may_change(name, tmp_path, capsys, devices):
    """An unbroken run of the second is the oracle: the history begins where the tracker came, in the directory too."""
    before, after = RECORDED[name]
    whole = make(optax.adam(0.1), watched=seen(after), devices=devices).solve(6, progress=False)
    first = make(optax.adam(0.1), watched=lambda line: {} if before is None else seen(before)(line), devices=devices)
    first.solve(3, progress=False, run_dir=tmp_path)
    for end in (5, 6):
        again = make(optax.adam(0.1), watched=seen(after), devices=devices)
        again.solve(end, progress=False, run_dir=tmp_path)
        for history in (again.history, read_record(tmp_path).history):
            np.testing.assert_array_equal(history.epochs("seen"), np.arange(3, end))
            np.testing.assert_allclose(history["seen"], whole.history["seen"][3:end], rtol=1e-12)
            np.testing.assert_allclose(history["fit"], whole.history["fit"][:end], rtol=1e-12)
    lines = [line for line in capsys.readouterr().err.splitlines() if "tracker 'seen'" in line]
    assert len(lines) == 1 and lines[0].endswith(f"begins {'' if before is None else 'anew '}at epoch 3")
