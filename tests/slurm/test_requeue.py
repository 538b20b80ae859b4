"""Jobs that Slurm stops, on a Slurm of eight nodes: they start again by themselves and end as if nothing had been."""

import re
import time

import pytest

from .test_batch_files import difference

pytestmark = [pytest.mark.slurm]


def test_jobs_that_are_stopped_go_on(stopped, say):
    """By their time limit, by scontrol requeue, for a job of higher priority, and with their node."""
    ended = {name: stopped.end(name) for name in ("time", "requeued", "preempted", "lost", "whole")}
    for name, job in ended.items():
        starts = job.output.count("STARTED")
        far = difference(stopped.out(name) / "solver.npz", stopped.out("whole") / "solver.npz")
        assert starts > 1 or name == "whole", f"{name} was never stopped:\n{job.output}"
        stops = re.findall(r"stopped by (\w+) after epoch (\d+)", job.output)
        say(f"{name}: {starts} starts, stopped by {stops}, rel. difference to the unbroken job {far:.0e}")
        assert far < 1e-9
    assert "stopped by SIGUSR1" in ended["time"].output
    assert not list(stopped.out("cancelled").glob("solver.npz")), "what is cancelled stays cancelled"
    assert "stopped by SIGTERM" in ended["preempted"].output
    assert "job ends at None" not in ended["time"].output
    say(f"all within {time.monotonic() - stopped.began:.0f} s")


def test_a_job_over_two_nodes_goes_on(stopped, say):
    """The first task to leave makes srun end the other one, which still has to tell that it was SIGUSR1."""
    ended = {name: stopped.end(name) for name in ("spread", "spread-whole")}
    far = difference(stopped.out("spread") / "solver.npz", stopped.out("spread-whole") / "solver.npz")
    starts = ended["spread"].output.count("STARTED")
    say(f"over two nodes: {starts} starts, rel. difference to the unbroken job {far:.0e}")
    assert starts == 2 and "stopped by SIGUSR1" in ended["spread"].output and far < 1e-9
