"""Every Python block in the documents runs, page by page, and every script solves what it says it solves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from tangrax import parallel

matplotlib.use("Agg")
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # Pages call tx.setup, whose choices hold for the process.
    monkeypatch.setattr(sys.modules["tangrax.parallel.setup"], "_settings", parallel.Settings())
    space = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        exec(compile(block, page.name, "exec"), space)


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "script",
    [
        "heat",
        "inverse",
        "two_networks",
        "groups",
        "round_off",
        "shock",
        "batches --points 2000 --batch 300 --seconds 2",
        "balance",
        "cylinder",
        "l_shape",
        "part",
        "marching --end 1 --slabs 2 --epochs 10 --points 40",
        "gallery",
    ],
)
def test_script(script, tmp_path):
    env = {**os.environ, "XLA_FLAGS": ""}
    name, *arguments = script.split()
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), "--devices", "3", "--emulate", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
