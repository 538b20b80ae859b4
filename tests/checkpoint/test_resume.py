"""Runs that are stopped and go on: the unbroken run is the oracle, to the last bit on the same devices."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from launching import PATIENCE, TRANSPORTS, environment
from marks import slow_but
from run_problem import X, make

import tangrax as tx


def numbers(solver):
    """All that training has changed and recorded."""
    leaves = jax.tree.leaves([list(solver.training.parameters.values()), solver.training.state])
    recorded = {name: (solver.history.epochs(name), solver.history[name]) for name in solver.history}
    points = {name: saved[2] for name, saved in solver.training.resampler.saved().items()}
    plain = lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    return [np.asarray(plain(leaf)) for leaf in leaves], recorded, points


def assert_same(one, other, rtol=0.0):
    for mine, its in zip(numbers(one)[0], numbers(other)[0], strict=True):
        np.testing.assert_allclose(mine, its, rtol=rtol, atol=rtol)
    (_, recorded, points), (_, expected, places) = numbers(one), numbers(other)
    assert recorded.keys() == expected.keys() and points.keys() == places.keys()
    for name, (epochs, values) in expected.items():
        np.testing.assert_array_equal(recorded[name][0], epochs)
        np.testing.assert_allclose(recorded[name][1], values, rtol=rtol, atol=rtol)
    for name, coordinates in places.items():
        np.testing.assert_allclose(points[name], coordinates, rtol=rtol, atol=rtol)


class Stop:
    """Stops training as a signal would, at an epoch."""

    def __init__(self, epoch, number=signal.SIGTERM):
        self.epoch, self.number = epoch, number

    def on_start(self, run): ...

    def on_stretch(self, stretch):
        if stretch.epoch >= self.epoch:
            os.kill(os.getpid(), self.number)
            time.sleep(0.01)

    def on_end(self): ...


def stopped(solver, epochs, at, run_dir, number=signal.SIGTERM, error=SystemExit, **more):
    with pytest.raises(error):
        solver.solve(epochs, progress=False, listeners=[Stop(at, number)], run_dir=run_dir, **more)
    assert solver.epoch < epochs
    return solver


HOW = ["watched", "moving", "growing", "pointwise", "batches", "conflict", "gauss_newton", "spring", "lbfgs"]
HOW += ["engd", "self_scaled_broyden", "soap", "conditions first"]


@pytest.mark.parametrize("how", slow_but(HOW, "moving", "gauss_newton"))
def test_goes_on_bit_by_bit(how, tmp_path, capsys):
    """Stopped by SIGTERM on two devices, and again; the same numbers as a run that was not."""
    whole = make(how, devices=2).solve(33, progress=False)
    first = stopped(make(how, devices=2), 33, 10, tmp_path, checkpoint_every=8)
    errors = capsys.readouterr().err
    assert f"after epoch {first.epoch}, written to {tmp_path}: the same command goes on from there" in errors
    second = make(how, devices=2).solve(33, progress=False, run_dir=tmp_path, checkpoint_every=8)
    assert_same(second, whole)
    # Points that become more are another program.
    assert how == "growing" or second.timing.compilations == whole.timing.compilations == 1
    third = make(how, devices=2).solve(33, progress=False, run_dir=tmp_path)
    assert_same(third, whole)
    assert third.timing.epochs == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moving", "pointwise", "batches"])
def test_elastic(how, tmp_path):
    """8, 3, 1 and 4 devices in one training: within 1e-9 of the unbroken one."""
    whole = make(how, devices=1).solve(32, progress=False)
    for at, devices in ((8, 8), (16, 3), (24, 1)):
        stopped(make(how, devices=devices), 32, at, tmp_path, checkpoint_every=8)
    last = make(how, devices=4).solve(32, progress=False, run_dir=tmp_path)
    assert last.timing.epochs < 16
    mine, its = [np.concatenate([np.ravel(p) for p in jax.tree.leaves(s.training.parameters)]) for s in (last, whole)]
    np.testing.assert_allclose(mine, its, atol=1e-9)
    np.testing.assert_allclose(last.history["loss"], whole.history["loss"], rtol=1e-9)


@pytest.mark.processes
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_from_two_processes_to_one(transport, tmp_path):
    """Two processes stop at epoch 16 of 32, all by the signal that one of them got; one goes on."""
    whole = make("moving", devices=1).solve(32, progress=False)
    directory = Path(__file__).parent
    mpi = ["--mpi"] if transport == "mpi" else []
    command = [
        sys.executable,
        "-m",
        "tangrax",
        "launch",
        *mpi,
        "-n",
        "2",
        str(directory / "stopped.py"),
        str(tmp_path),
        "16",
    ]
    env = environment(JAX_PLATFORMS="cpu", OMP_NUM_THREADS="1", PYTHONPATH=str(directory.parent))
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env)
    assert run.returncode == 143, run.stdout + run.stderr
    assert "after epoch 16, written to" in run.stdout + run.stderr
    last = make("moving", devices=1).solve(32, progress=False, run_dir=tmp_path)
    assert last.timing.epochs == 16
    mine, its = [np.concatenate([np.ravel(p) for p in jax.tree.leaves(s.training.parameters)]) for s in (last, whole)]
    np.testing.assert_allclose(mine, its, atol=1e-9)


@pytest.mark.slow
def test_a_state_in_other_precisions(tmp_path):
    """Adam's first moment in bfloat16, which NumPy does not know."""
    adam = lambda: optax.adam(3e-3, mu_dtype="bfloat16")
    whole = make(optimizer=adam()).solve(20, progress=False)
    stopped(make(optimizer=adam()), 20, 5, tmp_path)
    assert_same(make(optimizer=adam()).solve(20, progress=False, run_dir=tmp_path), whole)


