"""A run's directory among files of others: only what a run has written is removed, written over or waited for."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from run_problem import make

from tangrax.analysis import read_record
from tangrax.checkpoint.run_directory import RunDirectory

MINE = [
    ".package.json.swp",
    ".data.npz.old",
    "data.npz",
    ".run.json.bak",
    "checkpoints/model.pt",
    "checkpoints/.epoch-000000001.npz.rsync",
    "checkpoints/epoch-7.npz",
    "history/12.npz",
    "history/000000012.npz.old",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has ended, for tests that change nothing in it."""
    path = tmp_path_factory.mktemp("runs") / "one"
    make().solve(4, progress=False, run_dir=path, checkpoint_every=2)
    return path


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_in_a_directory_with_other_files_leaves_them(tmp_path, monkeypatch):
    """Those that look like ours too, over checkpoints, pruning, going on and going back."""
    monkeypatch.chdir(tmp_path)
    for name in MINE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    directory = RunDirectory(Path("."))
    for _ in range(2):
        directory.open()
        directory.describe({}, {})
        for epoch in range(1, 16):
            directory.write_history(epoch, {}, {})
            directory.write_shown({}, {})
            directory.write(epoch, {}, {}, end=False)
            directory.prune(1)
        assert directory.epochs() == [15] and directory.begin(14, 15) == 14 and directory.epochs() == []
        assert directory.forget(0) == 0
        directory.close()
    assert {name: (tmp_path / name).read_text() for name in MINE} == {name: name for name in MINE}


def link(path):
    path.with_name("aim").write_text("")
    path.symlink_to(path.with_name("aim"))


CASES = [
    ("lock", link, r"lock \(a symbolic link\)"),
    ("lock", os.mkfifo, r"lock \(a pipe\)"),
    ("lock", os.mkdir, r"lock \(a directory\)"),
    ("lock", lambda path: path.write_text("of another program"), "holds lock,"),
    ("running", link, r"running \(a symbolic link\)"),
    ("running", lambda path: path.write_text("42"), "holds running,"),
    ("run.json", lambda path: path.write_text('{"scripts": {}}'), "holds run.json,"),
    ("run.json", lambda path: path.write_text("no JSON"), "holds run.json,"),
    ("run.json", os.mkfifo, r"run.json \(a pipe\)"),
    ("shown.npz", lambda path: path.write_text("mine"), "holds shown.npz,"),
    ("shown.npz", link, r"shown.npz \(a symbolic link\)"),
]


@pytest.mark.parametrize("name, put, words", CASES, ids=lambda each: getattr(each, "__name__", each))
def test_what_no_run_has_written_is_not_written_over(name, put, words, tmp_path):
    put(tmp_path / name)
    before = files(tmp_path), sorted(os.listdir(tmp_path))
    with pytest.raises(ValueError, match=words):
        RunDirectory(tmp_path).open()
    assert (files(tmp_path), sorted(os.listdir(tmp_path))) == before


def test_a_profile_takes_the_place_of_none_but_its_own(tmp_path):
    """In its own directory, and in that of the run."""
    for name, arguments in (("run", {"profile": tmp_path / "new"}), ("profiles", {"profile": tmp_path / "profiles"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "profile.json").write_text('{"user": "me"}')
        with pytest.raises(ValueError, match=f"{name}/profile.json is no profile"):
            make().solve(2, progress=False, run_dir=tmp_path / "run", **arguments)
        (tmp_path / "run" / "profile.json").unlink(missing_ok=True)
    (tmp_path / "run" / "profile.json").symlink_to(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"run/profile\.json is no profile"):
        make().solve(2, progress=False, run_dir=tmp_path / "run", profile=tmp_path / "new")
    assert not (tmp_path / "run" / "lock").exists()


@pytest.mark.parametrize("left", [[], ["lock"], ["lock", "running"], ["checkpoints", "history"]])
def test_a_start_that_was_killed_is_no_other_s(left, tmp_path):
    """What there is after each step of a start."""
    for name in left:
        (tmp_path / name).mkdir() if name in ("checkpoints", "history") else (tmp_path / name).touch()
    directory = RunDirectory(tmp_path)
    directory.open()
    directory.close()


def test_a_run_whose_description_is_damaged_goes_on(tmp_path):
    """By its checkpoint, also where the locks are gone; the description is written anew."""
    directory = RunDirectory(tmp_path)
    directory.open()
    directory.write(2, {}, {}, end=True)
    directory.close()
    (tmp_path / "run.json").write_text("{")
    (tmp_path / "lock").unlink()
    directory.open()
    directory.describe({}, {"time": "now"})
    directory.close()
    assert directory.epochs() == [2] and json.loads((tmp_path / "run.json").read_text())["starts"] == [{"time": "now"}]


@pytest.mark.parametrize("name", ["lock", "running", "shown.npz", "profile.json", "history/000000001.npz"])
def test_readers_do_not_wait_for_pipes(name, finished, tmp_path):
    """Each in the place of what a run has there: the rest is read."""
    for path in finished.rglob("*"):
        copy = tmp_path / path.relative_to(finished)
        copy.mkdir() if path.is_dir() else copy.write_bytes(path.read_bytes())
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    record, whole = read_record(tmp_path), read_record(finished)
    assert not record.running
    np.testing.assert_array_equal(record.history["loss"], whole.history["loss"])


def test_a_checkpoint_that_is_a_pipe_is_none(finished, tmp_path):
    directory = RunDirectory(tmp_path)
    directory.open()
    os.mkfifo(tmp_path / "checkpoints" / "epoch-000000009.npz")
    assert directory.epochs() == []
    directory.close()


def test_a_directory_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    """Training would begin anew. (Root reads all: the refusal is put in place of the kernel's.)"""
    directory = RunDirectory(tmp_path)
    directory.open()

    def listdir(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(PermissionError):
        directory.epochs()
    directory.close()
