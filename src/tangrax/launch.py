"""Starts the processes of a run on one machine, and chooses its devices."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOBase

import jax

from .processes import DEVICES, detect, own_gpus, uses_gpus

GRACE = 10.0  # seconds between asking the other processes to stop and stopping them
LAST_LINES = 5.0  # seconds for what the processes have written to be read
AFTERMATH = 3.0  # seconds that they have, when one has failed, to say so and end by themselves
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What kills the groups of processes that it was told of once the launcher has ended without a word: a pipe is closed
# by SIGKILL too. PR_SET_PDEATHSIG would not reach the ranks, which are mpirun's; that kills them when it is killed.
GUARD = """
groups=
while read -r word; do
  [ "$word" = done ] && exit
  groups="$groups $word"
done
for group in $groups; do kill -s KILL -- "-$group"; done
"""

Command = tuple[Sequence[str], Mapping[str, str], str]  # with its environment, and what begins its lines of output
Process = subprocess.Popen[str]


def use_devices(devices: int | None, emulate: bool) -> int | None:
    """The number of devices for `tx.core`; with `emulate`, that many are made of this machine's CPU.

    For scripts with options --devices and --emulate; to be called before JAX looks for devices.
    """
    if emulate:
        if devices is None or devices < 1:
            raise SystemExit(
                f"--emulate with --devices {devices}: say how many devices to emulate, such as --devices 4"
            )
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", devices)
    return devices


def launch_processes(script: Sequence[str], count: int, devices: int | None, mpi: bool) -> int:
    """Run `tangrax run SCRIPT …` in `count` processes; the exit code of the first that failed, or 0.

    Output comes line by line with the process's number in front.
    """
    if count < 1 or (devices is not None and devices < 1):
        _say(f"{count} processes of {devices} devices: both are at least 1")
        return 2
    if mpi and devices not in (None, 1):
        _say("an MPI rank has one device; raise -n instead", " --mpi")
        return 2
    environment = _environment(devices)
    # As the command `tangrax run` would, look for no modules in the working directory (-P).
    command = [sys.executable, "-P", "-m", "tangrax", "run", *script]
    if mpi:
        return _with_mpirun(command, count, environment)
    port, token = _free_port(), secrets.token_hex(16)
    environments = [
        {
            **environment,
            "TANGRAX_PROCESSES": str(count),
            "TANGRAX_PROCESS": str(rank),
            "TANGRAX_COORDINATOR": f"127.0.0.1:{port}",
            "TANGRAX_TOKEN": token,
        }
        for rank in range(count)
    ]
    try:
        _check_gpus(environments[0], script)
    except (RuntimeError, ValueError) as error:
        _say(str(error))
        return 2
    return run_commands([(command, variables, f"[{rank}] ") for rank, variables in enumerate(environments)])


def _check_gpus(environment: Mapping[str, str], script: Sequence[str]) -> None:
    """Refuse once, before anything is started, what each process would refuse."""
    joined = detect(environment).transport == "xla"
    if joined and "--emulate" not in script and uses_gpus(environment.get("JAX_PLATFORMS")):
        own_gpus(environment)


def _environment(devices: int | None) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if devices is not None:
        flags = environment.get("XLA_FLAGS", "").split()
        others = [flag for flag in flags if not flag.startswith("--xla_force_host_platform_device_count")]
        environment["XLA_FLAGS"] = " ".join([*others, f"--xla_force_host_platform_device_count={devices}"])
        environment.setdefault("JAX_PLATFORMS", "cpu")
        environment[DEVICES] = str(devices)  # where the platform is GPUs, that many of those
    return environment


def _with_mpirun(command: Sequence[str], count: int, environment: Mapping[str, str]) -> int:
    # The MPI that was installed beside this Python comes before another one of the system.
    beside = os.path.dirname(sys.executable)
    mpirun = shutil.which("mpirun", path=os.pathsep.join([beside, environment.get("PATH", "")]))
    if mpirun is None:
        _say("no mpirun was found: pip install mpich, or load your site's MPI", " --mpi")
        return 2
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True, check=False).stdout
    label = ["--tag-output"] if "Open MPI" in version or "OpenRTE" in version else ["-prepend-rank"]
    variables = {**environment, "TANGRAX_TRANSPORT": "mpi"}
    return run_commands([([mpirun, *label, "-n", str(count), *command], variables, "")])


def run_commands(commands: Sequence[Command]) -> int:
    """Start commands and wait; return the exit code of all. However this process ends, they do not outlive it."""
    processes: list[Process] = []
    copying: list[threading.Thread] = []
    with _noted_signals() as stops, _guard() as notify:
        try:
            for command, environment, prefix in commands:
                if not stops:
                    processes.append(start_process(command, environment))
                    notify(str(processes[-1].pid))
                    copying.append(threading.Thread(target=_copy, args=(processes[-1].stdout, prefix), daemon=True))
                    copying[-1].start()
            code = wait_for(processes, stops)
        except OSError as error:  # limits of ulimit: descriptors, processes, memory
            _say(f"process {len(processes)} of {len(commands)} could not be started ({error}); stopping the others")
            code = 1
        _stop(processes, stops)
        for thread in copying:
            thread.join(LAST_LINES)
    return code


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[signal.Signals]]:
    """Note, within, the signals that ask this process to end, but for those that it was started to ignore."""
    stops: list[signal.Signals] = []
    previous = {number: signal.getsignal(number) for number in STOPS}
    heeded = {number: handler for number, handler in previous.items() if handler != signal.SIG_IGN}
    for number in heeded:
        signal.signal(number, lambda number, frame: stops.append(signal.Signals(number)))
    try:
        yield stops
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _guard() -> Iterator[Callable[[str], None]]:
    """Start a process that kills the groups it is told of, unless this one leaves in good order."""
    guard = subprocess.Popen(
        ["sh", "-c", GUARD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # what kills the launcher's group or closes its terminal spares it
    )
    pipe = guard.stdin
    assert pipe is not None

    def notify(word: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody has killed it
            pipe.write(f"{word}\n")
            pipe.flush()

    with guard:
        yield notify
        notify("done")


def start_process(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that all a process starts can be stopped with it
    )


def _copy(stream: TextIOBase, prefix: str) -> None:
    with stream:
        for line in stream:
            with contextlib.suppress(OSError):  # nobody reads any more: a process that writes would wait for ever
                print(f"{prefix}{line}", end="", flush=True)


def wait_for(processes: Sequence[Process], stops: Sequence[signal.Signals]) -> int:
    """Wait until all have ended, one has failed or a signal has come; return the exit code."""
    while not stops:
        codes = [process.poll() for process in processes]
        failed = [(rank, code) for rank, code in enumerate(codes) if code]
        if failed:
            rank, code = failed[0]
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            others = sum(code is None for code in codes)
            _await_end(processes, AFTERMATH, lambda: bool(stops))  # their own last words come first
            _say(f"process {rank} {how}; stopping {others} other(s)")
            return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)
    _say(f"{stops[0].name}; stopping all processes, a second signal kills them")
    return 128 + stops[0]


def _stop(processes: Sequence[Process], stops: Sequence[signal.Signals]) -> None:
    """Ask processes to stop, then kill: a compiled stretch ends before they can answer. One more signal: at once."""
    # A terminal's Ctrl-C does not reach the processes, which have sessions of their own.
    number = signal.SIGINT if stops and stops[0] == signal.SIGINT else signal.SIGTERM
    running = [process for process in processes if process.poll() is None]
    for process in running:
        _signal(process, number)
    _await_end(running, GRACE, lambda: len(stops) > 1)
    if len(stops) > 1:
        _say(f"{stops[-1].name}; killing all processes")
    for process in running:
        if process.poll() is None:
            _signal(process, signal.SIGKILL)
            process.wait()


def _await_end(processes: Sequence[Process], seconds: float, cut_short: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not cut_short() and any(process.poll() is None for process in processes):
        time.sleep(0.05)


def _signal(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _say(message: str, option: str = "") -> None:
    sys.stderr.write(f"tangrax launch{option}: {message}\n")
    sys.stderr.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
