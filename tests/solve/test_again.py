"""Cells of a notebook run twice in one process: what they ran to the first time is the oracle."""

import importlib
import os
import signal
import sys

import jax
import numpy as np
import optax
import pytest

import tangrax as tx

settings_module = sys.modules["tangrax.parallel.setup"]
CELL = """
tx.setup(dtype="float64")
x, _ = tx.domain.line(n=10, seed=1).variable("interior")
net = tx.nn.mlp(1, width=4, depth=1, key=1, name="u")
u = net(x)
solver = tx.core({"fit": (u - x).mse, "seen": u.mean.tracker(5)}, optimizer=optax.adam(1e-2), devices=1)
"""


@pytest.fixture(autouse=True)
def settings_as_before(monkeypatch):
    """`tx.setup` holds for the process: what these tests set up goes with them."""
    monkeypatch.setattr(settings_module, "current", settings_module.current)
    yield
    jax.config.update("jax_enable_x64", True)


def cell(names=None, more=""):
    names = {"tx": tx, "optax": optax} if names is None else names
    exec(CELL + more, names)
    return names


def test_cells_run_again_begin_anew_and_go_on_in_their_run_dir(tmp_path, capsys):
    """In the same names: domains, networks and solvers take the place of the old ones, which still work."""
    train = f"solver.solve(20, progress=False, run_dir={str(tmp_path)!r}, checkpoint_every=10)"
    names = cell(more=train)
    old, field = names["solver"], names["u"]
    cell(names, train)
    new = names["solver"]
    assert new is not old and new.epoch == 20 and new.timing.epochs == 0
    assert "epoch 20 is reached" in capsys.readouterr().err
    np.testing.assert_array_equal(new.history["loss"], old.history["loss"])
    np.testing.assert_array_equal(old.eval(field), new.eval(names["u"]))
    assert old.solve(5, progress=False, run_dir=tmp_path).epoch == 25  # the directory is free again
    with pytest.raises(ValueError, match="would end at 24"):
        cell(names, train.replace("20,", "24,"))


def test_fields_of_the_cell_before_do_not_mix_with_new_ones():
    names = cell()
    old = names["u"]
    cell(names)
    with pytest.raises(ValueError, match="of another domain"):
        old - names["u"]


def test_a_changed_cell_is_refused_in_the_old_run_dir(tmp_path):
    train = f"solver.solve(4, progress=False, run_dir={str(tmp_path)!r})"
    names = cell(more=train)
    with pytest.raises(ValueError, match="of another problem"):
        exec(CELL.replace("n=10", "n=12") + train, names)


class Interrupt:
    """Ctrl-C at an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_start(self, run): ...

    def on_stretch(self, stretch):
        if stretch.epoch >= self.epoch:
            os.kill(os.getpid(), signal.SIGINT)

    def on_end(self): ...


def test_solve_goes_on_after_ctrl_c():
    """As an unbroken run, with the number of epochs that is left."""
    whole = cell()["solver"].solve(60, progress=False)
    solver = cell()["solver"]
    with pytest.raises(KeyboardInterrupt):
        solver.solve(60, progress=False, listeners=[Interrupt(1)])
    assert 0 < solver.epoch < 60
    solver.solve(60 - solver.epoch, progress=False)
    np.testing.assert_array_equal(solver.history["loss"], whole.history["loss"])


def test_solve_goes_on_after_a_listener_has_raised(tmp_path):
    """At the end of a stretch; with a run_dir, which is free again, and without."""
    whole = cell()["solver"].solve(60, progress=False)

    class Broken(Interrupt):
        def on_stretch(self, stretch):
            raise ZeroDivisionError

    for more in ({}, {"run_dir": tmp_path}):
        solver = cell()["solver"]
        with pytest.raises(ZeroDivisionError):
            solver.solve(60, progress=False, listeners=[Broken(1)], **more)
        assert 0 < solver.epoch < 60
        solver.solve(60 - solver.epoch, progress=False, **more)
        np.testing.assert_array_equal(solver.history["loss"], whole.history["loss"])


def test_a_module_that_is_loaded_anew_goes_on_with_its_run(tmp_path, monkeypatch):
    """As by `%autoreload`: the classes are other objects, the network is the same."""
    (tmp_path / "networks_of_a_user.py").write_text(
        "import equinox as eqx, jax, jax.numpy as jnp\n"
        "class Net(eqx.Module):\n"
        "    w: jax.Array\n"
        "    def __call__(self, v): return jnp.tanh(self.w * v[0]).sum()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("networks_of_a_user")

    def solver():
        x, _ = tx.domain.line(n=10, seed=1).variable("interior")
        net = tx.nn.wrap(module.Net(np.ones(3)))
        return tx.core({"fit": (net(x) - x).mse}, optimizer=optax.adam(1e-2), devices=1, dtype="float64")

    whole = solver().solve(12, progress=False)
    old = solver().solve(6, progress=False, run_dir=tmp_path / "run")
    before = module.Net
    importlib.reload(module)
    assert module.Net is not before
    again = solver().solve(12, progress=False, run_dir=tmp_path / "run")
    assert again.timing.epochs == 6
    np.testing.assert_array_equal(again.history["loss"], whole.history["loss"])
    assert old.solve(1, progress=False).epoch == 7  # of the class that was
    del sys.modules["networks_of_a_user"]


def test_a_precision_that_was_switched_off_since_is_refused():
    """A solver in float64, then `tx.setup(dtype="float32")`; switched on again, it trains as if nothing had been."""
    names = cell()
    solver = names["solver"].solve(3, progress=False)
    tx.setup(dtype="float32")
    for call in (lambda: solver.solve(3, progress=False), lambda: solver.eval(names["u"])):
        with pytest.raises(RuntimeError, match="computes in float64, and 64-bit numbers were switched off since"):
            call()
    assert solver.epoch == 3
    tx.setup(dtype="float64")
    whole = cell()["solver"].solve(6, progress=False)
    np.testing.assert_array_equal(solver.solve(3, progress=False).history["loss"], whole.history["loss"])


def test_a_solver_in_float32_works_on_in_double_precision():
    """To rounding: Python's numbers are of 64 bits then, before they become those of the solver."""
    tx.setup(dtype="float32")
    x, _ = tx.domain.line(n=10, seed=1).variable("interior")
    make = lambda: tx.core({"fit": (tx.nn.mlp(1, width=4, depth=1, key=1)(x) - x).mse}, optimizer=optax.adam(1e-2))
    whole, solver = make().solve(6, progress=False), make().solve(3, progress=False)
    tx.setup(dtype="float64")
    assert solver.precision.startswith("float32")
    actual = solver.solve(3, progress=False).history["loss"]
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, whole.history["loss"], rtol=1e-5)
