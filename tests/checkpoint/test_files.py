"""What is written to, and what never is; the oracles are the kernel's: kinds of files, permissions, who is alive."""

import os
import signal
import socket
import stat

import numpy as np
import optax
import pytest
from launching import forked

import tangrax as tx
from tangrax import report
from tangrax.checkpoint.atomic_files import atomic_write, clean
from tangrax.report import write_report
from tangrax.starter import write_starter


def killed_while_it_writes(path):
    def act():
        with atomic_write(path) as file:
            file.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

    _, status = os.waitpid(forked(act), 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def parts(folder):
    return sorted(path.name for path in folder.glob(".tangrax-*.part"))


def test_what_a_killed_process_left_is_removed_at_the_next_write(tmp_path):
    """Whatever it was of. What is being written now stays, and files of names that are no temporary's."""
    killed_while_it_writes(tmp_path / "a.npz")
    killed_while_it_writes(tmp_path / "a.npz")
    assert len(parts(tmp_path)) == 1 and not (tmp_path / "a.npz").exists()  # the second removed the first's
    others = [".tangrax-note.part", ".a.npz.old", ".tangrax-0123456789abcdef.part.txt"]
    for name in others:
        (tmp_path / name).write_text("mine")
    receiver, go = os.pipe()

    def writing():
        with atomic_write(tmp_path / "other"):
            os.close(receiver)
            os.write(go, b"!")
            signal.pause()

    child = forked(writing)
    os.read(receiver, 1)
    with atomic_write(tmp_path / "slow") as slow:
        slow.write(b"first")
        with atomic_write(tmp_path / "b.npz") as file:
            file.write(b"second")
        living = parts(tmp_path)
        assert len(living) == 3 and ".tangrax-note.part" in living  # the slow one's and the child's
    assert (tmp_path / "slow").read_bytes() == b"first" and (tmp_path / "b.npz").read_bytes() == b"second"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    clean(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*others, "b.npz", "slow"])


def test_a_temporary_is_removed_only_if_it_is_a_regular_file(tmp_path):
    """A link of such a name, and a directory and a pipe: left alone, and nothing waits for the pipe."""
    aim = tmp_path / "aim"
    aim.write_text("mine")
    names = [f".tangrax-{digit * 16}.part" for digit in "abc"]
    (tmp_path / names[0]).symlink_to(aim)
    (tmp_path / names[1]).mkdir()
    os.mkfifo(tmp_path / names[2])
    clean(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "aim"]) and aim.read_text() == "mine"


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("before")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["a.npz"] and path.read_text() == "before"


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002])
def test_files_have_the_permissions_of_any_file(mask, tmp_path):
    """Also while they are written."""
    before = os.umask(mask)
    try:
        with atomic_write(tmp_path / "ours") as file:
            early = os.fstat(file.fileno()).st_mode
        (tmp_path / "any").touch()
    finally:
        os.umask(before)
    ours, any_file = ((tmp_path / name).stat().st_mode for name in ("ours", "any"))
    assert ours == early == any_file == stat.S_IFREG | 0o666 & ~mask


def test_the_umask_is_never_set(tmp_path, monkeypatch):
    """It is that of all threads: files that others make in that moment would be anyone's to write to."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is set"))
    with atomic_write(tmp_path / "a"):
        pass
    assert (tmp_path / "a").exists()


# What is no file


@pytest.fixture(scope="module")
def solver():
    x, _ = tx.domain.line(n=4).variable("interior")
    u = tx.nn.mlp(1, width=2, depth=1)(x)
    return tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1), u


@pytest.fixture(scope="module")
def run_dir(solver, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "one"
    solver[0].solve(1, progress=False, run_dir=path)
    return path


def device(path):
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 7))  # that of /dev/full
    except PermissionError:
        pytest.skip("only root makes devices")


def served(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # 108 bytes at most


MAKE = {
    "symbolic link": lambda path: path.symlink_to(path.with_name("aim")),
    "pipe": os.mkfifo,
    "socket": served,
    "device": device,
    "directory": os.mkdir,
}


@pytest.mark.parametrize("kind", MAKE)
def test_nothing_takes_the_place_of_what_is_no_regular_file(kind, solver, run_dir, tmp_path, monkeypatch):
    """By any writer: a solver, a field, a report, a picture, rows, a program to start from."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "aim").write_text("mine")
    axes = report.spectrum(np.array([2.0, 1.0]), 0.0)
    writers = {
        "a.npz": solver[0].save,
        "a.csv": lambda path: solver[0].export(path, {"u": solver[1]}),
        "a.html": lambda path: write_report(run_dir, path),
        "a.png": lambda path: report.save(axes, path),
        "rows.csv": tx.sinks.csv,
        "rows.jsonl": tx.sinks.json_lines,
    }
    for name, write in writers.items():
        path = tmp_path / name
        MAKE[kind](path)
        before = path.lstat()
        words = kind if kind != "directory" or name.startswith("rows") else "name of a file in a directory that exists"
        with pytest.raises(ValueError, match=words):
            write(path)
        assert path.lstat() == before
    MAKE[kind](tmp_path / "train.py")
    with pytest.raises(FileExistsError, match=r"train.py is there: give another directory"):
        write_starter(tmp_path)
    with pytest.raises(FileExistsError, match=kind), atomic_write(tmp_path / "train.py"):
        raise AssertionError
    assert (tmp_path / "aim").read_text() == "mine" and not parts(tmp_path)


def test_a_link_to_nothing_is_not_followed(solver, tmp_path):
    for name in ("a.npz", "train.py"):
        (tmp_path / name).symlink_to(tmp_path / "absent")
    with pytest.raises(ValueError, match="a symbolic link"):
        solver[0].save(tmp_path / "a.npz")
    with pytest.raises(FileExistsError):
        write_starter(tmp_path)
    assert not (tmp_path / "absent").exists() and len(os.listdir(tmp_path)) == 2


def test_pictures_are_written_whole(tmp_path):
    """A format that matplotlib does not know: what was there stays. Without a suffix, `.png` is the name returned."""
    axes = report.spectrum(np.array([2.0, 1.0]), 0.0)
    (tmp_path / "a.xyz").write_text("before")
    with pytest.raises(ValueError, match="xyz"):
        report.save(axes, tmp_path / "a.xyz")
    assert report.save(axes, tmp_path / "b") == tmp_path / "b.png"
    assert sorted(os.listdir(tmp_path)) == ["a.xyz", "b.png"] and (tmp_path / "a.xyz").read_text() == "before"
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
