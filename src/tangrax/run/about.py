"""What is run: the problem, and where and by what it was started."""

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ..expr import PointSet, all_nodes, ops, outline as outline_of_nodes
from ..parallel import digest
from ..solve import Parameters, Terms

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


def outline(terms: Terms, rules: Sequence[str], dtype: Any, parameters: Parameters) -> list[str]:
    """The problem, but for its points, trackers and what is trained, in lines that are the same everywhere."""
    lines = [*terms.outline(watched=False), *rules, f"trained in {dtype}"]
    for trainable, name in terms.in_losses.items():
        lines.append(f"'{name}' of {len(trainable.leaf_names)} arrays {list(trainable.leaf_shapes)}")
        if trainable.constants:
            lines.append(f"'{name}' with constants {' '.join(digest(each)[:8] for each in trainable.constants)}")
        if trainable not in terms.trained:
            leaves = map(np.asarray, jax.tree.leaves(parameters[trainable]))
            lines.append(f"'{name}' as it is, {' '.join(digest(leaf)[:8] for leaf in leaves)}")
    return lines


def outline_of_points(names: Mapping[str, PointSet], writes: bool) -> list[str]:
    """The same of the points; other processes than the one that writes may hold other points, and use those of it."""
    digests = {name: digest(tag.rows)[:16] if writes else "" for name, tag in names.items()}
    return [f"{len(tag)} points '{name}' of {tag.domain}, {digests[name]}" for name, tag in names.items()]


def outline_of_trackers(
    terms: Terms, known: Container[PointSet], parameters: Parameters, writes: bool
) -> dict[str, str]:
    """A digest of what each tracker records: its nodes, and the networks and points that no term holds."""
    found = {}
    for name, tracker in terms.trackers.items():
        lines = outline_of_nodes([tracker.root])
        operations = [node.op for node in all_nodes([tracker.root])]
        held = dict.fromkeys(op.trainable for op in operations if isinstance(op, ops.Call))
        others = [parameters[trainable] for trainable in held if trainable not in terms.in_losses]
        lines += [digest(np.asarray(leaf)) for leaf in jax.tree.leaves(others)]
        tags = {op.points.tag: op.points for op in operations if isinstance(op, ops.Coordinate)}
        lines += [digest(tag.rows) for tag in tags.values() if writes and tag not in known]
        found[name] = digest(np.frombuffer("\n".join(lines).encode(), np.uint8))[:16]
    return found


def git_state() -> dict[str, Any] | None:
    """Commit of the working directory, and whether files differ from it; None where there is no repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=10).stdout.strip()