@pytest.mark.slow
def test_a_state_with_random_keys(tmp_path):
    noisy = lambda: optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(4)), optax.sgd(1e-3))
    whole = make(optimizer=noisy()).solve(20, progress=False)
    stopped(make(optimizer=noisy()), 20, 5, tmp_path)
    assert_same(make(optimizer=noisy()).solve(20, progress=False, run_dir=tmp_path), whole)


def two_stages(run_dir, stop_first=None, stop_second=None):
    """Adam, then L-BFGS, as a script has them; stopped in one of the two."""
    solver = make()
    first = [] if stop_first is None else [Stop(stop_first)]
    second = [] if stop_second is None else [Stop(stop_second)]
    solver.solve(20, progress=False, run_dir=run_dir, checkpoint_every=5, listeners=first)
    solver.optimizer(optax.lbfgs())
    return solver.solve(15, progress=False, run_dir=run_dir, checkpoint_every=5, keep=1, listeners=second)


@pytest.mark.slow
def test_a_script_of_two_stages(tmp_path):
    """The same script, run until it is through: each stage goes on where it was."""
    whole = two_stages(None)
    for stops in ((5, None), (None, 21), (None, 30)):
        with pytest.raises(SystemExit):
            two_stages(tmp_path, *stops)
    assert_same(two_stages(tmp_path), whole)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert "end-000000020.npz" in names and "end-000000035.npz" in names and len(names) <= 3
    assert_same(two_stages(tmp_path), whole)


def test_more_epochs_go_on(tmp_path):
    make().solve(12, progress=False, run_dir=tmp_path)
    more = make().solve(30, progress=False, run_dir=tmp_path)
    assert more.timing.epochs == 18
    assert_same(more, make().solve(30, progress=False))


def test_only_the_newest_are_kept(tmp_path):
    make().solve(50, progress=False, run_dir=tmp_path, checkpoint_every=10, keep=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["end-000000050.npz", "epoch-000000030.npz", "epoch-000000040.npz"]


@pytest.mark.parametrize(
    "number, error, code",
    [
        pytest.param(signal.SIGUSR1, SystemExit, 138, marks=pytest.mark.slow),
        (signal.SIGINT, KeyboardInterrupt, 0),
    ],
)
def test_other_signals(number, error, code, tmp_path):
    solver = make()
    # A shell that starts the tests in the background has them ignore Ctrl-C, and so would training.
    previous = signal.getsignal(number)
    if number == signal.SIGINT:
        signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(error) as raised:
            solver.solve(40, progress=False, listeners=[Stop(5, number)], run_dir=tmp_path)
    finally:
        signal.signal(number, previous)
    assert error is KeyboardInterrupt or raised.value.code == code
    assert_same(make().solve(40, progress=False, run_dir=tmp_path), make().solve(40, progress=False))


SCRIPT = """
import os
import signal
import sys

import tangrax as tx

tx.setup(dtype="float64")
sys.path.append({folder!r})
from run_problem import make

signal.signal(signal.SIGINT, signal.default_int_handler)


class Stop:
    def on_start(self, run): ...

    def on_stretch(self, stretch):
        if stretch.epoch == 20:
            os.kill(os.getpid(), signal.SIGINT)

    def on_end(self): ...


make().solve(40, progress=False, run_dir="run", checkpoint_every=10, listeners=[Stop()])
"""


@pytest.mark.processes
@pytest.mark.parametrize("command", [["-m", "tangrax", "run"], []], ids=["tangrax run", "python"])
def test_ctrl_c_of_a_command(command, tmp_path):
    """`tangrax run` and Python end with 130, as a shell has it, and say how to go on; the same command goes on."""
    (tmp_path / "train.py").write_text(SCRIPT.format(folder=str(Path(__file__).parents[1])))
    command = [sys.executable, *command, "train.py"]
    run = lambda: subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    first, second = run(), run()
    assert first.returncode in (130, -signal.SIGINT) and "Traceback" not in first.stderr, first.stderr
    assert "stopped by SIGINT after epoch 20, written to run: the same command goes on from there" in first.stderr
    assert second.returncode == 0 and "going on from epoch 20, as run has it" in second.stderr, second.stderr


def test_the_end_of_a_slurm_job(tmp_path, monkeypatch, capsys):
    """Time left is read where Slurm tells it: training stops a minute before, as by SIGUSR1."""
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time() + 59)))
    with pytest.raises(SystemExit) as raised:
        make().solve(40, progress=False, run_dir=tmp_path)
    assert raised.value.code == 138 and "stopped by SIGUSR1" in capsys.readouterr().err
    monkeypatch.setenv("TANGRAX_STOP_BEFORE", "a minute")
    refused(make(), 40, tmp_path, "TANGRAX_STOP_BEFORE='a minute': give a number of seconds")
    monkeypatch.setenv("TANGRAX_STOP_BEFORE", "5")
    assert_same(make().solve(40, progress=False, run_dir=tmp_path), make().solve(40, progress=False))


