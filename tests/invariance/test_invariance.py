"""The same numbers on any number of devices, processes and MPI ranks, to 1e-10 in float64."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from . import problems

SCRIPT = Path(problems.__file__)
WITH_MPI = importlib.util.find_spec("mpi4jax") is not None


@pytest.fixture(scope="module")
def one_device():
    return problems.results(1)


def agree(found, expected):
    for name, value in expected.items():
        if not name.startswith("local/"):
            np.testing.assert_allclose(found[name], value, rtol=1e-10, atol=1e-10, err_msg=name)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("devices", [pytest.param(2, marks=SLOW), 3, pytest.param(4, marks=SLOW), 8])
def test_devices_of_one_process(devices, one_device):
    agree(problems.results(devices), one_device)


def launched(arguments, folder):
    """Each process's results after `tangrax launch`."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_FLAGS", "TANGRAX"))}
    command = [sys.executable, "-m", "tangrax", "launch", *arguments, str(SCRIPT), str(folder / "RANK.npz")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert run.returncode == 0, run.stdout + run.stderr
    return [dict(np.load(path)) for path in sorted(folder.glob("*.npz"))]


@pytest.mark.parametrize("processes, devices", [pytest.param(2, 1, marks=SLOW), (2, 2), pytest.param(3, 1, marks=SLOW)])
def test_processes(processes, devices, one_device, tmp_path):
    """jax.distributed: every process gets every result, and holds its own points only."""
    each = launched(["-n", str(processes), "--devices-per-process", str(devices)], tmp_path)
    assert len(each) == processes
    for found in each:
        agree(found, one_device)
    points_are_split(each, processes * devices)


@pytest.mark.skipif(not WITH_MPI, reason="mpi4jax is not installed: make mpi")
@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=SLOW)])
def test_ranks(ranks, one_device, tmp_path):
    each = launched(["-n", str(ranks), "--mpi"], tmp_path)
    assert len(each) == ranks
    for found in each:
        agree(found, one_device)
    points_are_split(each, ranks)


def points_are_split(each, shards):
    for name in problems.PROBLEMS:
        held = [found[f"local/{name}"] for found in each]
        count = held[0][1]
        assert sum(local for local, *_ in held) == count, "each point lies in one place"
        assert max(local for local, *_ in held) <= -(-count // shards) * (shards // len(each))
        assert {size for *_, size in held} == {shards}
