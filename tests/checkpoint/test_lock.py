"""The lock of a run's directory: who is kept out, who is not, and who holds it. The kernel is the oracle."""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import threading
import time

import pytest
from launching import forked

from tangrax.checkpoint.run_directory import LOCK, RUNNING, RunDirectory


def refused(path, pid=None):
    with pytest.raises(ValueError, match=f"in use by process {pid or os.getpid()} on {socket.gethostname()}: wait"):
        RunDirectory(path).open()
    return True


def opened(path):
    directory = RunDirectory(path)
    directory.open()
    return directory


class Child:
    """A fork that does something, says so, and waits until it is killed."""

    def __init__(self, act=lambda: None):
        receiver, tell = os.pipe()

        def acts():
            act()
            os.write(tell, b"!")
            signal.pause()

        self.pid = forked(acts)
        assert os.read(receiver, 1) == b"!"
        os.close(receiver)
        os.close(tell)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def test_a_run_starts_whoever_reads(tmp_path):
    """100 starts beside a process that asks without a pause whether one is going on."""
    asks = RunDirectory(tmp_path)

    def ask():
        threading.Thread(target=lambda: [asks.running for _ in iter(int, 1)], daemon=True).start()

    opened(tmp_path).close()
    child = Child(ask)
    try:
        for _ in range(100):
            opened(tmp_path).close()
    finally:
        child.kill()


def test_a_reader_that_is_slow_is_waited_for(tmp_path):
    """It holds what is asked for 0.1 s: the run starts, and is seen to be running."""
    opened(tmp_path).close()
    with (tmp_path / RUNNING).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        directory = opened(tmp_path)
        assert RunDirectory(tmp_path).running
        directory.close()
        assert not RunDirectory(tmp_path).running


def test_a_reader_that_never_ends_keeps_no_run_out(tmp_path):
    opened(tmp_path).close()
    with (tmp_path / RUNNING).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        directory = opened(tmp_path)
        assert refused(tmp_path)
        directory.close()


def test_a_child_does_not_hold_the_lock(tmp_path):
    """It lives on when the run has ended; and when the run was killed."""
    directory = opened(tmp_path)
    first = Child()
    directory.close()
    opened(tmp_path).close()
    assert not RunDirectory(tmp_path).running
    pids = tmp_path / "pids"

    def run():
        opened(tmp_path)
        pids.write_text(str(Child().pid))

    second = Child(run)
    assert refused(tmp_path, second.pid)
    second.kill()
    try:
        os.kill(int(pids.read_text()), 0)  # its child is there
        opened(tmp_path).close()
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)
        first.kill()


def test_a_child_that_ends_leaves_the_lock_to_its_parent(tmp_path):
    """Also where it goes through what the parent would do at its end."""
    directory = opened(tmp_path)
    child = Child(directory.close)
    assert refused(tmp_path) and RunDirectory(tmp_path).running
    child.kill()
    assert refused(tmp_path)
    directory.close()


def descriptor(path):
    """The descriptor at which this process has a file open."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the list itself is closed by now
            if os.path.samestat(os.fstat(int(name)), path.stat()):
                return int(name)
    raise FileNotFoundError(path)


def test_a_copy_of_the_descriptor_does_not_hold_the_lock(tmp_path):
    """As a fork by a library has one, of which Python does not know."""
    directory = opened(tmp_path)
    copy = os.dup(descriptor(tmp_path / LOCK))
    directory.close()
    opened(tmp_path).close()
    os.close(copy)


def test_reading_and_copying_the_directory_does_not_lose_the_lock(tmp_path):
    """In the process that holds it, where a lock of `fcntl` would be lost."""
    directory = opened(tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert (tmp_path / "run" / LOCK).read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    assert refused(tmp_path / "run")
    opened(tmp_path / "copy").close()
    child = Child(lambda: refused(tmp_path / "run", os.getppid()))
    child.kill()
    directory.close()


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"cannot be written \(its file system locks no files: No locks available\)"):
        opened(tmp_path)


def test_starts_at_the_same_time_have_one_winner(tmp_path):
    """Of eight threads; and each of them has its turn after the others."""
    held, won = threading.Lock(), []

    def start():
        while True:
            try:
                directory = opened(tmp_path)
            except ValueError:
                time.sleep(0.001)
                continue
            assert held.acquire(blocking=False)
            won.append(directory)
            held.release()
            directory.close()
            return

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 8