def test_run_json_tells_what_the_run_is(tmp_path):
    make().solve(5, progress=False, run_dir=tmp_path)
    make().solve(9, progress=False, run_dir=tmp_path)
    about = json.loads((tmp_path / "run.json").read_text())
    assert [start["epochs"] for start in about["starts"]] == [[0, 5], [0, 9]]
    start = about["starts"][-1]
    assert start["versions"]["jax"] == jax.__version__ and len(start["devices"]) == 1 and start["command"] == sys.argv
    assert "pde" in about["terms"] and about["precision"].startswith("float64")
    assert any(line.startswith("40 points 'interior'") for line in about["problem"])


# Refusals


def refused(solver, epochs, run_dir, words, error=ValueError, **more):
    before = numbers(solver)[0]
    with pytest.raises(error, match=words):
        solver.solve(epochs, progress=False, run_dir=run_dir, **more)
    assert solver.epoch == 0 and not solver.history
    for mine, its in zip(numbers(solver)[0], before, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_a_refused_start_leaves_no_trace(tmp_path):
    """Another problem, or fewer epochs, also where there is a checkpoint of just that many."""
    make().solve(20, progress=False, run_dir=tmp_path, checkpoint_every=10)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    refused(make(how="pointwise"), 20, tmp_path, "is of another problem")
    refused(make(), 10, tmp_path, "this call would end at 10")
    assert {path: path.read_bytes() for path in before} == before


def test_another_problem_is_refused(tmp_path):
    make().solve(6, progress=False, run_dir=tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.npz")}
    refused(make(width=9), 9, tmp_path, r"'MLP' of 6 arrays \[\(8, 1\).* there, .*\(9, 1\).* here")
    refused(make("batches"), 9, tmp_path, "'16 points of 'interior' a step' here")
    refused(
        make(optimizer=optax.sgd(0.1, momentum=0.9)), 9, tmp_path, r"of 'MLP', .*scale_by_adam.* there, .*trace.* here"
    )
    other, _ = tx.domain.line(n=40, seed=3).variable("interior")
    refused(make(points=other), 9, tmp_path, "40 points 'interior' of .* there")
    refused(make(), 3, tmp_path, "holds checkpoints up to epoch 6, and this call would end at 3")
    refused(make(), 9, tmp_path, "holds checkpoints of a run up to epoch 6", resume="never")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.npz")} == files


def test_another_number_in_a_network_is_refused(tmp_path):
    x, _ = tx.domain.line(n=4).variable("interior")

    def solver(omega):
        net = tx.nn.wrap(lambda p, z: jnp.sin(p["omega"] * p["w"] * z[0]), {"w": jnp.ones(()), "omega": omega})
        return tx.core([(net(x) - x).mse], optimizer=optax.adam(1e-2), devices=1)

    solver(5.0).solve(1, progress=False, run_dir=tmp_path / "run")
    solver(5.0).solve(1, progress=False, run_dir=tmp_path / "run")
    with pytest.raises(ValueError, match="with constants"):
        solver(6.0).solve(1, progress=False, run_dir=tmp_path / "run")


def test_another_frozen_network_is_refused(tmp_path):
    """What is not trained is part of the problem; values that are trained are not."""

    def make(key, frozen_key):
        net = tx.nn.mlp(1, width=4, depth=1, key=key)(X)
        fixed = tx.nn.mlp(1, width=4, depth=1, key=frozen_key, name="given").freeze()(X)
        return tx.core([(net - fixed).mse], optimizer=optax.adam(1e-3), devices=1, dtype="float64")

    first = make(0, 1).solve(6, progress=False, run_dir=tmp_path)
    refused(make(0, 2), 9, tmp_path, "'given' as it is, .* there, .* here")
    assert_same(make(5, 1).solve(6, progress=False, run_dir=tmp_path), first)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"checkpoint_every": 0}, "checkpoint_every=0"),
        ({"keep": 0}, "keep=0"),
        ({"resume": "yes"}, "'auto' goes on"),
    ],
)
def test_settings_that_make_no_sense(settings, words, tmp_path):
    refused(make(), 9, tmp_path / "new", words, **settings)
    assert not (tmp_path / "new").exists()


