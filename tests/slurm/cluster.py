"""A real Slurm of several nodes on one machine, in a directory of its own, and the jobs that are sent to it.

Nothing outside the directory is read or written, and ports and sockets are its own, so that it can stand beside a Slurm
that the machine has. Needs root, as slurmd does to start the processes of jobs.
"""

import contextlib
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "scontrol", "sinfo", "squeue", "scancel")
NODES = 8  # six for jobs that are stopped, so that two are free for the batch files
GPUS = ("/dev/null", "/dev/zero")
PORTS = (12000, 32000)  # below 32768, where Linux begins to give ports to outgoing connections
START = 30  # seconds for the daemons to come up; they need less than one on an idle machine
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")  # for good
GRACE = 20  # seconds for cancelled jobs to end, above KillWait

# One thread a process: a dozen of them share the machine's cores. Compiled programs are kept, as the Makefile says.
# MPICH's wheel by libfabric and TCP: its UCX, in one start of five, hands PMI an address that is too long for Slurm's
# PMI ("value not properly terminated"), with bytes of other memory in it (MPICH 5.0.2, Slurm 22.05.8).
SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "OMP_NUM_THREADS": "1",
    "MPIR_CVAR_CH4_NETMOD": "ofi",
    "FI_PROVIDER": "tcp",
    **{name: os.environ[name] for name in os.environ if name.startswith(("JAX_COMPILATION", "JAX_PERSISTENT"))},
}

# What differs from a site's: no cgroups and no accounting, as these need a system that was set up for them;
# config_overrides, since eight nodes of two CPUs are more than the machine has; `%n`, the node's name, keeps apart
# what each slurmd writes. The GPUs are any two devices: Slurm counts them and hands them out, and nobody opens them.
CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.%n.pid
SlurmdSpoolDir={directory}/spool.%n
TmpFS={directory}/tmp.%n
PlugStackConfig={directory}/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
MinJobAge=3600
KillWait=5
GresTypes=gpu
NodeName=node[1-{count}] NodeHostname={hostname} NodeAddr=127.0.0.1 Port=[{ports}] CPUs=2 RealMemory=1000 Gres=gpu:2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=node[1-{count}] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=high Nodes=node[1-{count}] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def why_not() -> str | None:
    """Why no Slurm can be started here; None if one can."""
    if os.geteuid() != 0:
        return "starting slurmd needs root"
    missing = [name for name in (*DAEMONS, *COMMANDS) if _program(name) is None]
    return f"not installed: {', '.join(missing)} (make test-slurm installs them)" if missing else None


@dataclass
class Job:
    """A job that has ended: its state and exit code as Slurm has them, and what it printed."""

    id: str
    state: str
    exit_code: str
    output: str


def succeeded(job: Job) -> Job:
    assert (job.state, job.exit_code) == ("COMPLETED", "0:0"), f"{job.state} {job.exit_code}\n{job.output}"
    return job


