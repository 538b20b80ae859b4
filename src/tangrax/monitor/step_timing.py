"""Timing of parts of a compiled epoch, by comparison: trackers, and the all-reduce of a step.

All processes take part, and run the same programs the same number of times.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..parallel import Collectives, Transport
from ..solve import Loop, State
from ..solve.compiled_loop import LONGEST, fired_before

SECONDS = 0.2  # that one timing takes, if it can be chosen
MOST, LEAST = 7, 2  # how often each is timed; the fastest counts


@dataclass(frozen=True)
class StepTiming:
    """Seconds of an epoch without trackers, of trackers each time they are due by their interval, of an all-reduce."""

    epoch: float
    trackers: dict[int, float]
    all_reduce: float
    numbers: int  # in the all-reduce
    devices: int

    def shares(self, spans: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """Return the shares of trackers in the time of spans of epochs, and of communication in that of their steps."""
        steps = self.epoch * sum(stop - start for start, stop in spans)
        tracking = sum(
            seconds * sum(fired_before(stop, k) - fired_before(start, k) for start, stop in spans)
            for k, seconds in self.trackers.items()
        )
        return tracking / (tracking + steps), min(1.0, self.all_reduce / self.epoch)

    def as_json(self) -> dict[str, Any]:
        return {
            "epoch_seconds": self.epoch,
            "tracker_seconds": {str(interval): seconds for interval, seconds in self.trackers.items()},
            "all_reduce_seconds": self.all_reduce,
            "all_reduce_numbers": self.numbers,
        }

    def how_communication(self) -> str:
        if self.devices == 1:
            return "one device: none"
        share = min(1.0, self.all_reduce / self.epoch)
        return f"after training: one all-reduce of {self.numbers:,} numbers, {share:.1%} of a step"


def time_step(loop: Loop, state: State, last: State, seconds_per_epoch: float) -> StepTiming:
    """Time a loop from a state that stays as it is, on all processes; an epoch took about `seconds_per_epoch`."""
    transport = loop.transport
    bare = loop.without_trackers()
    intervals = sorted({tracker.interval for tracker in loop.problem.trackers})
    count = _agreed(transport, min(LONGEST, max(1, round(SECONDS / seconds_per_epoch))))

    def run(which: Loop, first: int, epochs: int) -> Callable[[], Any]:
        return lambda: which.program(*which.arguments(state, last, first, epochs))

    (epoch,) = _fastest(transport, [run(bare, 1, count)])
    trackers: dict[int, float] = {}
    for place, interval in enumerate(intervals):
        # From where it is due until one that is due more seldom would be: what is due more often is known by then.
        later = intervals[place + 1] if place + 1 < len(intervals) else interval + count
        end = interval + max(1, min(count, later - interval))
        with_them, without = _fastest(
            transport, [run(loop, interval, end - interval), run(bare, interval, end - interval)]
        )
        fired = {k: fired_before(end, k) - fired_before(interval, k) for k in (*trackers, interval)}
        others = sum(fired[k] * seconds for k, seconds in trackers.items())
        trackers[interval] = max(0.0, (with_them - without - others) / fired[interval])
    leaves = jax.tree.leaves(state.parameters)
    numbers = sum(leaf.size for leaf in leaves) + len(loop.problem.names)
    reduced = _all_reduce(transport, numbers, leaves[0].dtype) if transport.size > 1 else 0.0
    return StepTiming(epoch / count, trackers, reduced, numbers, transport.size)


def _all_reduce(transport: Transport, numbers: int, dtype: Any) -> float:
    """Return the seconds of one all-reduce of so many numbers."""

    def program(collectives: Collectives, sharded: Any, replicated: Any) -> tuple[Any, Any]:
        values, count = replicated
        one = lambda _, values: collectives.sum(values) / collectives.size  # noqa: E731
        return jax.lax.fori_loop(0, count, one, values), sharded

    compiled = transport.spmd(program, "timing an all-reduce")
    values = transport.replicate(jnp.ones(numbers, dtype))

    def run(count: int) -> Callable[[], Any]:
        repeats = transport.replicate(np.int32(count))
        return lambda: compiled((), (values, repeats))

    few = 5
    (seconds,) = _fastest(transport, [run(few)])
    count = _agreed(transport, max(few, min(LONGEST, round(few * SECONDS / 2 / seconds))))
    (seconds,) = _fastest(transport, [run(count)])
    return seconds / count


def _fastest(transport: Transport, calls: Sequence[Callable[[], Any]]) -> list[float]:
    """Return the seconds of each call, timed in turns, so that a busy moment meets all of them alike."""
    for call in calls:
        jax.block_until_ready(call())  # compiles
    rounds = [[_seconds(call) for call in calls]]
    for _ in range(_agreed(transport, max(LEAST, min(MOST, round(5 * SECONDS / sum(rounds[0]))))) - 1):
        rounds.append([_seconds(call) for call in calls])
    return np.min(rounds, axis=0).tolist()


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def _agreed(transport: Transport, count: int) -> int:
    """Return the first process's count on every process: clocks differ, and all must do the same."""
    return int(transport.peers.exchange("what is timed", lambda: str(count))[0])
