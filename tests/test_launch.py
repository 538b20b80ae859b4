"""`tangrax launch`, `run`, `doctor` and `init`, as a user calls them."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from launching import NEEDS_MPI, PATIENCE, TRANSPORTS, alive, environment, until

from tangrax.analysis import read_record

pytestmark = pytest.mark.processes


def tangrax(*arguments, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_FLAGS", "TANGRAX"))}
    command = [sys.executable, "-m", "tangrax", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env | more)


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(text)
    return path


def test_run_passes_arguments_on(tmp_path):
    path = script(tmp_path, "import sys; print(__name__, sys.argv[1:])")
    run = tangrax("run", path, "--n", "3", "--transport", "x")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "__main__ ['--n', '3', '--transport', 'x']\n"


def test_modules_and_settings_of_the_working_directory_are_not_loaded(tmp_path):
    """By processes of `launch`, and by a report, which leaves a pipe that would be a matplotlibrc unread.

    The first process shows that Python alone would load them.
    """
    for name in ("jax", "json", "optax"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the working directory')")
    os.mkfifo(tmp_path / "matplotlibrc")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "beside.py").write_text("NUMBER = 42")
    program = """
import beside, json, optax, tangrax as tx, tangrax.cli
x, _ = tx.domain.line(n=4).variable("interior")
u = tx.nn.mlp(1, width=2, depth=1)(x)
tx.core([u.mse], optimizer=optax.sgd(0.1), devices=1).solve(2, progress=False, run_dir="run")
print("trained", beside.NUMBER, flush=True)
tx.cli.main(["report", "run"])
"""
    (tmp_path / "scripts" / "train.py").write_text(program)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_FLAGS", "TANGRAX"))}
    env |= {"TANGRAX_TRANSPORT": "single"}

    def called(*words):
        command = [sys.executable, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env, cwd=tmp_path)

    assert "a module of the working directory" in called("-m", "json").stderr
    run = called("-P", "-m", "tangrax", "launch", "-n", "1", "scripts/train.py")
    assert run.returncode == 0 and "[0] trained 42" in run.stdout, run.stdout + run.stderr
    assert "[0] wrote run/report.html" in run.stdout


def test_launch_prefixes_output_and_forwards_exit_codes(tmp_path):
    """One process fails: the others are stopped, one line says which and how."""
    text = """
import os, pathlib, sys, time
rank = int(os.environ["TANGRAX_PROCESS"])
print("here", rank, flush=True)
folder = pathlib.Path(__file__).parent
(folder / f"{rank}.here").touch()
while rank == 1:
    if len(list(folder.glob("*.here"))) == 3: sys.exit(7)
    time.sleep(0.1)
time.sleep(1000)
"""
    path = script(tmp_path, text)
    # Not joined by JAX: what is tested is the launcher.
    run = tangrax("launch", "-n", 3, path, TANGRAX_TRANSPORT="single")
    assert run.returncode == 7, run.stdout + run.stderr
    assert {f"[{i}] here {i}" for i in range(3)} <= set(run.stdout.splitlines())
    assert "process 1 ended with exit code 7; stopping 2 other(s)" in run.stderr


def test_launch_of_a_killed_process(tmp_path):
    text = """
