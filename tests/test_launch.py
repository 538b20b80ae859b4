"""`tangrax launch` and `tangrax run`, as a user calls them."""

import os
import subprocess
import sys

import pytest
from launching import TRANSPORTS

from tangrax import problems


def tangrax(*arguments, timeout=120, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_FLAGS", "TANGRAX"))}
    command = [sys.executable, "-m", "tangrax", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=env | more)


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(text)
    return path


def test_run_passes_arguments_on(tmp_path):
    path = script(tmp_path, "import sys; print(__name__, sys.argv[1:])")
    run = tangrax("run", path, "--n", "3", "--transport", "x")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "__main__ ['--n', '3', '--transport', 'x']\n"


def test_launch_prefixes_output_and_forwards_exit_codes(tmp_path):
    """One process fails: the others are stopped, one line says which and how."""
    text = """
import os, sys, time
rank = int(os.environ["TANGRAX_PROCESS"])
print("here", rank, flush=True)
time.sleep(1)
if rank == 1: sys.exit(7)
time.sleep(100)
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
    ],
)
def test_refused(arguments, message):
    run = tangrax(*arguments)
    assert run.returncode != 0 and message in run.stderr, run.stdout + run.stderr


def test_problems_are_listed():
    run = tangrax("problems")
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()[1:-1]] == problems.names()
    assert "u_t + u u_x = 0.01/π u_xx" in run.stdout


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
    told = [line for line in run.stdout.splitlines() if "relative error" in line]
    assert len(told) == 1 and told[0].startswith("[0]")


def test_doctor():
    run = tangrax("doctor", COLUMNS="200")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "no launcher's variables" in run.stdout and "1 MB all-reduce, xla" in run.stdout
