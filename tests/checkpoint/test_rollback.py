"""Training that goes back where the loss is not finite: what follows is training with smaller steps from there."""

from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
from test_resume import assert_same

import tangrax as tx

X, _ = tx.domain.line(n=20, seed=2).variable("interior")


def make(rate, devices=1, quartic=True, **more):
    """u = sin πx by steepest descent; a rate above some threshold blows up within a few epochs."""
    net = tx.nn.mlp(1, width=6, depth=1, key=1)
    off = net(X) - tx.np.sin(tx.np.pi * X)
    terms = {"fit": (off**2).mean + (off**4).mean if quartic else off.mse}
    return tx.core(terms, optimizer=optax.sgd(rate), devices=devices, dtype="float64", **more)


def test_goes_back_with_half_the_step(devices, capsys):
    """At rate 8 it diverges; what comes of it is what a rate of 8 · 2⁻ᵏ gives, from the start."""
    solver = make(8.0, devices).solve(30, on_nonfinite="rollback")
    assert solver.epoch == 30 and solver.history.epochs("rollback/step_scale").tolist() == [0]
    step_scale = solver.history["rollback/step_scale"][0]
    halvings = round(-np.log2(step_scale))
    assert 1 <= halvings <= 8
    output = " ".join(capsys.readouterr().out.split())
    assert (
        output.count("is not finite: back to epoch 0") == halvings
        and f"with {step_scale:g} of the optimizer's steps" in output
    )
    slower = make(8.0 * step_scale, devices).solve(30, progress=False)
    np.testing.assert_allclose(solver.history["loss"], slower.history["loss"], rtol=1e-12)
    with pytest.raises(tx.NonFiniteLoss):
        make(16.0 * step_scale, devices).solve(30, progress=False)


def test_goes_back_to_the_last_multiple(devices, tmp_path):
    """The rate is small until epoch 20, then too large: back to epoch 20, on disk and in the history too."""
    rate = optax.piecewise_constant_schedule(0.01, {22: 400.0})
    solver = make(rate, devices).solve(
        40, progress=False, run_dir=tmp_path, checkpoint_every=10, on_nonfinite="rollback"
    )
    assert solver.history.epochs("rollback/step_scale").tolist() == [20] and solver.timing.compilations == 1
    assert solver.history.epochs("loss").tolist() == list(range(40))
    before = make(0.01, devices).solve(20, progress=False)
    np.testing.assert_allclose(solver.history["loss"][:20], before.history["loss"], rtol=1e-12)
    step_scale = solver.history["rollback/step_scale"][0]
    scheduled = optax.piecewise_constant_schedule(0.01, {20: step_scale, 22: 400.0})
    slower = make(scheduled, devices).solve(40, progress=False)
    np.testing.assert_allclose(solver.history["loss"], slower.history["loss"], rtol=1e-12)
    # What is on disk is the same, the shorter steps among it.
    again = make(rate, devices).solve(50, progress=False, run_dir=tmp_path, checkpoint_every=10)
    longer = make(scheduled, devices).solve(50, progress=False)
    np.testing.assert_allclose(again.history["loss"], longer.history["loss"], rtol=1e-12)


def test_points_that_moved_go_back_too(devices):
    """Without a step that is too large, going back changes nothing: the points of both runs are the same."""
    rule = lambda: tx.optim.rar_d(X - 0.3, every=10, add=3, pool=40, most=40)
    rate = optax.piecewise_constant_schedule(0.01, {22: 1000.0})
    solver = make(rate, devices, resample=rule()).solve(
        30, progress=False, on_nonfinite="rollback", checkpoint_every=10
    )
    step_scale = solver.history["rollback/step_scale"][0]
    scheduled = optax.piecewise_constant_schedule(0.01, {20: step_scale, 22: 1000.0})
    slower = make(scheduled, devices, resample=rule()).solve(30, progress=False)
    np.testing.assert_array_equal(solver.points("interior"), slower.points("interior"))
    np.testing.assert_array_equal(solver.history["resample/interior"], slower.history["resample/interior"])
    np.testing.assert_allclose(solver.history["loss"], slower.history["loss"], rtol=1e-12)


def test_gives_up_after_eight_tries(devices, tmp_path):
    solver = make(1e6, devices)
    with pytest.raises(tx.NonFiniteLoss, match="the value of fit"):
        solver.solve(30, progress=False, run_dir=tmp_path, on_nonfinite="rollback")
    assert solver.history["rollback/step_scale"].tolist() == [2.0**-8]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(list(solver.training.parameters.values())))


def test_a_start_that_is_not_finite_is_not_tried_again(devices):
    net = tx.nn.mlp(1, width=3, depth=1, key=1)
    solver = tx.core({"bad": tx.np.log(net(X) - 1e6).mse}, optimizer=optax.sgd(0.1), devices=devices)
    with pytest.raises(tx.NonFiniteLoss, match="epoch 0"):
        solver.solve(10, progress=False, on_nonfinite="rollback")
    assert "rollback/step_scale" not in solver.history


def test_finite_training_is_the_same_to_the_last_bit(devices):
    plain = make(0.01, devices).solve(25, progress=False)
    assert_same(make(0.01, devices).solve(25, progress=False, on_nonfinite="rollback"), plain)
    assert np.asarray(plain.training.state.step_scale) == 1


def test_second_order_steps_are_shortened_too():
    """A pace of ½ goes half of the way of each Gauss-Newton step."""
    solver = make(0.0, quartic=False).optimizer(tx.optim.gauss_newton())
    half = make(0.0, quartic=False).optimizer(tx.optim.gauss_newton())
    for each in (solver, half):
        each.solve(2, progress=False)
    half.training.state = replace(half.training.state, step_scale=half.training.state.step_scale * 0.5)
    old = jax.tree.leaves(half.training.state.parameters)
    full = jax.tree.leaves(solver.solve(1, progress=False).training.state.parameters)
    part = jax.tree.leaves(half.solve(1, progress=False).training.state.parameters)
    for a, b, c in zip(old, full, part, strict=True):
        np.testing.assert_allclose(np.asarray(c), (np.asarray(a) + np.asarray(b)) / 2, rtol=1e-12, atol=1e-14)


def test_refused():
    with pytest.raises(ValueError, match="on_nonfinite='back'"):
        make(0.1).solve(3, on_nonfinite="back")
