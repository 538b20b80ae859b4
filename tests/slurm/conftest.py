"""The Slurm of these tests, a clone to submit from, and results of one process to compare with."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .cluster import Cluster, bare_environment, why_not

ROOT = Path(__file__).parents[2]
# One thread a process: a dozen of them share the machine's cores. Compiled programs are kept, as the Makefile says.
# MPICH's wheel by libfabric and TCP: its UCX, in one start of five, hands PMI an address that is too long for Slurm's
# PMI ("value not properly terminated"), with bytes of other memory in it (MPICH 5.0.2, Slurm 22.05.8).
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
    "MPIR_CVAR_CH4_NETMOD": "ofi",
    "FI_PROVIDER": "tcp",
    **{name: os.environ[name] for name in os.environ if name.startswith(("JAX_COMPILATION", "JAX_PERSISTENT"))},
}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    reason = why_not()
    if reason:
        pytest.skip(f"no Slurm here: {reason}")
    with Cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def clone(tmp_path) -> Path:
    """What a user submits from: a directory with the batch files, the scripts and the environment in it."""
    for name in ("slurm", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """`alone(SCRIPT, *arguments)`: the directory of what one process writes, run once for the same arguments."""

    @functools.cache
    def run(script: str, *arguments: str) -> Path:
        out = tmp_path_factory.mktemp("alone")
        command = [sys.executable, str(ROOT / "scripts" / script), *arguments, "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=bare_environment() | SETTINGS)
        assert done.returncode == 0, done.stdout + done.stderr
        return out

    return run


@pytest.fixture
def say(capsys):
    """Print a line, whatever pytest does with output."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", flush=True)

    return line
