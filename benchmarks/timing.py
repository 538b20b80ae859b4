"""Contestants timed in turn: each in a process that has its own devices, one running at a time.

Needs the standard library only, so that a peer can use it from an environment of its own.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MARK = "answer: "  # before each answer, to tell it from what libraries print
FAREWELL = 10  # seconds that a process has to end by itself
PATIENCE = 300  # seconds without an answer after which a process is given up


class PeerFailed(RuntimeError):
    """A process ended, or was ended, without an answer."""


def serve(contestants: Mapping[str, Callable[[int], Sequence[float]]], notes: Mapping[str, object]) -> None:
    """Run what the parent asks for, one line of JSON each: {"name": …, "epochs": …} -> [wall, CPU] seconds."""

    def answer(value: object) -> None:
        print("\n" + MARK + json.dumps(value), flush=True)

    answer({"names": list(contestants), "notes": dict(notes)})
    for line in sys.stdin:
        request = json.loads(line)
        answer(list(contestants[request["name"]](request["epochs"])))


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call; the latter counts all threads, and no other program on the machine."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


class Worker:
    """A process that serves contestants on a number of emulated devices."""

    def __init__(
        self,
        python: str,
        script: Path,
        devices: int,
        arguments: Sequence[str] = (),
        before: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
    ):
        """`before` is what starts the program, a launcher say; `more` goes into its environment."""
        self._folder = tempfile.TemporaryDirectory()  # some programs write files where they are started
        self._log = Path(self._folder.name) / "stderr.txt"
        environment = {
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            **(more or {}),
        }
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*before, python, str(script), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=self._folder.name,
            )
        greeting = self._answer()
        self.names: list[str] = greeting["names"]
        self.notes: dict[str, object] = greeting["notes"]

    def run(self, name: str, epochs: int) -> tuple[float, float]:
        """Wall and CPU seconds that a contestant took for so many epochs."""
        assert self._process.stdin is not None
        print(json.dumps({"name": name, "epochs": epochs}), file=self._process.stdin, flush=True)
        wall, cpu = self._answer()
        return wall, cpu

    def close(self) -> None:
        assert self._process.stdin is not None
        # A program that a launcher started ends by itself when nobody speaks to it.
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()

    def _answer(self):
        assert self._process.stdout is not None
        guard = threading.Timer(PATIENCE, self._process.kill)
        guard.start()
        line = next((line for line in self._process.stdout if line.startswith(MARK)), "")
        guard.cancel()
        if not line:
            self._process.wait()
            last = self._log.read_text().strip().splitlines()[-1:]
            self.close()
            raise PeerFailed(" ".join([f"no answer, exit code {self._process.returncode}.", *last]))
        return json.loads(line.removeprefix(MARK))


def in_turn(contestants: Sequence[str], rounds: int, run: Callable[[str], float]) -> dict[str, list[float]]:
    """`run(name)` for all of them, round after round; every other round backwards, so that drift favours none."""
    result: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name in contestants if number % 2 == 0 else contestants[::-1]:
            result[name].append(run(name))
    return result


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round: what slowed a whole round of a shared machine cancels."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: Sequence[float], form: str = ".3g") -> str:
    """Median with the smallest and the largest."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:{form}} [{low:{form}} .. {high:{form}}]" if len(values) > 1 else f"{middle:{form}}"


def verdict(values: Sequence[float], target: float, at_least: bool, form: str = ".3g") -> str:
    """The spread, the target beside it, and whether the median meets it."""
    middle = statistics.median(values)
    met = middle >= target if at_least else middle <= target
    sign = ">=" if at_least else "<="
    return f"{spread(values, form)}, target {sign} {target:{form}}: {'met' if met else 'MISSED'}"
