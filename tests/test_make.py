"""What workflows, CONTRIBUTING and the commit hooks call is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CALLERS = [
    *("CONTRIBUTING.md", ".github/pull_request_template.md", "docs/testing.md", "README.md", ".ci/run"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))),
]
TARGETS = {
    target
    for line in re.findall(r"^([a-z][a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in line.split()
}


def called(text: str) -> set[str]:
    """Targets of each `make …` in code, and those of a workflow's matrix."""
    commands = re.findall(r"(?:`|^\s*|run: |stage \w+ |&& )make ((?:[a-z][a-z-]*(?: |(?=[`\n])))+)", text, re.MULTILINE)
    lists = re.findall(r"target: \[([^]]*)\]", text)
    single = re.findall(r"target: ([a-z-]+)", text)
    return {name for group in [*commands, *lists, *single] for name in re.findall(r"[a-z][a-z-]*", group)}


@pytest.mark.parametrize("caller", CALLERS)
def test_called_targets_are_in_the_makefile(caller):
    targets = called((ROOT / caller).read_text())
    assert targets, f"{caller} calls no target: is it read rightly?"
    assert targets <= TARGETS, f"{caller} calls {sorted(targets - TARGETS)}, which the Makefile does not have"


def test_a_target_that_is_missing_is_seen():
    text = "run: make lint nothing\n        target: [test-docs, none]\n          - {target: neither, python: 3}\n"
    assert called(text) - TARGETS == {"nothing", "none", "neither"}


def test_paths_of_contributing_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    names = re.findall(r"`((?:src|tests|\.github)/[\w./]*)`", text)
    assert names
    assert not [name for name in names if not (ROOT / name).exists()]


def test_a_release_alone_may_ask_for_an_identity_and_no_workflow_holds_a_token():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        assert "secrets." not in text, path.name
        assert ("id-token: write" in text) == (path.name == "release.yml"), path.name
