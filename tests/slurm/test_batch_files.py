"""The files of slurm/ as they are, submitted to a Slurm of eight nodes, against the same program in one process.

What a test changes it gives to sbatch: size as options, which win over the files' lines, the rest in the environment.
"""

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from .cluster import SETTINGS, Job, free_ports, succeeded

pytestmark = pytest.mark.slurm

# 403 points: four tasks hold 101, 101, 101 and 100.
SIZE = ["--epochs", "60", "--points", "403", "--width", "12", "--depth", "2", "--dtype", "float64"]
FOUR = ["--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--time=5"]
TWO = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--time=5"]
ONE = ["--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=5"]
NO_GPU = "--gres=none"
LIMIT = 120  # seconds for a job; they need some 15 on two idle cores


def submit(cluster, clone, batch_file, *arguments, options, **environment) -> tuple[list[Job], float]:
    """The job (the tasks of an array) when it has ended, and seconds from submission to end."""
    settings = {
        **SETTINGS,
        # The nodes' names mean nothing to this machine's resolver, as an administrator would have seen to.
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_ports(1)[0]}",
        **environment,
    }
    start = time.monotonic()
    job = cluster.submit(clone / "slurm" / batch_file, *arguments, options=options, environment=settings, folder=clone)
    ended = cluster.wait(job, LIMIT)
    return ended, time.monotonic() - start


def difference(actual: Path, expected: Path) -> float:
    """The largest difference of saved parameters and history, each relative to the array's largest number."""
    with np.load(actual) as a, np.load(expected) as b:
        assert set(a.files) == set(b.files)
        assert json.loads(a["about"].tobytes()) == json.loads(b["about"].tobytes())
        numbers = [name for name in b.files if name != "about"]
        assert any(name.startswith("network/") for name in numbers) and "values/loss" in numbers
        assert all(a[name].shape == b[name].shape and a[name].dtype == b[name].dtype for name in numbers)
        return max(float(np.max(np.abs(a[name] - b[name])) / max(np.max(np.abs(b[name])), 1e-300)) for name in numbers)


@pytest.mark.parametrize(
    "batch_file, options, transport", [("train.sbatch", ["--gres=gpu:2"], "xla"), ("train-cpu-mpi.sbatch", [], "mpi")]
)
def test_training(batch_file, options, transport, cluster, clone, alone, say):
    """Four tasks on two nodes give what one process gives."""
    if transport == "mpi":
        pytest.importorskip("mpi4jax", reason="mpi4jax is not installed: make mpi")
    (job,), seconds = submit(cluster, clone, batch_file, *SIZE, options=[*FOUR, *options])
    succeeded(job)
    out = clone / "runs" / job.id
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["transport"], summary["processes"]) == (transport, 4), "the tasks are one run"
    assert len(re.findall("relative L2 error", job.output)) == 1, f"one of them prints:\n{job.output}"
    far = difference(out / "solver.npz", alone("train.py", *SIZE) / "solver.npz")
    say(f"{batch_file} on 2 nodes x 2 tasks: {seconds:.1f} s, rel. difference to one process {far:.0e}")
    assert far < 1e-8


def test_kernel_of_a_saved_solver(cluster, clone, alone, say):
    """The rows split over four tasks give the spectrum that one process finds."""
    saved = str(alone("train.py", *SIZE) / "solver.npz")
    options = [saved, "--points", "101"]
    (job,), seconds = submit(
        cluster, clone, "analyse.sbatch", *options, "--out", "kernel", options=[*FOUR, "--gres=gpu:2"]
    )
    succeeded(job)
    expected = alone("analyse.py", *options)
    assert (clone / "kernel" / "kernel.png").stat().st_size > 0
    with np.load(clone / "kernel" / "kernel.npz") as a, np.load(expected / "kernel.npz") as b:
        far = max(float(np.max(np.abs(a[name] - b[name])) / np.max(np.abs(b[name]))) for name in b.files)
    actual, wanted = (json.loads((each / "kernel.json").read_text()) for each in (clone / "kernel", expected))
    say(f"analyse.sbatch on 2 nodes x 2 tasks: {seconds:.1f} s, rel. difference to one process {far:.0e}")
    assert far < 1e-8
    assert actual["effective_rank"] == pytest.approx(wanted["effective_rank"], rel=1e-8)
    assert (actual["points"], actual["parameters"], actual["processes"]) == (101, wanted["parameters"], 4)
    assert 0 < actual["resolved"] == wanted["resolved"]
    assert f"{actual['resolved']} of 101" in job.output


