"""Provenance of a run: fingerprints of its problem, and the environment of each start."""

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.typing import DTypeLike

from ..expr import PointSet, all_nodes, fingerprint as fingerprint_of_nodes, ops
from ..optim import Parameters
from ..parallel import digest
from ..processes import versions
from ..solve import Terms

SETTINGS = ("core.fileMode", "core.symlinks", "core.autocrlf", "core.eol")  # settings that say what a difference is


def environment(mesh: Mesh, processes: int, epoch: int, end: int) -> dict[str, Any]:
    """Return time, command, machine, devices, versions and git state of a start that trains from `epoch` to `end`."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "epochs": [epoch, end],
        "command": sys.argv,
        "host": platform.node(),
        "processes": processes,
        "devices": [str(device) for device in mesh.devices.flat],
        "python": platform.python_version(),
        "versions": versions(),
        "git": git_state(),
    }


def fingerprint(terms: Terms, rules: Sequence[str], dtype: DTypeLike, parameters: Parameters) -> list[str]:
    """Return lines that identify a problem, without points, trackers and trained values; the same on every machine."""
    lines = [*terms.fingerprint(watched=False), *rules, f"trained in {dtype}"]
    for trainable, name in terms.in_losses.items():
        lines.append(f"'{name}' of {len(trainable.leaf_names)} arrays {list(trainable.leaf_shapes)}")
        if trainable.constants:
            lines.append(f"'{name}' with constants {' '.join(digest(array)[:8] for array in trainable.constants)}")
        if trainable not in terms.trained:
            leaves = map(np.asarray, jax.tree.leaves(parameters[trainable]))
            lines.append(f"'{name}' as it is, {' '.join(digest(leaf)[:8] for leaf in leaves)}")
    return lines


def fingerprint_of_points(names: Mapping[str, PointSet], writes: bool) -> list[str]:
    """Return lines that identify the points of the writing process, whose points all others use."""
    digests = {name: digest(tag.rows)[:16] if writes else "" for name, tag in names.items()}
    return [f"{len(tag)} points '{name}' of {tag.domain}, {digests[name]}" for name, tag in names.items()]


def fingerprint_of_trackers(
    terms: Terms, known: Container[PointSet], parameters: Parameters, writes: bool
) -> dict[str, str]:
    """Return a digest of what each tracker records: its nodes, and the networks and points that no term holds."""
    digests = {}
    for name, tracker in terms.trackers.items():
        lines = fingerprint_of_nodes([tracker.root])
        operations = [node.op for node in all_nodes([tracker.root])]
        trainables = dict.fromkeys(op.trainable for op in operations if isinstance(op, ops.Call))
        others = [parameters[trainable] for trainable in trainables if trainable not in terms.in_losses]
        lines += [digest(np.asarray(leaf)) for leaf in jax.tree.leaves(others)]
        tags = {op.points.tag: op.points for op in operations if isinstance(op, ops.Coordinate)}
        lines += [digest(tag.rows) for tag in tags.values() if writes and tag not in known]
        digests[name] = digest(np.frombuffer("\n".join(lines).encode(), np.uint8))[:16]
    return digests


def git_state() -> dict[str, Any] | None:
    """Return the commit of the working directory, and whether files differ from it (None: not known); None without one.

    A repository's settings name programs that git starts: monitors, hooks, filters, ways to fetch what is missing. The
    directory may be someone else's, so git compares its files as those of a repository without settings.
    """
    try:
        commit, *places = _git(
            {}, "rev-parse", "HEAD", "--show-toplevel", "--git-path", "index", "--git-path", "objects"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    try:
        return {"commit": commit, "changed": _changed(commit, *map(os.path.abspath, places))}
    except (OSError, TypeError, subprocess.SubprocessError):
        return {"commit": commit, "changed": None}


def _changed(commit: str, files: str, index: str, objects: str) -> bool:
    """Return whether files differ from a commit, by its objects and the index alone; submodules are left out."""
    settings = [f"{name}={value}" for name in SETTINGS for value in _git({}, "config", "--default", "", name) if value]
    with tempfile.TemporaryDirectory() as bare:
        (Path(bare) / "refs").mkdir()
        (Path(bare) / "HEAD").write_text(f"{commit}\n")
        variables = {"GIT_DIR": bare, "GIT_WORK_TREE": files, "GIT_INDEX_FILE": index, "GIT_OBJECT_DIRECTORY": objects}
        options = [word for setting in (*settings, "core.fsmonitor=false") for word in ("-c", setting)]
        status = "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"
        return bool(_git({**variables, "GIT_OPTIONAL_LOCKS": "0"}, *options, *status))


def _git(more: Mapping[str, str], *words: str) -> list[str]:
    run = subprocess.run(
        ["git", *words], capture_output=True, text=True, check=True, timeout=10, env={**os.environ, **more}
    )
    return run.stdout.splitlines()
