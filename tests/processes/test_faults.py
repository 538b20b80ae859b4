"""What becomes of a run when one of its processes goes wrong: the rows of the table in docs/processes.md.

The processes are started bare, as by srun without --kill-on-bad-exit: no launcher ends those left behind (mpirun cannot
be kept from it). The summary lists the seconds from the fault until all other processes are gone.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launching import NEEDS_MPI, PATIENCE, TRANSPORTS, environment, free_port, launch_variables, mpirun, until

pytestmark = pytest.mark.processes
SCRIPT = Path(__file__).parent / "faults.py"
SLOW = pytest.mark.slow
# Shorter ones take a process for dead that a busy machine does not let run.
LIMITS = {"TANGRAX_HEARTBEAT": "8", "TANGRAX_WATCHDOG": "8"}
COUNT = 3


class Run:
    """Processes, the files that hold their output, and when each of them was seen to have ended."""

    def __init__(self, folder):
        self.folder, self.processes, self.ends = folder, [], {}

    def start(self, command, **env):
        out = open(self.folder / f"{len(self.processes)}.txt", "w+")  # noqa: SIM115 - closed with the run
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment(**env))
        process.output = out
        self.processes.append(process)

    def wait(self, but=None):
        """Until all have ended but one."""
        end = time.monotonic() + PATIENCE
        while len(self.ends) < len(self.processes) - (but is not None):
            assert time.monotonic() < end, f"still running: {self.text()}"
            for index, process in enumerate(self.processes):
                if index not in self.ends and process.poll() is not None:
                    self.ends[index] = time.time()
            time.sleep(0.02)

    def text(self, index=None):
        chosen = self.processes if index is None else [self.processes[index]]
        return "\n".join((self.folder / f"{self.processes.index(p)}.txt").read_text() for p in chosen)

    @property
    def codes(self):
        return [process.returncode for process in self.processes]

    def seconds(self):
        fault = re.search(r"fault at ([\d.]+)", self.text())
        assert fault, f"all ended before anything went wrong: {self.text()}"
        return max(self.ends.values()) - float(fault[1])


@pytest.fixture
def run(tmp_path):
    attempt = Run(tmp_path)
    yield attempt
    pids = [int(pid) for pid in re.findall(r"pid (\d+)", attempt.text())] + [p.pid for p in attempt.processes]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for process in attempt.processes:
        process.wait()
        process.output.close()


def start_xla(run, arguments, count=COUNT, of=None, **env):
    port = free_port()
    for rank in range(count):
        run.start([sys.executable, *map(str, arguments)], **launch_variables(rank, of or count, port), **env)


def start_mpi(run, arguments, **env):
    run.start([mpirun(), "-n", str(COUNT), sys.executable, *map(str, arguments)], **env)


# What goes wrong, on which process, what the others say, their exit codes under xla (None: any but 0).
NOT_HEARD = "process {rank} has not been heard of for"
FAULTS = {
    # JAX's own client may be faster to abort when the process that holds its service dies.
    "killed-0": ("process 0 died|leader task was preempted/died/restarted", None),
    "killed-1": ("process 1 on .* died: its connection closed without a word", 1),
    "stopped-0": (NOT_HEARD, 1),
    "stopped-1": (NOT_HEARD, 1),
    # Process 0 holds JAX's service: were it not the last to go, JAX would abort the others, by code -6.
    "raises-0": ("process 0 failed: ValueError: a mistake on one process", 1),
    "breaks-0": ("process 0 failed: KeyboardInterrupt", 130),
    "exhausts-0": (r"process 0 failed: OSError: .*Too many open files", 1),
    "raises-1": ("process 1 failed: ValueError: a mistake on one process", 1),
    "ends-1": ("process 1 has ended its script, while process [02] is in operation", 1),
    "leaves-2": (r"process [01] is in operation \d+, 'training', .* process 2 does not join it", 1),
    "strays-2": (r"operation \d+ \(process [01]: 'training'; process 2: 'evaluation of ", 1),
    "terminated-1": ("stopped by SIGTERM after epoch", 143),
    "interrupted-0": ("stopped by SIGINT after epoch", -signal.SIGINT),
}
ALWAYS = {("killed-1", "xla"), ("breaks-0", "xla"), ("stopped-1", "mpi"), ("raises-1", "mpi"), ("terminated-1", "xla")}


def rows():
    for fault in FAULTS:
        for transport in TRANSPORTS:
            name = transport if isinstance(transport, str) else transport.values[0]
            marks = [] if isinstance(transport, str) else list(transport.marks)
            yield pytest.param(fault, name, marks=marks + ([] if (fault, name) in ALWAYS else [SLOW]))


@pytest.mark.parametrize("fault, transport", list(rows()))
def test_fault(fault, transport, run, record_property):
    what, rank = fault.split("-")
    says, code = FAULTS[fault]
    if (what, transport) == ("killed", "mpi"):
        # mpirun ends the others at once, now and then before they could say anything: then it names a process itself,
        # on a busy machine one of those that it ended.
        says += "|PID ({pids}) RUNNING AT .*\n.* EXIT CODE: 9\n"
    (start_xla if transport == "xla" else start_mpi)(run, [SCRIPT, what, rank], OUT=str(run.folder / "out"), **LIMITS)
    # A stopped process stays stopped, until its launcher kills it.
    stopped = int(rank) if what == "stopped" and transport == "xla" else None
    run.wait(but=stopped)
    record_property("seconds until the others are gone", f"{run.seconds():.1f}")
    assert run.seconds() < 20
    on_all = what in ("terminated", "interrupted")  # one speaks for all, and none is at fault
    others = [index for index in range(len(run.processes)) if transport == "mpi" or index != int(rank)]
    texts = [run.text(index) for index in (range(len(run.processes)) if on_all else others)]
    pids = "|".join(re.findall(r"pid (\d+)", run.text()))
    matches = [bool(re.search(says.format(rank=rank, pids=pids), text)) for text in texts]
    assert any(matches) if on_all else all(matches), texts
    codes = [run.codes[index] for index in others]
    assert all(codes), codes
    if code is not None and transport == "xla":
        assert codes == [code] * len(others), texts


@SLOW
def test_a_starved_process_is_waited_for(run):
    """It runs for half a second in three and a half: longer than any step, shorter than the heartbeat."""
    start_xla(run, [SCRIPT, "nothing", "1"], **LIMITS)
    until(lambda: run.text().count("pid ") > COUNT)  # one is that of the fault, which comes after a first training
    pid = run.processes[1].pid
    for _ in range(4):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.5)
    assert [process.poll() for process in run.processes] == [None] * COUNT, run.text()
    os.kill(pid, signal.SIGTERM)
    run.wait()
    assert run.codes == [143] * COUNT, run.text()


@SLOW
def test_a_stopped_process_within_a_minute(run, record_property):
    """With the limits that hold unless others are set."""
    start_xla(run, [SCRIPT, "stopped", "1"])
    run.wait(but=1)
    record_property("seconds until the others are gone", f"{run.seconds():.1f}")
    assert run.seconds() < 60


@SLOW
def test_a_process_that_stays_away_within_a_minute(run, record_property):
    start_xla(run, [SCRIPT, "leaves", "1"])
    run.wait()
    record_property("seconds until the others are gone", f"{run.seconds():.1f}")
    assert run.seconds() < 60


@pytest.mark.parametrize("transport", [TRANSPORTS[0], pytest.param("mpi", marks=[NEEDS_MPI, SLOW])])
def test_checked_collectives(transport, run, record_property):
    """TANGRAX_CHECK_COLLECTIVES=1: named before anything is communicated, on every process, as an exception."""
    start = start_xla if transport == "xla" else start_mpi
    start(run, [SCRIPT, "strays", "2"], TANGRAX_CHECK_COLLECTIVES="1", **LIMITS)
    run.wait()
    record_property("seconds until all are gone", f"{run.seconds():.1f}")
    says = (
        r"ProcessMismatch: the collectives of the processes differ, first at line 0: program 'training' on process 0, "
        r"program 'evaluation of .*' on process 2"
    )
    texts = [run.text(index) for index in range(len(run.processes))]
    assert all(re.search(says, text) for text in texts), texts
    assert all(run.codes)


# Processes that do not find each other: before JAX or MPI communicate.

JOIN = "import sys, time, tangrax as tx; tx.setup(timeout=int(sys.argv[1])); print('joined')"


def refused(run, says):
    run.wait()
    assert all(run.codes) and "joined" not in run.text(), run.text()
    for index in range(len(run.processes)):
        assert re.search(says, run.text(index)), run.text(index)


def test_where_a_run_on_one_machine_listens(run, tmp_path):
    """JAX's service at a name in a private folder that is gone once all have met; at a port, gloo alone."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    port = free_port()
    for rank in range(2):
        run.start(
            [sys.executable, SCRIPT.parent / "listening.py"], **launch_variables(rank, 2, port), TMPDIR=str(folder)
        )
    run.wait()
    assert run.codes == [0, 0], run.text()
    reports = [json.loads(re.search("^{.*}$", run.text(rank), re.MULTILINE)[0]) for rank in range(2)]
    assert [each["files"] for each in reports] == [[], []]
    assert [Path(name).parent.parent for name in reports[0]["names"]] == [folder] and reports[1]["names"] == []
    # The hub's port is closed, JAX has none, and gloo has one a process.
    assert [len(each["ports"]) for each in reports] == [1, 1]
    assert f"{port:04X}" not in str(reports)


