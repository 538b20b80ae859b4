"""Results of benchmarks that take long, kept with the commit that they are of."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any


def stored(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `path` holds if it is this commit's, else what `make` gives, written there whole or not at all."""
    at = commit()
    if path.is_file():
        cell = json.loads(path.read_text())
        if cell["commit"] == at and not at.endswith("dirty"):
            return cell
    result = {"commit": at, **make()}
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(result))
    half.replace(path)
    return result


def commit() -> str:
    """The commit that is checked out, and whether files differ from it."""
    result = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return result.stdout.strip() or "unknown"
