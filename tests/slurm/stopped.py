"""Jobs that Slurm stops: begun and stopped before all tests, which run while Slurm holds these jobs back.

Nodes 5 to 8 and, for the job of two nodes, 3 and 4 are theirs; jobs that name no node get the first ones.
"""

import time
from pathlib import Path

from .cluster import SETTINGS, Cluster, Job, free_ports, succeeded

PROGRAM = Path(__file__).with_name("slow.py")
SIZE = ["--nodes=1", "--ntasks-per-node=2", "--cpus-per-task=1", "--gres=none"]
TWO_NODES = ["--nodes=2", "--ntasks-per-node=1", "--time=20"]
# Slurm holds a job back for two minutes before it starts it again.
LIMIT = 600


class Runs:
    """The same program under one name each, on nodes of its own."""

    def __init__(self, cluster: Cluster, clone: Path):
        self.cluster, self.clone = cluster, clone
        self.began = time.monotonic()
        self.jobs: dict[str, str] = {}

    def submit(self, name: str, nodes: str, *options: str, pause: str = "0.6", **environment: str) -> None:
        variables = {**SETTINGS, "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_ports(1)[0]}", **environment}
        self.jobs[name] = self.cluster.submit(
            self.clone / "slurm" / "train.sbatch",
            PROGRAM,
            self.out(name),
            pause,
            options=[*SIZE, f"--nodelist={nodes}", *options],
            environment=variables,
            folder=self.clone,
        )

    def out(self, name: str) -> Path:
        return self.clone / "runs" / name

    def until_checkpoint(self, name: str, epoch: int) -> None:
        """Until training has come as far."""
        end = time.monotonic() + 240
        while time.monotonic() < end:
            written = [int(path.stem.split("-")[1]) for path in self.out(name).glob("checkpoints/e*.npz")]
            if written and max(written) >= epoch:
                return
            time.sleep(0.1)
        raise TimeoutError(f"{name} has no checkpoint of epoch {epoch}: {self.cluster.logs()}")

    def end(self, name: str) -> Job:
        (job,) = self.cluster.wait(self.jobs[name], LIMIT)
        return succeeded(job)


def begin(cluster: Cluster, clone: Path) -> Runs:
    """Stopped by their time limit, by scontrol requeue, for a job of higher priority, with their node, by SIGUSR1 on
    two nodes, and for good; and the same jobs unbroken.
    """
    (clone / "urgent.py").write_text("print('urgent')")
    runs = Runs(cluster, clone)
    runs.submit("time", "node5", "--time=2", "--signal=USR1@45", TANGRAX_STOP_BEFORE="20")
    runs.submit("requeued", "node6", "--time=20")
    runs.submit("preempted", "node7", "--time=20")
    runs.submit("lost", "node8", "--time=20")
    runs.until_checkpoint("requeued", 30)
    cluster.ask("scontrol", "requeue", runs.jobs["requeued"])
    runs.until_checkpoint("preempted", 30)
    urgent = cluster.submit(
        clone / "slurm" / "train.sbatch",
        clone / "urgent.py",
        options=["--partition=high", *SIZE, "--nodelist=node7", "--time=5"],
        environment={**SETTINGS, "TANGRAX_TRANSPORT": "single"},
        folder=clone,
    )
    runs.until_checkpoint("lost", 30)
    cluster.ask("scontrol", "update", "nodename=node8", "state=down", "reason=test")
    time.sleep(2)
    cluster.ask("scontrol", "update", "nodename=node8", "state=resume")
    runs.submit("spread", "node3,node4", *TWO_NODES, pause="0.3")
    (first,) = cluster.wait(urgent, LIMIT)
    succeeded(first)
    runs.submit("cancelled", "node7", "--time=20")
    runs.until_checkpoint("spread", 30)
    cluster.ask("scancel", "--signal=USR1", runs.jobs["spread"])
    runs.until_checkpoint("cancelled", 10)
    cluster.ask("scancel", runs.jobs.pop("cancelled"))
    runs.submit("whole", "node7", "--time=5", pause="0")
    runs.submit("spread-whole", "node6,node8", *TWO_NODES, pause="0")
    return runs
