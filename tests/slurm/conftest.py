"""The Slurm of these tests, a clone to submit from, and results of one process to compare with."""

import contextlib
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from .cluster import SETTINGS, Cluster, bare_environment, why_not
from .stopped import begin

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    reason = why_not()
    if reason:
        pytest.skip(f"no Slurm here: {reason}")
    with Cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


def clone_in(folder: Path) -> Path:
    """What a user submits from: a directory with the batch files, the scripts and the environment in it."""
    for name in ("slurm", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture
def clone(tmp_path):
    return clone_in(tmp_path)


@pytest.fixture(scope="session")
def stopped(cluster, tmp_path_factory):
    return begin(cluster, clone_in(tmp_path_factory.mktemp("stopped")))


@pytest.fixture(scope="session", autouse=True)
def stopped_before_all(request):
    """Slurm holds what it has stopped back for two minutes, in which the other tests run.

    What fails here fails the tests that ask for `stopped`.
    """
    if any("stopped" in item.fixturenames for item in request.session.items):
        with contextlib.suppress(Exception):
            request.getfixturevalue("stopped")


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
