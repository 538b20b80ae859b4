"""When a run of several processes is given up: from what each last said, without any process."""

import pytest

from tangrax.processes import Limits
from tangrax.processes.failure_verdict import Doing, Seen, verdict

LIMITS = Limits(heartbeat=40, watchdog=50)
FINISHED = Doing(6, "evaluation", False, 3.0)
FAILED = Doing(7, "training", False, 90.0, failed=True)


def training(seconds, number=7):
    return Doing(number, "training", True, seconds)


@pytest.mark.parametrize(
    "well",
    [
        {0: Seen(training(0.3)), 1: Seen(FINISHED)},
        {0: Seen(training(1000)), 1: Seen(training(999))},  # a long compilation on all
        {0: Seen(training(1000)), 1: Seen(FINISHED)},  # the other has moved lately
        {0: Seen(Doing(6, "evaluation", False, 1000)), 1: Seen(Doing(6, "evaluation", False, 900))},  # no one waits
        {0: Seen(training(5)), 1: Seen(training(5), silent=39)},
        # One that was faster, and has ended.
        {0: Seen(training(60)), 1: Seen(Doing(7, "training", False, 55), ended=True)},
        {0: Seen(Doing(9, "saving", False, 500)), 1: Seen(Doing(9, "saving", False, 1), silent=500, ended=True)},
    ],
)
def test_a_run_that_is_well(well):
    assert verdict(well, LIMITS) is None


@pytest.mark.parametrize(
    "lost, says",
    [
        ({0: Seen(training(5)), 1: Seen(training(5), silent=41)}, "process 1 has not been heard of for 41 s"),
        (
            {0: Seen(training(51)), 1: Seen(Doing(6, "evaluation", False, 51)), 2: Seen(training(51))},
            r"process 0 is in operation 7, 'training', for 51 s, and process 1 does not join it: .*finished 6",
        ),
        # One that has gone on further than the others, and waits there.
        ({0: Seen(training(60)), 1: Seen(training(60, 8))}, "process 1 is in operation 8, .* process 0 does not join"),
        # An exception that was caught: out of memory on one process, say.
        (
            {0: Seen(training(60)), 1: Seen(FAILED)},
            "process 1 does not join it: it is in no operation since 7, .*failed",
        ),
        ({0: Seen(training(3)), 1: Seen(FAILED, ended=True)}, "process 1 has ended its script, while process 0 is"),
        ({0: Seen(training(3)), 1: Seen(FINISHED, ended=True)}, "process 1 has ended its script, while process 0 is"),
    ],
)
def test_a_run_that_is_lost(lost, says):
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(verdict(lost, LIMITS))


def test_switched_off():
    never = Limits(heartbeat=float("inf"), watchdog=float("inf"))
    assert verdict({0: Seen(training(1e6)), 1: Seen(FINISHED, silent=1e6)}, never) is None
    assert never.beat == 1.0
    for bad in ({"heartbeat": 0}, {"watchdog": -1}, {"heartbeat": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Limits(**bad)


def test_many_processes_are_judged_quickly():
    """Pairs are not compared: 4,000 processes that wait in one operation for one take 4,000 looks."""
    crowd = {rank: Seen(training(100 + rank)) for rank in range(4000)} | {4000: Seen(Doing(6, "plot", False, 90))}
    assert "process 4000 does not join" in str(verdict(crowd, LIMITS))
