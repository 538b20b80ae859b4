"""Verdict on a run of several processes: whether it has to be given up, from the last state of each."""

from collections.abc import Mapping
from dataclasses import dataclass

# Together with the second a verdict needs to be spread, both end a run within a minute.
HEARTBEAT = 40.0
WATCHDOG = 50.0
SETTLE = 2.0  # seconds that what two processes say of themselves may lag behind


@dataclass(frozen=True)
class Limits:
    """Seconds of silence after which a process counts as lost, and seconds that the others wait for one that lives."""

    heartbeat: float = HEARTBEAT
    watchdog: float = WATCHDOG

    def __post_init__(self) -> None:
        for name, value in (("heartbeat", self.heartbeat), ("watchdog", self.watchdog)):
            if not value > 0:
                raise ValueError(f"{name}={value}: a positive number of seconds; inf switches it off")

    @property
    def beat(self) -> float:
        """Seconds between two signs of life."""
        return min(1.0, self.heartbeat / 5)


@dataclass(frozen=True)
class Doing:
    """State of a process: the operation it is inside, or finished last, and for how many seconds.

    Operations are what all processes do together, numbered from 1. One may `fail` on a process that goes on.
    """

    number: int = 0
    name: str = "nothing yet"
    inside: bool = False
    seconds: float = 0.0
    failed: bool = False

    def __str__(self) -> str:
        if self.failed:
            return f"in no operation since {self.number}, '{self.name}', failed on it {self.seconds:.0f} s ago"
        if self.inside:
            return f"in operation {self.number}, '{self.name}', for {self.seconds:.0f} s"
        if not self.number:
            return f"in no operation yet, {self.seconds:.0f} s after it joined"
        return f"in no operation since it finished {self.number}, '{self.name}', {self.seconds:.0f} s ago"


@dataclass(frozen=True)
class Seen:
    """A process as the others see it: its last word, how long ago that was, and whether it has ended its script."""

    doing: Doing
    silent: float = 0.0
    ended: bool = False


def verdict(processes: Mapping[int, Seen], limits: Limits) -> str | None:
    """Why the run cannot go on, naming the process at fault where that can be told; None while it can."""
    for rank, seen in processes.items():
        if seen.silent > limits.heartbeat and not seen.ended:
            return (
                f"process {rank} has not been heard of for {seen.silent:.0f} s (stopped, swapped out, or its node is "
                f"down); it was {seen.doing}"
            )
    # Of those that wait in the same operation, the one that waits longest speaks for all.
    longest: dict[int, int] = {}
    for rank, seen in processes.items():
        doing = seen.doing
        if doing.inside and not seen.ended and doing.seconds > SETTLE:
            before = longest.get(doing.number)
            if before is None or processes[before].doing.seconds < doing.seconds:
                longest[doing.number] = rank
    for rank in longest.values():
        for other, seen in processes.items():
            trouble = _trouble_between(rank, processes[rank].doing, other, seen, limits)
            if trouble:
                return trouble
    return None


def different_ways(number: int, names: Mapping[int, str]) -> str:
    """Message where processes call one operation by different names."""
    ways = "; ".join(f"process {rank}: '{name}'" for rank, name in sorted(names.items()))
    return (
        f"the processes went different ways at operation {number} ({ways}). All must call solve, eval and save in the "
        f"same order"
    )


def _trouble_between(rank: int, doing: Doing, other: int, seen: Seen, limits: Limits) -> str | None:
    theirs = seen.doing
    # One that is further has done its part. One that waits further on finds this one missing.
    behind = theirs.number < doing.number or (theirs.number == doing.number and theirs.failed)
    if seen.ended and behind:
        return f"process {other} has ended its script, while process {rank} is {doing}, which takes all processes"
    stuck = min(doing.seconds, theirs.seconds) > limits.watchdog
    if stuck and behind:
        return (
            f"process {rank} is {doing}, and process {other} does not join it: it is {theirs}. All must call solve, "
            f"eval and save in the same order; where one is just slow, raise TANGRAX_WATCHDOG={limits.watchdog:g}"
        )
    return None
