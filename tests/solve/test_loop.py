"""The training loop: when trackers fire, what is recorded, optimizers, trouble."""

import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import with_slow
from rich.console import Console

import tangrax as tx
from tangrax.monitor import ProgressBar

DOMAIN = tx.domain.line(mesh_size=0.1)
X, _ = DOMAIN.variable("interior")
POINTS = np.linspace(0, 1, 11)[1:-1]


def line_net(a=0.5, b=0.0, name="line"):
    """a x + b, so that everything is known by hand."""
    return tx.nn.wrap(
        lambda p, xs: p["a"] * xs[0] + p["b"], {"a": np.asarray(a, float), "b": np.asarray(b, float)}, name=name
    )


def fit(net, **more):
    """Fit 2 x + 1: the loss is a quadratic form of (a - 2, b - 1)."""
    return tx.core({"fit": (net(X) - 2 * X - 1).mse, **more.pop("extra", {})}, dtype="float64", **more)


def by_hand(optimizer, steps, a=0.5, b=0.0):
    """The same with optax alone."""
    params = {"a": jnp.asarray(a, jnp.float64), "b": jnp.asarray(b, jnp.float64)}
    loss = lambda p: jnp.mean((p["a"] * POINTS + p["b"] - 2 * POINTS - 1) ** 2)
    state, losses = optimizer.init(params), []
    for _ in range(steps):
        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slope, state, params, value=value, grad=slope, value_fn=loss)
        params = optax.apply_updates(params, updates)
        losses.append(value)
    return params, np.array(losses)


def test_trackers_fire_exactly_when_due(devices):
    """At 0, k, 2k, … of one clock that runs on from solve to solve, before the update."""
    net = line_net()
    watched = {
        "every": net(X).mean.tracker(1),
        "third": net(X).mean.tracker(3),
        "rows": net(X).grad(net).mean.tracker(7),
        "rare": net(X).mean.tracker(5000),
    }
    solver = fit(net, extra=watched, optimizer=optax.sgd(0.1), devices=devices)
    for epochs in (1, 4, 0, 9, 21):
        solver.solve(epochs, progress=False)
    history = solver.history
    assert solver.epoch == 35
    np.testing.assert_array_equal(history.epochs("fit"), np.arange(35))
    np.testing.assert_array_equal(history.epochs("third"), np.arange(0, 35, 3))
    np.testing.assert_array_equal(history.epochs("rows"), np.arange(0, 35, 7))
    np.testing.assert_array_equal(history.epochs("rare"), [0])
    np.testing.assert_allclose(history["third"], history["every"][::3], rtol=1e-14)
    assert history["rows"].shape == (5, 2)
    np.testing.assert_allclose(history["every"][0], 0.5 * POINTS.mean(), rtol=1e-14)
    np.testing.assert_allclose(history["loss"], history["fit"])
    assert solver.timing.compilations == 1 and solver.timing.epochs == 35
    assert solver.timing.seconds_to_first_step > 0


def test_tracker_before_update():
    """The tracker of epoch e sees the parameters that the loss of epoch e was computed with."""
    net = line_net()
    loss = (net(X) - 2 * X - 1).mse
    solver = tx.core({"fit": loss, "again": loss.tracker(4)}, optimizer=optax.sgd(0.3), dtype="float64", devices=2)
    solver.solve(30, progress=False)
    np.testing.assert_allclose(solver.history["again"], solver.history["fit"][::4], rtol=1e-13)


OPTIMIZERS = {
    "adam with a schedule": lambda: optax.adam(optax.exponential_decay(0.1, 5, 0.5, staircase=True)),
    "lbfgs": optax.lbfgs,
    "backtracking": lambda: optax.chain(
        optax.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=15)
    ),
    "plateau": lambda: optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau(patience=2, accumulation_size=2)),
}


@pytest.mark.slow
def test_muon(devices):
    """Matrices by Muon and all else by Adam, as optax does it to the same network by hand."""
    net = tx.nn.mlp(1, width=6, depth=2, key=0)
    solver = tx.core(
        [(net(X) - tx.np.sin(3 * X)).mse], optimizer=optax.contrib.muon(0.05), dtype="float64", devices=devices
    )
    params, fixed = eqx.partition(solver.module(net), eqx.is_inexact_array)

    def loss(params):
        values = jax.vmap(eqx.combine(params, fixed))(jnp.asarray(POINTS)[:, None])
        return jnp.mean((values.reshape(-1) - jnp.sin(3 * jnp.asarray(POINTS))) ** 2)

    optimizer, losses = optax.contrib.muon(0.05), []
    state = optimizer.init(params)
    for _ in range(8):
        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(value)
    np.testing.assert_allclose(solver.solve(8, progress=False).history["loss"], losses, rtol=1e-7)


