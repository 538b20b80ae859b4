"""SIGKILL at any time: every run goes on to the result of one that was not killed, to the last bit; nothing is left."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from launching import NEEDS_MPI, environment, running, shared_memory

from tangrax.checkpoint.run_directory import RunDirectory

HERE = Path(__file__).parent
WAYS = {"one": [], "two": ["launch", "-n", "2"], "mpi": ["launch", "--mpi", "-n", "2"]}
# Moments, in the order in which `--kills` takes them: three by default, "any" of runs of one process alone.
KINDS = {"one": ("save", "compile", "any"), "two": ("save", "compile", "launcher", "any")}
KINDS["mpi"] = KINDS["two"]
WHOLE = re.compile(r"run\.json|shown\.npz|lock|running|checkpoints/(epoch|end)-\d{9}\.npz|history/\d{9}\.npz")
OWN = re.compile(r"pid-\d|phase-\d|said|done\.npz")  # of `killed.py` and of this test
MARK = "KILLED_RUN"  # a variable that all processes of an attempt have


class Attempt:
    """The program as one process of two devices, as two processes, or as two MPI ranks; what it says is in a file."""

    def __init__(self, how, way, out, **more):
        out.mkdir(exist_ok=True)
        for old in [*out.glob("pid-*"), *out.glob("phase-*")]:
            old.unlink()
        arguments = [str(HERE / "killed.py"), str(out), how]
        command = [sys.executable, *(["-m", "tangrax", *WAYS[way]] if WAYS[way] else []), *arguments]
        flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"} if way == "one" else {}
        temporary = out.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        env = environment(
            JAX_PLATFORMS="cpu",
            OMP_NUM_THREADS="1",
            PYTHONPATH=os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]),
            TMPDIR=str(temporary),
            **{MARK: str(out)},
            **flags,
            **more,
        )
        self.out, self._said, self.segments = out, out / "said", set()
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
        return any(not WHOLE.fullmatch(f"checkpoints/{path.name}") for path in (self.out / "checkpoints").glob("*"))

    def until(self, happened, seconds=120):
        """Whether something happened before the program ended, or the time was over."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            if happened():
                return True
            time.sleep(0.0005)
        return False

    def kill(self, rank):
        """One of the processes or the launcher (None), by SIGKILL; wait for the others to have ended by themselves."""
        number = self.process.pid if rank is None else int((self.out / f"pid-{rank}").read_text())
        os.kill(number, signal.SIGSTOP)  # looking for segments takes longer than a file is being written
        self.segments = set(map(Path, shared_memory(running(f"{MARK}={self.out}"))))
        os.kill(number, signal.SIGKILL)
        self.process.wait(timeout=120)

    def killed(self, kind, dice, ranks):
        """Killed while it compiles, while it writes or at any time; whether it was so, or None if it was through."""
        rank = 0 if kind == "save" else dice.randrange(ranks)
        assert self.until(lambda: self.phase(rank)), self.said()
        if kind == "compile":
            self.until(lambda: self.phase(rank) == "compiling")
            time.sleep(dice.uniform(0, 0.5))
            reached = self.phase(rank) == "compiling"
        elif kind == "save":
            self.until(lambda: self.phase(rank) == "training")
            time.sleep(dice.uniform(0, 0.1))
            reached = self.until(self.writing)
        else:
            time.sleep(dice.uniform(0, 6))
            reached = True
        if self.process.poll() is not None:
            assert self.process.returncode == 0, self.said()
            return None
        self.kill(None if kind == "launcher" else rank)
        return reached and (kind != "save" or self.writing())

    def living(self, seconds=60):
        """Numbers of those of its processes that have not ended some seconds after it."""
        end = time.monotonic() + seconds
        while (processes := running(f"{MARK}={self.out}")) and time.monotonic() < end:
            time.sleep(0.1)
        return processes


def assert_alike(whole, out):
    """What both have at their end, to the last bit."""
    one, other = np.load(whole / "done.npz"), np.load(out / "done.npz")
    assert set(one.files) == set(other.files)
    for name in one.files:
        np.testing.assert_array_equal(other[name], one[name], err_msg=name)


def assert_nothing_left(out):
    """Files of whole names alone, no lock taken, nothing in the directory for temporaries."""
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert not {name for name in names if not WHOLE.fullmatch(name) and not OWN.fullmatch(name)}
    directory = RunDirectory(out)
    directory.open()  # raises where the lock is taken
    directory.close()
    assert not list((out.parent / "tmp").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "way", "ranks"),
    [
        ("moving", "one", 1),
        ("gauss_newton", "one", 1),
        ("moving", "two", 2),
        pytest.param("moving", "mpi", 2, marks=NEEDS_MPI),
    ],
)
def test_killed_again_and_again(how, way, ranks, tmp_path, request, record_property):
    """Adam, points that move and weights that balance, or Gauss-Newton; a run that was not killed is the oracle.

    `--kills` of them; a run that is through before is looked at, and begun anew.
    """
    whole, out = tmp_path / "whole", tmp_path / "broken"
    Attempt(how, way, whole).through()
    dice = random.Random(f"{how} {way}")
    plan = list(islice(cycle(KINDS[way]), request.config.getoption("--kills")))
    dice.shuffle(plan)
    done, left, ends = dict.fromkeys(plan, 0), 0, 0
    for kind in plan:
        fresh = {"JAX_ENABLE_COMPILATION_CACHE": "0"} if kind == "compile" else {}
        while True:
            attempt = Attempt(how, way, out, PAUSE="0.3", **fresh)
            hit = attempt.killed(kind, dice, ranks)
            assert not attempt.living(), attempt.said()
            if hit is not None:
                break
            assert_alike(whole, out)
            assert_nothing_left(out)
            shutil.rmtree(out)
            ends += 1
        done[kind] += hit
        for segment in filter(Path.exists, attempt.segments):
            assert segment.name.startswith("mpich_shm_")  # MPICH's own, which it names: docs/processes.md
            segment.unlink()
            left += 1
    last = Attempt(how, way, out)
    said = last.through()
    assert "looking for the one before" not in said  # no checkpoint that could not be read
    assert_alike(whole, out)
    assert not last.living()
    assert_nothing_left(out)
    counts = ", ".join(f"{done[kind]} of {plan.count(kind)} during '{kind}'" for kind in done)
    record_property("kills", f"{len(plan)} ({counts}); ends {ends + 1}; segments of MPI left {left}")
    assert sum(done.values()) >= len(plan) / 2  # a moment may be missed, and the kill was at another
