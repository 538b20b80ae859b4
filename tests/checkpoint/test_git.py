"""What a run says of the repository that it is started in: git's own status is the oracle, and what it would start."""

import os
import shutil
import subprocess

import pytest

from tangrax.checkpoint.provenance import git_state

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]


@pytest.fixture
def git(tmp_path, monkeypatch):
    """git in a repository of two files, with no settings but its own."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def git(*words):
        person = ("-c", "user.name=n", "-c", "user.email=e")
        return subprocess.run(["git", *person, *words], capture_output=True, text=True, check=True).stdout.strip()

    git("init", "-q")
    for name in ("a.py", "b.py"):
        (folder / name).write_text(name)
    git("add", ".")
    git("commit", "-qm", "first")
    return git


def change_nothing(git, folder): ...


def change_a_file(git, folder):
    (folder / "a.py").write_text("other")


def touch_a_file(git, folder):
    """The same content at another time."""
    (folder / "a.py").write_text("a.py")
    os.utime(folder / "a.py", (1, 1))


def stage_a_file(git, folder):
    change_a_file(git, folder)
    git("add", ".")


def remove_a_file(git, folder):
    (folder / "a.py").unlink()


def add_another(git, folder):
    (folder / "untracked").touch()


def ignore_modes(git, folder):
    git("config", "core.fileMode", "false")
    (folder / "a.py").chmod(0o755)


def heed_modes(git, folder):
    (folder / "a.py").chmod(0o755)


CHANGES = [
    change_nothing,
    change_a_file,
    touch_a_file,
    stage_a_file,
    remove_a_file,
    add_another,
    ignore_modes,
    heed_modes,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_commit_and_changes_are_those_that_git_tells(change, git, tmp_path, monkeypatch):
    """In the repository, in a folder of it, and in a worktree of its own; git's index is left as it was."""
    folder = tmp_path / "repository"
    git("worktree", "add", "-q", "--detach", str(tmp_path / "worktree"))
    (folder / "inside").mkdir()
    for place in (folder, tmp_path / "worktree"):
        monkeypatch.chdir(place)
        change(git, place)
        index = os.path.abspath(git("rev-parse", "--git-path", "index"))
        with open(index, "rb") as file:
            before = file.read()
        state = git_state()
        if place == folder:
            monkeypatch.chdir(folder / "inside")
            assert git_state() == state
        with open(index, "rb") as file:
            assert file.read() == before
        status = git("status", "--porcelain", "--untracked-files=no")
        assert state == {"commit": git("rev-parse", "HEAD"), "changed": bool(status)}


def test_no_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert git_state() is None
    monkeypatch.setenv("PATH", "")
    assert git_state() is None


def monitor(git, program):
    git("config", "core.fsmonitor", program)


def included(git, program):
    with open("settings", "w") as file:
        file.write(f'[core]\n\tfsmonitor = "{program}"\n')
    git("config", "include.path", "../settings")


def of_a_worktree(git, program):
    git("config", "extensions.worktreeConfig", "true")
    git("config", "--worktree", "core.fsmonitor", program)


def hook(git, program):
    os.makedirs(".git/hooks", exist_ok=True)
    shutil.copy(program, ".git/hooks/post-index-change")
    os.utime("b.py", (1, 1))


def clean_filter(git, program):
    with open(".gitattributes", "w") as file:
        file.write("*.py filter=theirs\n")
    git("config", "filter.theirs.clean", program)
    os.utime("a.py", (1, 1))


def process_filter(git, program):
    clean_filter(git, program)
    git("config", "--unset", "filter.theirs.clean")
    git("config", "filter.theirs.process", program)


def missing_objects(git, program):
    """Those of the commit's tree, which git would fetch."""
    tree = git("rev-parse", "HEAD^{tree}")
    os.unlink(f".git/objects/{tree[:2]}/{tree[2:]}")
    for name, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "ssh://absent/there"),
        ("core.sshCommand", program),
        ("ssh.variant", "simple"),
    ):
        git("config", name, value)


def submodule(git, program):
    """One with a monitor of its own."""
    git("init", "-q", "inner")
    git("-C", "inner", "commit", "-q", "--allow-empty", "-m", "inner")
    git("add", "inner")
    git("commit", "-qm", "with a submodule")
    git("-C", "inner", "config", "core.fsmonitor", program)


def value_of_two_lines(git, program):
    """What is kept of the settings must not bring others."""
    git("config", "core.eol", f"lf\ncore.fsmonitor={program}")
    git("config", "core.fsmonitor", program)


ATTACKS = [
    monitor,
    included,
    of_a_worktree,
    hook,
    clean_filter,
    process_filter,
    missing_objects,
    submodule,
    value_of_two_lines,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_program_of_the_repository_is_started(attack, git, tmp_path):
    """And `git status` there starts it, which shows that it would be."""
    ran, program = tmp_path / "ran", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    attack(git, str(program))
    ran.unlink(missing_ok=True)
    state = git_state()
    assert not ran.exists()
    assert len(state["commit"]) == 40 and state["changed"] is (None if attack is missing_objects else False)
    subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], capture_output=True)
    assert ran.exists()
