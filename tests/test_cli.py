"""The commands of `tangrax`, called in this process; those that train or start others are in tests/test_launch.py."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import optax
import pytest

import tangrax as tx
from tangrax import cli, problems

SLURM = os.path.join(os.path.dirname(os.path.dirname(__file__)), "slurm")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture
def tangrax(capsys):
    def command(*arguments) -> Done:
        said, code = "", 0
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as stopped:
            # As the interpreter does: a text is printed, and the code is 1.
            said, code = (f"{stopped.code}\n", 1) if isinstance(stopped.code, str) else ("", stopped.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err + said)

    return command


def trained(run_dir, rate=1e-2, epochs=100):
    x, _ = tx.domain.line(n=16).variable("interior")
    net = tx.nn.mlp(1, width=4, depth=1, key=1)
    off = (net(x) - tx.np.sin(3 * x)).mse
    cosine = tx.np.cosine(net(x)[x < 0.5].mean.grad(net), -net(x)[x >= 0.5].mean.grad(net))
    solver = tx.core({"fit": off, "against": cosine.tracker(10)}, optimizer=optax.adam(rate), devices=1)
    return solver.solve(epochs, progress=False, run_dir=run_dir, checkpoint_every=50)


def test_report(tmp_path, tangrax):
    trained(tmp_path / "run")
    done = tangrax("report", tmp_path / "run")
    assert done.code == 0 and "wrote" in done.out, done.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.startswith("<!doctype html>") and "in conflict" in page
    done = tangrax("report", tmp_path / "run", "--out", tmp_path / "other.html")
    assert done.code == 0 and (tmp_path / "other.html").exists(), done.err
    done = tangrax("report", tmp_path)
    assert done.code == 1 and f"holds no run: did you mean {tmp_path / 'run'}?" in done.err, done.err


def test_analyse(tmp_path, tangrax):
    """Gradients that are against each other are said, and make the exit code 3."""
    solver = trained(tmp_path / "run")
    done = tangrax("analyse", tmp_path / "run")
    assert done.code == 3, done.err
    value = solver.history["against"][-1]
    assert value < 0 and f"! against = {value:.2f}" in done.out
    assert f"fit                      {solver.history['fit'][-1]:.4g}" in done.out
    assert "not running, epoch 100 of 100" in done.out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run"], "name what to run"),
        (["run", "absent.py"], "no script absent.py"),
        (["run", "poissn-1d"], "'poissn-1d' is no file that ends in .py and no problem"),
        (["run", "poisson-1d", "--epochs", "0"], "--epochs 0: give 1 or more"),
        (["run", "poisson-1d", "--emulate"], "such as --devices 4"),
        (["launch", "-n", "0", __file__], "at least 1"),
        (["launch", "--mpi", "--devices-per-process", "2", __file__], "one device"),
        (["report", "absent"], "tangrax report: absent holds no run"),
        (["analyse", "absent"], "tangrax analyse: absent holds no run"),
        (["init", SLURM], "train.sbatch is there: give another directory. Nothing was written"),
    ],
)
def test_refused(arguments, message, tangrax):
    done = tangrax(*arguments)
    assert done.code != 0 and message in done.err, done.out + done.err
    assert not os.path.exists(os.path.join(SLURM, "train.py"))


def test_problems_are_listed(tangrax):
    done = tangrax("problems")
    assert done.code == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[1:-1]] == problems.names()
    assert "u_t + u u_x = 0.01/π u_xx" in done.out


@pytest.mark.parametrize("command", ["run", "launch", "report", "analyse", "init", "problems", "doctor"])
def test_help_teaches(command, tangrax):
    done = tangrax(command, "--help")
    assert done.code == 0 and f"usage: tangrax {command}" in done.out
    assert len(done.out.splitlines()) > 5


@pytest.mark.parametrize("cpu", [False, True])
def test_init(cpu, tmp_path, tangrax):
    """A program, and the batch file that runs it."""
    done = tangrax("init", tmp_path / "new", *(["--cpu"] if cpu else []))
    assert done.code == 0, done.err
    batch = (tmp_path / "new" / "train.sbatch").read_text()
    assert subprocess.run([shutil.which("bash"), "-n"], input=batch, text=True).returncode == 0
    assert "set -- train.py" in batch and sys.prefix in batch and "scripts/" not in batch
    assert ("--gres" in batch) != cpu and f"JAX_PLATFORMS:-{'cpu' if cpu else 'cuda'}" in batch
    compile((tmp_path / "new" / "train.py").read_text(), "train.py", "exec")