import os, time
if os.environ["TANGRAX_PROCESS"] == "0": os.kill(os.getpid(), 9)
time.sleep(100)
"""
    run = tangrax("launch", "-n", 2, script(tmp_path, text), TANGRAX_TRANSPORT="single")
    assert run.returncode == 137 and "process 0 was killed by signal 9" in run.stderr


DEAF = """
import os, pathlib, signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
pid = os.getpid()
rank = os.environ.get("TANGRAX_PROCESS") or os.environ["PMI_RANK"]
whole = pathlib.Path(__file__).parent / f"{rank}.pid"
whole.with_suffix(".part").write_text(str(pid))
whole.with_suffix(".part").rename(whole)
if rank == "1": os.kill(pid, signal.SIGSTOP)
time.sleep(1000)
"""


@pytest.fixture(params=["xla", pytest.param("mpi", marks=[NEEDS_MPI, pytest.mark.slow])])
def deaf(request, tmp_path):
    """A launcher of two processes that answer no signal, one of them stopped; and their numbers."""
    mpi = request.param == "mpi"
    options = ["-n", "2", *(["--mpi"] if mpi else [])]
    command = [sys.executable, "-m", "tangrax", "launch", *options, str(script(tmp_path, DEAF))]
    env = environment(**({} if mpi else {"TANGRAX_TRANSPORT": "single"}))
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as launcher:
        files = [tmp_path / f"{rank}.pid" for rank in range(2)]
        until(lambda: all(path.exists() for path in files))
        pids = [int(path.read_text()) for path in files]
        try:
            yield launcher, pids
        finally:
            launcher.kill()
            for pid in filter(alive, pids):
                os.kill(pid, signal.SIGKILL)


def test_processes_end_with_a_launcher_that_is_killed(deaf):
    launcher, pids = deaf
    launcher.kill()
    until(lambda: not any(map(alive, pids)), seconds=30)


@pytest.mark.slow
def test_a_second_signal_kills_at_once(deaf):
    """The exit code is that of the first; tests/test_launcher.py has what is said."""
    launcher, pids = deaf
    for number in (signal.SIGINT, signal.SIGTERM):
        launcher.send_signal(number)
        assert signal.Signals(number).name in launcher.stderr.readline()
    assert launcher.wait(timeout=8) == 130  # less than processes are given to answer the first one
    assert launcher.stderr.read() == ""
    until(lambda: not any(map(alive, pids)), seconds=30)


def test_a_refusal_is_said_and_fails():
    """As a shell sees it; tests/test_cli.py has the others."""
    run = tangrax("run", "absent.py")
    assert run.returncode == 1 and "no script absent.py" in run.stderr, run.stdout + run.stderr


def test_a_problem_on_emulated_devices(tmp_path):
    path = tmp_path / "solved.npz"
    run = tangrax("run", "poisson-1d", "--devices", 3, "--emulate", "--epochs", 3, "--save", path)
    assert run.returncode == 0, run.stderr
    assert "after 3 epochs" in run.stdout and "u: relative error" in run.stdout
    assert path.exists()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_problem_in_two_processes(transport):
    how = ("--mpi",) if transport == "mpi" else ("--devices-per-process", 1)
    run = tangrax("launch", "-n", 2, *how, "poisson-1d", "--epochs", 3)
    assert run.returncode == 0, run.stdout + run.stderr
    errors = [line for line in run.stdout.splitlines() if "relative error" in line]
    assert len(errors) == 1 and errors[0].startswith("[0]")


def test_doctor():
    run = tangrax("doctor", COLUMNS="200")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no launcher's variables" in run.stdout and "1 MB all-reduce, xla" in run.stdout


def test_a_reader_that_leaves_is_no_error():
    """As `tangrax problems | head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tangrax", "problems"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    os.close(writer)
    assert done.returncode == 0 and done.stderr == ""


def test_the_program_of_init(tmp_path):
    """It trains, and goes on where it was."""
    done = tangrax("init", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    env = {k: v for k, v in os.environ.items() if not k.startswith("XLA_FLAGS")}
    command = [sys.executable, "train.py", "--devices", "2", "--emulate", "--epochs", "20"]
    first, second = [
        subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "new", env=env, timeout=PATIENCE)
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
    one, other = (read_record(tmp_path / name) for name in ("run", "whole"))
    np.testing.assert_array_equal(one.history["loss"], other.history["loss"])
    assert [each["name"] for each in one.view["fields"]] == ["u", "pde"]
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["starts"]) == 3
    refused = tangrax("run", *options, 60, "--no-resume")
    assert refused.returncode != 0 and "resume='auto' to go on" in refused.stderr
