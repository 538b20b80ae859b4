"""The same numbers on any number of devices, processes and MPI ranks, to 1e-10 in float64."""

from pathlib import Path

import numpy as np
import pytest
from launching import NEEDS_MPI, launched, own_flags

from . import problems

SCRIPT = Path(problems.__file__)
pytestmark = pytest.mark.xdist_group("invariance")  # all compare with one device


@pytest.fixture(scope="module")
def one_device():
    return problems.results(1)


def agree(actual, expected):
    for name, value in expected.items():
        if not name.startswith("local/"):
            # Decompositions amplify rounding: 1e-8 of the first loss, and the same radii.
            exact = {"second/loss": 1e-8, "second/damping": 1e-3}.get(name, 1e-10)
            np.testing.assert_allclose(actual[name], value, rtol=1e-10, atol=exact, err_msg=name)


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.parametrize("devices", [3, 8])
def test_devices_of_one_process(devices, one_device):
    agree(problems.results(devices), one_device)


def each_of(arguments, folder, quick):
    """Each process's results after `tangrax launch`; where two are compiled as users' are, three are as the tests."""
    env = {"XLA_FLAGS": own_flags()} if quick else {}
    launched(arguments, [SCRIPT, folder / "RANK.npz"], **env)
    return [dict(np.load(path)) for path in sorted(folder.glob("*.npz"))]


@pytest.mark.processes
@pytest.mark.parametrize(
    "processes, devices",
    [(2, 2), pytest.param(3, 2, marks=SLOW)],
)
def test_processes(processes, devices, one_device, tmp_path):
    """jax.distributed: every process gets every result, and holds its own points only."""
    each = each_of(["-n", str(processes), "--devices-per-process", str(devices)], tmp_path, processes > 2)
    assert len(each) == processes
    for actual in each:
        agree(actual, one_device)
    points_are_split(each, processes * devices)


@NEEDS_MPI
@pytest.mark.processes
@pytest.mark.parametrize("ranks", [2, pytest.param(3, marks=SLOW)])
def test_ranks(ranks, one_device, tmp_path):
    each = each_of(["-n", str(ranks), "--mpi"], tmp_path, ranks > 2)
    assert len(each) == ranks
    for actual in each:
        agree(actual, one_device)
    points_are_split(each, ranks)


def points_are_split(each, shards):
    for name in problems.PROBLEMS:
        held = [actual[f"local/{name}"] for actual in each]
        count = held[0][1]
        assert sum(local for local, *_ in held) == count, "each point lies in one place"
        assert max(local for local, *_ in held) <= -(-count // shards) * (shards // len(each))
        assert {size for *_, size in held} == {shards}