def test_fewer_processes_than_told(run):
    """Two of three come: both say which one is missing."""
    start_xla(run, ["-c", JOIN, "10"], count=2, of=3)
    refused(run, r"RuntimeError: 2 of 3 processes came within 10 s; missing: 2")


def test_no_process_0(run):
    port = free_port()
    run.start([sys.executable, "-c", JOIN, "3"], **launch_variables(1, 2, port))
    refused(run, f"RuntimeError: process 1 of 2 could not reach process 0 at 127.0.0.1:{port} within 3 s ")


def test_processes_told_of_different_numbers(run):
    port = free_port()
    for rank, count in ((0, 2), (1, 3)):
        run.start([sys.executable, "-c", JOIN, "4"], **launch_variables(rank, count, port))
    refused(run, "process 1 (of 3 )?on .*: it was told of 3 processes, process 0 of 2")


def test_a_coordinator_that_cannot_be_resolved(run):
    for rank in range(2):
        env = {**launch_variables(rank, 2, 1), "TANGRAX_COORDINATOR": "no-such-host.invalid:1234"}
        run.start([sys.executable, "-c", JOIN, str(2 * PATIENCE)], **env)
    refused(run, "'no-such-host.invalid' cannot be resolved .*JAX_COORDINATOR_ADDRESS")


def test_a_port_in_use(run):
    """Another program listens there and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for rank in range(2):
            run.start([sys.executable, "-c", JOIN, "4"], **launch_variables(rank, 2, taken.getsockname()[1]))
        refused(run, "cannot listen on port .*another program has it|is not process 0 of this run")


STARTS = "import jax, sys; jax.config.update('jax_platforms', 'none' if sys.argv[1] == '1' else 'cpu'); "


def test_jax_does_not_start_on_one_process(run):
    """After all have met: the others, which wait inside JAX, are told."""
    port = free_port()
    for rank in range(2):
        run.start(
            [sys.executable, "-c", STARTS + JOIN.replace("[1]", "[2]"), str(rank), "60"],
            **launch_variables(rank, 2, port),
        )
    run.wait()
    assert run.codes == [1, 1]
    assert re.search("process 1 failed: RuntimeError: .*'none'", run.text(0)), run.text(0)


@NEEDS_MPI
def test_the_mpirun_of_another_mpi(run):
    """Each rank is alone in its own library's eyes."""
    variables = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}
    run.start([sys.executable, "-c", JOIN, "5"], **variables)
    refused(run, "the launcher started 2 ranks .* of this Python sees 1: .* another MPI")