def test_another_version_is_refused(tmp_path, monkeypatch):
    make().solve(6, progress=False, run_dir=tmp_path)
    monkeypatch.setattr("tangrax.checkpoint.archive.FORMAT", 3)
    refused(make(), 9, tmp_path, "format 2 where this version reads 3")


def test_a_directory_in_use_is_refused(tmp_path):
    class Other:
        def on_start(self, run):
            refused(make(), 5, tmp_path, f"in use by process {os.getpid()} on ")

        def on_stretch(self, stretch): ...

        def on_end(self): ...

    make().solve(5, progress=False, run_dir=tmp_path, listeners=[Other()])
    make().solve(5, progress=False, run_dir=tmp_path)


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    refused(make(), 5, tmp_path / "file" / "run", "cannot be written", NotADirectoryError)


# Faults


@pytest.mark.parametrize("damage", slow_but(["cut", "flipped", "emptied"], "flipped"))
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, tmp_path, capsys):
    whole = make().solve(30, progress=False)
    stopped(make(), 30, 20, tmp_path, checkpoint_every=10)
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    content = bytearray(newest.read_bytes())
    with np.load(newest) as arrays:
        largest = max((arrays[name] for name in arrays.files), key=lambda array: array.nbytes)
    content[content.index(largest.tobytes()) + largest.nbytes // 2] ^= 1
    newest.write_bytes({"cut": content[:-200], "flipped": content, "emptied": b""}[damage])
    solver = make().solve(30, progress=False, run_dir=tmp_path, checkpoint_every=10)
    assert "looking for the one before" in capsys.readouterr().err
    assert solver.timing.epochs == 20
    assert_same(solver, whole)
    assert newest.with_suffix(".damaged").exists()


def test_no_checkpoint_that_can_be_read(tmp_path):
    make().solve(6, progress=False, run_dir=tmp_path)
    (newest,) = (tmp_path / "checkpoints").iterdir()
    newest.write_bytes(b"PK")
    refused(make(), 9, tmp_path, r"none of its checkpoints \(6\) can be read. Move them away")


def test_a_damaged_piece_of_history_leaves_a_gap(tmp_path, capsys):
    stopped(make(), 30, 20, tmp_path, checkpoint_every=10)
    (tmp_path / "history" / "000000010.npz").write_bytes(b"PK")
    solver = make().solve(30, progress=False, run_dir=tmp_path)
    assert "the history has a gap there" in capsys.readouterr().err
    np.testing.assert_array_equal(solver.history.epochs("loss"), np.arange(10, 30))
    whole = make().solve(30, progress=False)
    np.testing.assert_array_equal(solver.history["loss"], whole.history["loss"][10:])


def test_a_full_disk_stops_nothing_until_the_end(tmp_path, monkeypatch, capsys):
    """Training goes on, says so, and the last failure is raised once all is trained."""
    from tangrax.checkpoint import archive

    written = archive.write

    def full(path, *rest):
        if "checkpoints" in str(path):
            raise OSError(28, "No space left on device")
        written(path, *rest)

    monkeypatch.setattr(archive, "write", full)
    solver = make()
    with pytest.raises(OSError, match="No space left"):
        solver.solve(30, progress=False, run_dir=tmp_path, checkpoint_every=10)
    assert solver.epoch == 30 and len(solver.history["loss"]) == 30
    errors = capsys.readouterr().err
    assert errors.count("a checkpoint could not be written") == 2 and "Training goes on" in errors
    monkeypatch.setattr(archive, "write", written)
    assert_same(make().solve(30, progress=False, run_dir=tmp_path), solver)


def test_a_loss_that_is_not_finite_keeps_the_last_finite_state(tmp_path):
    """A step that is far too large: the checkpoint is of the epoch before; a smaller one goes on from there."""
    bad = lambda rate: optax.inject_hyperparams(optax.sgd)(learning_rate=rate)
    solver = make(optimizer=bad(1e6))
    with pytest.raises(tx.NonFiniteLoss):
        solver.solve(400, progress=False, run_dir=tmp_path, checkpoint_every=500)
    names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert names == [f"epoch-{solver.epoch:09d}.npz"] and solver.epoch > 0