@pytest.mark.parametrize("name", with_slow(OPTIMIZERS, "lbfgs"))
def test_optimizers_against_optax(name, devices):
    """Schedules and states run on over stretches and solves; line searches get the loss and its function."""
    net = line_net()
    solver = fit(net, optimizer=OPTIMIZERS[name](), devices=devices)
    solver.solve(3, progress=False).solve(14, progress=False)
    params, losses = by_hand(optax.with_extra_args_support(OPTIMIZERS[name]()), 17)
    np.testing.assert_allclose(solver.history["fit"], losses, rtol=1e-9, atol=1e-20)
    np.testing.assert_allclose(solver.module(net)["a"], params["a"], rtol=1e-9)


def test_one_optimizer_object_steps_jointly():
    """Clipping by global norm tells joint from separate steps."""

    def clipped():
        return optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))

    a = tx.nn.parameter(3.0, name="a")
    b = tx.nn.parameter(4.0, name="b")
    together = clipped()
    joint = tx.core([(a.optimizer(together) ** 2 + b.optimizer(together) ** 2) / 2], dtype="float64", devices=1)
    joint.solve(1, progress=False)
    np.testing.assert_allclose([joint.module(a), joint.module(b)], [3 - 0.06, 4 - 0.08], rtol=1e-12)
    separate = tx.core([(a.optimizer(clipped()) ** 2 + b.optimizer(clipped()) ** 2) / 2], dtype="float64", devices=1)
    separate.solve(1, progress=False)
    np.testing.assert_allclose([separate.module(a), separate.module(b)], [2.9, 3.9], rtol=1e-12)


def test_who_trains_what():
    """A handle's own optimizer beats tx.core's; solver.optimizer beats both from then on; frozen stays."""
    a, b, c = (tx.nn.parameter(1.0, name=n) for n in "abc")
    loss = a.optimizer(optax.sgd(0.1)) + b + c.freeze()
    solver = tx.core([loss], optimizer=optax.sgd(0.01), dtype="float64", devices=1)
    read = lambda: [float(solver.module(p)) for p in (a, b, c)]
    solver.solve(1, progress=False)
    np.testing.assert_allclose(read(), [0.9, 0.99, 1.0])
    solver.optimizer(optax.sgd(1.0), b).solve(1, progress=False)
    np.testing.assert_allclose(read(), [0.8, -0.01, 1.0])
    solver.optimizer(optax.sgd(0.5)).solve(1, progress=False)
    np.testing.assert_allclose(read(), [0.3, -0.51, 1.0])
    assert solver.epoch == 3 and len(solver.history["loss"]) == 3
    with pytest.raises(ValueError, match="'c' is not trained"):
        solver.optimizer(optax.sgd(1.0), c)


def test_a_loss_that_diverges_is_caught(devices):
    """The run stops, names epoch, term and tag, and keeps the last finite parameters; it can go on."""
    net = line_net()
    terms = {"grow": tx.np.exp(net(X) * 10).mse, "seen": net(X).mean.tracker(1)}
    solver = tx.core(terms, optimizer=optax.sgd(-0.02), dtype="float64", devices=devices)
    with pytest.raises(tx.NonFiniteLoss, match=r"epoch \d+: the value of grow = .*tag 'interior'\) is inf") as caught:
        solver.solve(5000, progress=False)
    assert f"epoch {solver.epoch}, the last finite one" in str(caught.value)
    assert np.isfinite(solver.history["loss"]).all() and np.isfinite(solver.eval(terms["grow"]))
    assert len(solver.history["loss"]) == len(solver.history["seen"]) == solver.epoch
    at = solver.epoch
    solver.optimizer(optax.sgd(0.0)).solve(3, progress=False)
    assert solver.epoch == at + 3
    np.testing.assert_array_equal(solver.history.epochs("loss"), np.arange(at + 3))


