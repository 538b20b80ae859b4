"""SIGKILL at any time: every run goes on to the result of one that was not killed, to the last bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from launching import NEEDS_MPI, environment, running, shared_memory, until

HERE = Path(__file__).parent
WAYS = {"one": [], "two": ["launch", "-n", "2"], "three": ["launch", "-n", "3"], "mpi": ["launch", "--mpi", "-n", "2"]}


class Attempt:
    """The program as one process of two devices, as some processes, or as two MPI ranks; what it says is in a file."""

    def __init__(self, way, out, **more):
        for old in [*out.glob("pid-*"), *out.glob("phase-*")]:
            old.unlink()
        arguments = [str(HERE / "killed.py"), str(out)]
        command = [sys.executable, *(["-m", "tangrax", *WAYS[way]] if WAYS[way] else []), *arguments]
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"} if way == "one" else {}
        env = environment(JAX_PLATFORMS="cpu", OMP_NUM_THREADS="1", **flags, **more)
        env["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [env.get("PYTHONPATH")])])
        env |= {"ATTEMPT": str(out), "TMPDIR": str(out / "tmp")}
        (out / "tmp").mkdir(exist_ok=True)
        self.out, self._said = out, out / "said"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(command, env=env, stdout=said, stderr=subprocess.STDOUT)

    def through(self):
        """To its good end; what it said."""
        assert self.process.wait(timeout=300) == 0, self.said()
        return self.said()

    def said(self):
        return self._said.read_text()

    def phase(self, rank):
        path = self.out / f"phase-{rank}"
        return path.read_text() if path.exists() and (self.out / f"pid-{rank}").exists() else ""

    def writing(self):
        """Whether there is a file that is not whole; nothing removes one before the next attempt."""
        return any((self.out / "checkpoints").glob(".tangrax-*.part"))

    def until(self, happened, seconds=120):
        """Whether something happened before the program ended, or the time was over."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if happened():
                return True
            time.sleep(0.0005)
        return False

    def kill(self, rank):
        """One of the processes or the launcher (None), by SIGKILL; wait for all others to have ended by themselves."""
        pid = self.process.pid if rank is None else int((self.out / f"pid-{rank}").read_text())
        shared = shared_memory(running(f"ATTEMPT={self.out}"))
        os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=120)
        until(lambda: not running(f"ATTEMPT={self.out}"), seconds=60)
        assert all(path.startswith("/dev/shm/mpich_shm_") for path in shared)  # as docs/processes.md says
        for path in shared:
            Path(path).unlink(missing_ok=True)

    def killed(self, kind, dice, ranks):
        """Killed while it compiles, while it writes or at any time; whether it was so, or None if it was through."""
        rank = 0 if kind in ("save", "launcher") else dice.randrange(ranks)
        assert self.until(lambda: self.phase(rank)), self.said()
        if kind == "compile":
            self.until(lambda: self.phase(rank) == "compiling")
            time.sleep(dice.uniform(0, 0.5))
            found = self.phase(rank) == "compiling"
        elif kind == "save":
            self.until(lambda: self.phase(rank) == "training")
            time.sleep(dice.uniform(0, 0.1))
            found = self.until(self.writing)
        else:
            if kind == "launcher":
                self.until(lambda: self.phase(rank) == "training")
            time.sleep(dice.uniform(0, 6))
            found = True
        if self.process.poll() is not None:
            assert self.process.returncode == 0, self.said()
            return None
        self.kill(None if kind == "launcher" else rank)
        return found and (kind != "save" or self.writing())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "ranks", "plan"),
    [
        ("one", 1, ["save"] * 6 + ["compile"] * 5 + ["any"] * 7),
        ("three", 3, ["save"] * 4 + ["compile"] * 3 + ["any"] * 5),
        pytest.param("mpi", 2, ["save"] * 4 + ["compile"] * 3 + ["any"] * 5, marks=NEEDS_MPI),
        ("two", 2, ["launcher"] * 3),
        pytest.param("mpi", 2, ["launcher"] * 2, marks=NEEDS_MPI),
    ],
)
def test_killed_again_and_again(way, ranks, plan, tmp_path):
    """Adam, points that move and weights that balance; what is written at the end is that of a whole run."""
    whole, out = tmp_path / "whole", tmp_path / "broken"
    for path in (whole, out):
        path.mkdir()
    Attempt(way, whole).through()
    dice = random.Random(way)
    dice.shuffle(plan)
    done = dict.fromkeys(plan, 0)
    for kind in plan:
        fresh = {"JAX_ENABLE_COMPILATION_CACHE": "0"} if kind == "compile" else {}
        found = Attempt(way, out, PAUSE="0.3", **fresh).killed(kind, dice, ranks)
        if found is None:
            break  # it was through before
        done[kind] += found
    said = Attempt(way, out).through()
    assert "looking for the one before" not in said  # no checkpoint that could not be read
    one, other = np.load(whole / "done.npz"), np.load(out / "done.npz")
    assert set(one.files) == set(other.files)
    print(f"{way}: killed {done}")
    for name in one.files:
        np.testing.assert_array_equal(other[name], one[name], err_msg=name)
    assert min(done.values()) >= 1
    assert not list((out / "tmp").iterdir()) and not list(out.rglob(".*"))
