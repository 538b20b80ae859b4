"""Where and by what a run was started."""

import importlib.metadata
import platform
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from jax.sharding import Mesh

PACKAGES = ("tangrax", "jax", "jaxlib", "equinox", "optax", "numpy")


def environment(mesh: Mesh, processes: int, epoch: int, end: int) -> dict[str, Any]:
    """Time, command, machine, devices, versions and git state of a start, which trains from an epoch to another."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "epochs": [epoch, end],
        "command": sys.argv,
        "host": platform.node(),
        "processes": processes,
        "devices": [str(device) for device in mesh.devices.flat],
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "git": git_state(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit of the working directory, and whether files differ from it; None where there is no repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