def test_not_finite_at_the_start():
    net = line_net()
    solver = tx.core([tx.np.log(net(X) - 5).mse], optimizer=optax.adam(0.1), devices=2)
    with pytest.raises(tx.NonFiniteLoss, match=r"epoch 0: the value of mse_0 .* Nothing was changed"):
        solver.solve(10, progress=False)
    assert solver.epoch == 0 and len(solver.history) == 0
    assert float(solver.module(net)["a"]) == 0.5


def test_a_gradient_that_is_not_finite_is_named():
    """sqrt at 0: the loss is finite, its slope is not."""
    a = tx.nn.parameter(0.0, name="a")
    b = tx.nn.parameter(2.0, name="b")
    solver = tx.core({"fine": b**2, "edge": tx.np.sqrt(a) * X.mean}, optimizer=optax.adam(0.1), devices=1)
    with pytest.raises(tx.NonFiniteLoss, match=r"epoch 0: the gradient of edge = "):
        solver.solve(10, progress=False)


def test_diverging_again_at_once_keeps_parameters():
    """Found in the first epoch of a later call: the state before it is still known."""
    a = tx.nn.parameter(1.0, name="a")
    solver = tx.core([tx.np.log(a)], optimizer=optax.sgd(0.6), dtype="float64", devices=1)
    solver.solve(2, progress=False)  # 1 -> 0.4 -> -1.1
    assert float(solver.module(a)) < 0
    with pytest.raises(tx.NonFiniteLoss, match="epoch 2"):
        solver.solve(1, progress=False)
    assert float(solver.module(a)) == pytest.approx(0.4) and solver.epoch == 1


@pytest.mark.parametrize("terminal", [False, True])
def test_progress(terminal):
    """Plain lines where output is no terminal, a bar where it is; warnings of trackers either way."""
    net = line_net()
    solver = fit(net, optimizer=optax.sgd(0.1), extra={"low": net(X).mean.tracker(4, warn_below=10.0)}, devices=2)
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120)
    solver.solve(40, progress=False, listeners=[ProgressBar(console)])
    text = stream.getvalue()
    assert "2 cpu devices, 9 interior points" in text
    assert "loss" in text and "40" in text and "done in" in text
    assert "low = 0.25 is below 10" in text
    assert ("\x1b" in text) == terminal


def test_a_line_of_progress_names_terms_and_trackers_alone():
    """Weights of the terms are recorded too, and belong to the history and the sinks."""
    stream, net = io.StringIO(), line_net()
    terms = {"half": (net(X) - X).mse, "rest": net(X).mse, "low": net(X).mean.tracker(4)}
    solver = tx.core(terms, optimizer=optax.sgd(0.1), balance=tx.optim.grad_norm(every=2), devices=1)
    solver.solve(10, progress=False, listeners=[ProgressBar(Console(file=stream, width=200))])
    assert "weight/half" in solver.history
    line = next(line for line in stream.getvalue().splitlines() if line.startswith("epoch "))
    assert line.split()[2:9:2] == ["loss", "half", "rest", "low"] and "weight" not in line


def test_a_tracker_is_not_named_as_what_is_recorded_beside_it():
    net = line_net()
    more = {"balance": tx.optim.grad_norm(every=2), "devices": 1}
    solver = tx.core({"a": net(X).mse, "weight/a": net(X).mean.tracker(2)}, optimizer=optax.sgd(0.1), **more)
    with pytest.raises(ValueError, match=r"two of the name 'weight/a'.*Nothing was trained"):
        solver.solve(1, progress=False)
    with pytest.raises(ValueError, match="'epoch' is what sinks call the epoch"):
        tx.core({"epoch": net(X).mse}, optimizer=optax.sgd(0.1))


def test_the_loop_tells_listeners_and_survives_their_failure():
    class Broken:
        def on_start(self, run): ...
        def on_end(self): ...
        def on_stretch(self, stretch):
            raise KeyboardInterrupt

    solver = fit(line_net(), optimizer=optax.sgd(0.1), devices=1)
    with pytest.raises(KeyboardInterrupt):
        solver.solve(100, progress=False, listeners=[Broken()])
    reached = solver.epoch
    assert reached == len(solver.history["loss"]) > 0
    solver.solve(5, progress=False)
    assert len(solver.history["loss"]) == reached + 5