def test_sweep(cluster, clone, alone, say):
    """Each task of the array is the run of its line of the table."""
    jobs, seconds = submit(cluster, clone, "sweep.sbatch", *SIZE, options=[*ONE, NO_GPU])
    assert len(jobs) == 4
    for job in jobs:
        succeeded(job)
    (sweep,) = (clone / "runs").iterdir()
    table = [line.split() for line in re.findall(r'^    "(--.*)"$', (clone / "slurm/sweep.sbatch").read_text(), re.M)]
    assert len(table) == len(list(sweep.iterdir())) == 4
    far = []
    for index, settings in enumerate(table):
        expected = alone("train.py", *settings, *SIZE)
        far.append(difference(sweep / str(index) / "solver.npz", expected / "solver.npz"))
    say(f"sweep.sbatch, array of 4: {seconds:.1f} s, rel. difference to one process {max(far):.0e}")
    assert max(far) < 1e-8
    losses = {json.loads((sweep / str(index) / "summary.json").read_text())["loss"] for index in range(4)}
    assert len(losses) == 4, "the settings reached the program"


def test_every_task_sees_the_gpus_of_its_node(cluster, clone):
    """JAX gives task k of a node the k-th GPU among those that it sees, so all tasks must see them all."""
    (clone / "see.py").write_text("import os; print('sees', os.environ['CUDA_VISIBLE_DEVICES'])")
    (job,), _ = submit(
        cluster, clone, "train.sbatch", "see.py", options=[*FOUR, "--gres=gpu:2"], TANGRAX_TRANSPORT="single"
    )
    assert sorted(succeeded(job).output.splitlines()) == [f"{task}: sees 0,1" for task in range(4)]


@pytest.mark.parametrize("batch_file, options", [("train.sbatch", [NO_GPU]), ("train-cpu-mpi.sbatch", [])])
def test_a_task_that_fails_fails_the_job(batch_file, options, cluster, clone, say):
    """The others, which would wait for it, are stopped."""
    if "mpi" in batch_file:
        pytest.importorskip("mpi4jax", reason="mpi4jax is not installed: make mpi")
    (clone / "fails.py").write_text(
        "import os, time\n"
        "if os.environ['SLURM_PROCID'] == '2': os._exit(3)\n"  # no farewell, as when memory runs out
        "time.sleep(600)\n"
    )
    (job,), seconds = submit(cluster, clone, batch_file, "fails.py", options=[*FOUR, *options])
    say(f"{batch_file}, one of 4 tasks fails: {seconds:.1f} s, {job.state}, exit code {job.exit_code}")
    assert job.state == "FAILED" and not job.exit_code.startswith("0:"), job.output


def test_a_script_that_raises_fails_the_job(cluster, clone):
    (clone / "raises.py").write_text("raise ValueError('a mistake in the script')")
    (job,), _ = submit(cluster, clone, "train.sbatch", "raises.py", options=[*TWO, NO_GPU])
    assert job.state == "FAILED" and not job.exit_code.startswith("0:"), job.output
    assert "a mistake in the script" in job.output


def test_a_missing_environment_fails_the_job(cluster, clone):
    absent = str(clone / "absent")
    (job,), _ = submit(cluster, clone, "train.sbatch", *SIZE, options=[*TWO, NO_GPU], TANGRAX_VENV=absent)
    assert job.state == "FAILED" and absent in job.output


def test_a_name_that_does_not_resolve_fails_the_job_by_saying_so(cluster, clone):
    """The nodes here are called what no resolver knows; JAX alone would wait for five minutes."""
    (job,), _ = submit(cluster, clone, "train.sbatch", *SIZE, options=[*FOUR, NO_GPU], JAX_COORDINATOR_ADDRESS="")
    assert job.state == "FAILED" and "'node1' cannot be resolved" in job.output, job.output


def test_an_array_longer_than_the_table_fails_by_saying_so(cluster, clone):
    (job,), _ = submit(cluster, clone, "sweep.sbatch", *SIZE, options=[*ONE, NO_GPU, "--array=4"])
    assert job.state == "FAILED" and "the table has runs 0 to 3" in job.output
