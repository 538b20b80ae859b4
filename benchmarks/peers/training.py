"""A cell: one library trains one problem for so many seconds, with looks at the error that are not counted.

Seconds are of CPU, of all threads of the process, which is held to one core. What comes before the first step is done,
above all compilation, is apart from what training takes after it.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .facts import Problem, Weights, read

FIRST, GROWTH = 0.25, 1.3  # seconds until the first look, and the ratio of seconds of two looks
State = tuple[Weights, Mapping[str, float]]


class Looks:
    """Errors against steps and seconds of training, and when to look next."""

    def __init__(self, problem: Problem, allowed: float):
        self.allowed = allowed
        self._problem, self._next = problem, FIRST
        self.record: dict[str, list[float]] = {"seconds": [], "steps": [], "errors": []}

    def due(self, seconds: float) -> bool:
        return seconds >= min(self._next, self.allowed)

    def add(self, steps: int, seconds: float, state: State) -> None:
        found = steps, seconds, self._problem.error(*state)
        for name, value in zip(("steps", "seconds", "errors"), found, strict=True):
            self.record[name].append(value)
        self._next = max(self._next, seconds) * GROWTH

    def over(self, seconds: float) -> bool:
        return seconds >= self.allowed

    def steps_until_next(self, steps: int, seconds: float) -> int:
        """How many steps lead to the next look, by the rate so far; at most four times the steps until now."""
        ahead = min(self._next, self.allowed) - seconds
        return max(1, min(4 * steps, round(ahead * steps / seconds))) if seconds else 1


def follow(advance: Callable[[int], float], state: Callable[[], State], looks: Looks) -> float:
    """Train by `advance(steps)`, which returns seconds of these steps; return the seconds that came before training.

    The first step is not counted as training: with it a library compiles.
    """
    began = time.process_time()
    advance(1)
    before = time.process_time() - began
    steps, seconds = 0, 0.0
    while not looks.over(seconds):
        count = looks.steps_until_next(steps, seconds)
        seconds += advance(count)
        steps += count
        if looks.due(seconds):
            looks.add(steps, seconds, state())
    return before


def clocked(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def cell(train: Callable[[Problem, Looks], dict[str, object]]) -> None:
    """Run what the command line names, a file of a problem and seconds, and print what was found as one line of JSON.

    `train` gives the loss before the first step, which must be the same in all libraries, and seconds before training.
    """
    path, allowed = sys.argv[1:3]
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    looks = Looks(read(Path(path)), float(allowed))
    found = train(read(Path(path)), looks)
    print("\n" + json.dumps({**found, **looks.record}), flush=True)
