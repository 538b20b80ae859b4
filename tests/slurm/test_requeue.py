"""Jobs that Slurm stops, on a Slurm of four nodes: they start again by themselves and end as if nothing had been."""

import re
import time
from pathlib import Path

import pytest

from .cluster import free_ports
from .conftest import SETTINGS
from .test_batch_files import difference, succeeded

pytestmark = [pytest.mark.slurm]

PROGRAM = Path(__file__).with_name("slow.py")
SIZE = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--gres=none"]
# Slurm holds a job back for two minutes before it starts it again.
LIMIT = 600


class Runs:
    """The same program under one name each, on a node each."""

    def __init__(self, cluster, clone):
        self.cluster, self.clone = cluster, clone
        self.jobs = {}

    def submit(self, name, node, *options, pause="0.6", **environment):
        told = {**SETTINGS, "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_ports(1)[0]}", **environment}
        self.jobs[name] = self.cluster.submit(
            self.clone / "slurm" / "train.sbatch",
            PROGRAM,
            self.out(name),
            pause,
            options=[*SIZE, f"--nodelist={node}", *options],
            environment=told,
            folder=self.clone,
        )

    def out(self, name):
        return self.clone / "runs" / name

    def until_checkpoint(self, name, epoch):
        """Until training has come as far."""
        end = time.monotonic() + 240
        while time.monotonic() < end:
            written = [int(path.stem.split("-")[1]) for path in self.out(name).glob("checkpoints/e*.npz")]
            if written and max(written) >= epoch:
                return
            time.sleep(0.1)
        raise TimeoutError(f"{name} has no checkpoint of epoch {epoch}: {self.cluster.logs()}")

    def end(self, name):
        (job,) = self.cluster.wait(self.jobs[name], LIMIT)
        return succeeded(job)


def test_jobs_that_are_stopped_go_on(cluster, clone, say):
    """By their time limit, by scontrol requeue, for a job of higher priority, and with their node."""
    (clone / "urgent.py").write_text("print('urgent')")
    runs, began = Runs(cluster, clone), time.monotonic()
    runs.submit("time", "node1", "--time=2", "--signal=USR1@45", TANGRAX_STOP_BEFORE="20")
    runs.submit("requeued", "node2", "--time=20")
    runs.submit("preempted", "node3", "--time=20")
    runs.submit("lost", "node4", "--time=20")
    runs.until_checkpoint("requeued", 30)
    cluster.ask("scontrol", "requeue", runs.jobs["requeued"])
    runs.until_checkpoint("preempted", 30)
    urgent = cluster.submit(
        clone / "slurm" / "train.sbatch",
        clone / "urgent.py",
        options=["--partition=high", *SIZE, "--nodelist=node3", "--time=5"],
        environment={**SETTINGS, "TANGRAX_TRANSPORT": "single"},
        folder=clone,
    )
    runs.until_checkpoint("lost", 30)
    cluster.ask("scontrol", "update", "nodename=node4", "state=down", "reason=test")
    time.sleep(2)
    cluster.ask("scontrol", "update", "nodename=node4", "state=resume")
    (first,) = cluster.wait(urgent, LIMIT)
    succeeded(first)
    runs.submit("cancelled", "node3", "--time=20")
    runs.until_checkpoint("cancelled", 10)
    cluster.ask("scancel", runs.jobs.pop("cancelled"))
    whole = clone / "runs" / "whole"
    runs.submit("whole", "node3", "--time=5", pause="0")
    ended = {name: runs.end(name) for name in runs.jobs}
    for name, job in ended.items():
        starts = job.output.count("STARTED")
        far = difference(runs.out(name) / "solver.npz", whole / "solver.npz")
        assert starts > 1 or name == "whole", f"{name} was never stopped:\n{job.output}"
        stops = re.findall(r"stopped by (\w+) after epoch (\d+)", job.output)
        say(f"{name}: {starts} starts, stopped by {stops}, rel. difference to the unbroken job {far:.0e}")
        assert far < 1e-9
    assert "stopped by SIGUSR1" in ended["time"].output
    assert not list(runs.out("cancelled").glob("solver.npz")), "what is cancelled stays cancelled"
    assert "stopped by SIGTERM" in ended["preempted"].output
    assert "job ends at None" not in ended["time"].output
    say(f"all within {time.monotonic() - began:.0f} s")


def test_a_job_over_two_nodes_goes_on(cluster, clone, say):
    """The first task to leave makes srun end the other one, which still has to tell that it was SIGUSR1."""
    runs, two = Runs(cluster, clone), ["--nodes=2", "--ntasks-per-node=1", "--time=20"]
    runs.submit("spread", "node1,node2", *two, pause="0.3")
    runs.submit("spread-whole", "node3,node4", *two, pause="0")
    runs.until_checkpoint("spread", 30)
    cluster.ask("scancel", "--signal=USR1", runs.jobs["spread"])
    ended = {name: runs.end(name) for name in runs.jobs}
    far = difference(runs.out("spread") / "solver.npz", runs.out("spread-whole") / "solver.npz")
    starts = ended["spread"].output.count("STARTED")
    say(f"over two nodes: {starts} starts, rel. difference to the unbroken job {far:.0e}")
    assert starts == 2 and "stopped by SIGUSR1" in ended["spread"].output and far < 1e-9
