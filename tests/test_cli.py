"""`tangrax report`, `analyse`, `init`, and runs of problems that go on: as a user calls them."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import optax
import pytest
from test_launch import tangrax

import tangrax as tx
from tangrax import run

SLURM = os.path.join(os.path.dirname(os.path.dirname(__file__)), "slurm")


def trained(run_dir, rate=1e-2, epochs=100):
    x, _ = tx.domain.line(n=16).variable("interior")
    net = tx.nn.mlp(1, width=4, depth=1, key=1)
    off = (net(x) - tx.np.sin(3 * x)).mse
    cosine = tx.np.cosine(net(x)[x < 0.5].mean.grad(net), -net(x)[x >= 0.5].mean.grad(net))
    solver = tx.core({"fit": off, "against": cosine.tracker(10)}, optimizer=optax.adam(rate), devices=1)
    return solver.solve(epochs, progress=False, run_dir=run_dir, checkpoint_every=50)


def test_report(tmp_path):
    trained(tmp_path / "run")
    done = tangrax("report", tmp_path / "run")
    assert done.returncode == 0 and "wrote" in done.stdout, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "in conflict" in page
    done = tangrax("report", tmp_path / "run", "--out", tmp_path / "other.html")
    assert done.returncode == 0 and (tmp_path / "other.html").exists(), done.stderr
    done = tangrax("report", tmp_path)
    assert done.returncode == 1 and f"holds no run: did you mean {tmp_path / 'run'}?" in done.stderr, done.stderr


def test_analyse(tmp_path):
    """Gradients that are against each other are said, and make the exit code 3."""
    solver = trained(tmp_path / "run")
    done = tangrax("analyse", tmp_path / "run")
    assert done.returncode == 3, done.stderr
    value = solver.history["against"][-1]
    assert value < 0 and f"! against = {value:.2f}" in done.stdout
    assert f"fit                      {solver.history['fit'][-1]:.4g}" in done.stdout
    assert "not running, epoch 100 of 100" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["report", "absent"], "tangrax report: absent holds no run"),
        (["analyse", "absent"], "tangrax analyse: absent holds no run"),
        (["init", SLURM], "train.sbatch is there: give another directory. Nothing was written"),
    ],
)
def test_refused(arguments, message):
    done = tangrax(*arguments)
    assert done.returncode == 1 and message in done.stderr, done.stdout + done.stderr
    assert not os.path.exists(os.path.join(SLURM, "train.py"))


@pytest.mark.parametrize("command", ["run", "launch", "report", "analyse", "init", "problems", "doctor"])
def test_help_teaches(command):
    done = tangrax(command, "--help")
    assert done.returncode == 0 and f"usage: tangrax {command}" in done.stdout
    assert len(done.stdout.splitlines()) > 5


def test_a_reader_that_leaves_is_no_error():
    """As `tangrax problems | head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tangrax", "problems"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("cpu", [False, True])
def test_init(cpu, tmp_path):
    """The program trains, goes on, and is what the batch file runs."""
    done = tangrax("init", tmp_path / "new", *(["--cpu"] if cpu else []))
    assert done.returncode == 0, done.stderr
    batch = (tmp_path / "new" / "train.sbatch").read_text()
    assert subprocess.run([shutil.which("bash"), "-n"], input=batch, text=True).returncode == 0
    assert "set -- train.py" in batch and sys.prefix in batch and "scripts/" not in batch
    assert ("--gres" in batch) != cpu and f"JAX_PLATFORMS:-{'cpu' if cpu else 'cuda'}" in batch
    if cpu:
        return
    env = {k: v for k, v in os.environ.items() if not k.startswith("XLA_FLAGS")}
    command = [sys.executable, "train.py", "--devices", "2", "--emulate", "--epochs", "20"]
    first, second = [
        subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "new", env=env, timeout=200)
        for _ in range(2)
    ]
    assert first.returncode == 0, first.stderr
    assert "relative L2 error" in first.stdout and "tangrax report runs/first" in first.stdout
    assert second.returncode == 0 and "epoch 20 is reached" in second.stderr, second.stderr
    assert first.stdout.splitlines()[-1] == second.stdout.splitlines()[-1]


def test_a_problem_goes_on(tmp_path):
    """20 epochs, then 40 with the same directory: as 40 at once."""
    options = ["poisson-1d", "--run-dir", tmp_path / "run", "--epochs"]
    first = tangrax("run", *options, 20)
    assert first.returncode == 0, first.stderr
    second = tangrax("run", *options, 40)
    assert second.returncode == 0 and "epoch 20 is reached" in second.stderr, second.stderr
    whole = tangrax("run", "poisson-1d", "--run-dir", tmp_path / "whole", "--epochs", 40)
    assert whole.returncode == 0, whole.stderr
    one, other = (run.read_record(tmp_path / name) for name in ("run", "whole"))
    np.testing.assert_array_equal(one.history["loss"], other.history["loss"])
    assert [each["name"] for each in one.shown["fields"]] == ["u", "pde"]
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["starts"]) == 3
    refused = tangrax("run", *options, 60, "--no-resume")
    assert refused.returncode != 0 and "resume='auto' to go on" in refused.stderr