class Cluster:
    """Use as a context: daemons run inside it, and are stopped by their process ids at its end."""

    def __init__(self, directory: Path):
        self.directory = directory
        self._daemons: list[tuple[str, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> "Cluster":
        try:
            self._configure()
            self._start("munged", "--foreground", "--force", *self._munge)
            self._wait("munged", lambda: (self.directory / "munge.socket").exists())
            self._start("slurmctld", "-D", "-c")
            for node in self.nodes:
                self._start("slurmd", "-D", "-N", node, log=node)
            idle = {"", *(f"{node} idle" for node in self.nodes)}
            self._wait("idle nodes", lambda: set(self.ask("sinfo", "-h", "-N", "-o", "%N %T").split("\n")) == idle)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    @property
    def nodes(self) -> list[str]:
        return [f"node{index + 1}" for index in range(NODES)]

    def submit(
        self, batch_file: Path, *arguments: object, options: list[str], environment: Mapping[str, str], folder: Path
    ) -> str:
        """`sbatch OPTIONS BATCH_FILE ARGUMENTS` from `folder`; the job's id."""
        command = ["sbatch", "--parsable", *options, str(batch_file), *map(str, arguments)]
        # The job gets what sbatch has: nothing of this process's own settings, such as emulated devices.
        variables = {**bare_environment(), **environment, "SLURM_CONF": str(self._conf)}
        sent = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=variables, timeout=60)
        assert sent.returncode == 0, sent.stderr
        return sent.stdout.strip().partition(";")[0]

    def wait(self, job: str, timeout: float) -> list[Job]:
        """The job when it has ended, or each task of an array; cancelled and an error after `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            records = [_fields(line) for line in self.ask("scontrol", "-o", "show", "job", job).splitlines() if line]
            if records and all(r["JobState"] in ENDED for r in records):
                return sorted((_job(record) for record in records), key=lambda each: int(each.id))
            if time.monotonic() > end:
                self.ask("scancel", job)
                states = "\n".join(f"{r['JobState']} {r.get('Reason')}\n{_text(r.get('StdOut'))}" for r in records)
                raise TimeoutError(f"job {job} did not end within {timeout:.0f} s:\n{states}\n{self.logs()}")
            time.sleep(0.2)

    def logs(self) -> str:
        """The last lines of every daemon."""
        tails = [(path.name, path.read_text(errors="replace")[-2000:]) for path in self.directory.glob("*.log")]
        return "\n".join(f"--- {name}\n{tail}" for name, tail in sorted(tails))

    # Inside

    @property
    def _conf(self) -> Path:
        return self.directory / "slurm.conf"

    @property
    def _munge(self) -> list[str]:
        # --force: munged would rather not be root, and would have others reach its socket; here nobody else should.
        where = self.directory
        names = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        return [*(f"--{option}={where / name}" for option, name in names.items()), f"--log-file={where}/munge.log"]

    def _configure(self) -> None:
        where = self.directory
        key = where / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        (where / "plugstack.conf").touch()
        (where / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in GPUS))
        for name in ["state", *(f"{kind}.{node}" for kind in ("spool", "tmp") for node in self.nodes)]:
            (where / name).mkdir()
        controller, *ports = free_ports(1 + NODES)
        written = CONFIGURATION.format(
            controller=controller,
            directory=where,
            hostname=socket.gethostname(),
            count=NODES,
            ports=",".join(map(str, ports)),
        )
        self._conf.write_text(written)

    def _start(self, name: str, *arguments: str, log: str | None = None) -> None:
        path = _program(name)
        assert path is not None
        with open(self.directory / f"{log or name}.log", "wb") as file:
            variables = {**bare_environment(), "SLURM_CONF": str(self._conf)}
            process = subprocess.Popen([path, *arguments], stdout=file, stderr=file, env=variables, cwd=self.directory)
        self._daemons.append((log or name, process))

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + START
        while not ready():
            gone = [name for name, process in self._daemons if process.poll() is not None]
            if gone or time.monotonic() > end:
                raise RuntimeError(f"waiting for {what}; ended: {gone or 'none'}\n{self.logs()}")
            time.sleep(0.1)

    def ask(self, *command: str) -> str:
        """What a command of Slurm prints; nothing if it failed."""
        variables = {**bare_environment(), "SLURM_CONF": str(self._conf)}
        return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60).stdout

    def _stop(self) -> None:
        """Jobs first, then the daemons, youngest first, then what jobs may have left behind."""
        if len(self._daemons) == 2 + NODES:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.ask("scancel", "--user=root", "--full")
                end = time.monotonic() + GRACE
                while self.ask("squeue", "-h").strip() and time.monotonic() < end:
                    time.sleep(0.2)
        while self._daemons:
            _, process = self._daemons.pop()
            process.kill()
            process.wait()
        for left in self._started():
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)

    def _started(self) -> list[int]:
        """Processes that this Slurm started, which are no children of ours: they know its configuration."""
        mark = f"SLURM_CONF={self._conf}".encode()
        pids = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it may end at any time
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    pids.append(int(process.name))
        return pids


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, outside the range from which the system gives ports to outgoing connections.

    Those of that range may be gone before the daemon that was told of them starts.
    """
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(*PORTS), 100 * count):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"no {count} free ports from {PORTS[0]} to {PORTS[1]}")


def _program(name: str) -> str | None:
    # Daemons lie where a user's PATH need not lead.
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))


def bare_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if name in os.environ}


def _fields(line: str) -> dict[str, str]:
    """`scontrol -o show job`: words Name=value, the values without spaces where it matters here."""
    return dict(re.findall(r"(\S+?)=(\S*)", line))


def _job(record: Mapping[str, str]) -> Job:
    return Job(record["JobId"], record["JobState"], record["ExitCode"], _text(record.get("StdOut")))


def _text(path: str | None) -> str:
    return Path(path).read_text(errors="replace") if path and Path(path).is_file() else "(no output)"
