"""Starting the processes of a run on one machine, and choosing its devices."""

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
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import IO

import jax

from .processes import DEVICES, detect, own_gpus, uses_gpus

GRACE = 10.0  # seconds between asking the other processes to stop and stopping them
LAST_LINES = 5.0  # seconds for what the processes have written to be read
AFTERMATH = 3.0  # seconds that they have, when one has failed, to say so and end by themselves


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
        print(f"tangrax launch: {count} processes of {devices} devices: both are at least 1", file=sys.stderr)
        return 2
    if mpi and devices not in (None, 1):
        print("tangrax launch --mpi: an MPI rank has one device; raise -n instead", file=sys.stderr)
        return 2
    environment = _environment(devices)
    command = [sys.executable, "-m", "tangrax", "run", *script]
    if mpi:
        return _with_mpirun(command, count, environment)
    port, token = _free_port(), secrets.token_hex(16)
    told = [
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
        _check_gpus(told[0], script)
    except (RuntimeError, ValueError) as error:
        print(f"tangrax launch: {error}", file=sys.stderr)
        return 2
    return _wait([_start(command, each, f"[{rank}] ") for rank, each in enumerate(told)])


def _check_gpus(environment: Mapping[str, str], script: Sequence[str]) -> None:
    """Say once, before anything is started, what each process would refuse."""
    joined = detect(environment).transport == "xla"
    if joined and "--emulate" not in script and uses_gpus(environment.get("JAX_PLATFORMS")):
        own_gpus(environment)


def _environment(devices: int | None) -> dict[str, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if devices is not None:
        flags = environment.get("XLA_FLAGS", "").split()
        kept = [flag for flag in flags if not flag.startswith("--xla_force_host_platform_device_count")]
        environment["XLA_FLAGS"] = " ".join([*kept, f"--xla_force_host_platform_device_count={devices}"])
        environment.setdefault("JAX_PLATFORMS", "cpu")
        environment[DEVICES] = str(devices)  # where the platform is GPUs, that many of those
    return environment


def _with_mpirun(command: Sequence[str], count: int, environment: Mapping[str, str]) -> int:
    # The MPI that was installed beside this Python comes before another one of the system.
    beside = os.path.dirname(sys.executable)
    mpirun = shutil.which("mpirun", path=os.pathsep.join([beside, environment.get("PATH", "")]))
    if mpirun is None:
        print("tangrax launch --mpi: no mpirun was found: pip install mpich, or load your site's MPI", file=sys.stderr)
        return 2
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True, check=False).stdout
    label = ["--tag-output"] if "Open MPI" in version or "OpenRTE" in version else ["-prepend-rank"]
    told = {**environment, "TANGRAX_TRANSPORT": "mpi"}
    return _wait([_start([mpirun, *label, "-n", str(count), *command], told, "")])


def _start(command: Sequence[str], environment: Mapping[str, str], prefix: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        command,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that all a process starts can be stopped with it
    )
    assert process.stdout is not None
    copying = threading.Thread(target=_copy, args=(process.stdout, prefix), daemon=True)
    copying.start()
    _COPYING.append(copying)
    return process


def _copy(stream: IO[str], prefix: str) -> None:
    for line in stream:
        print(f"{prefix}{line}", end="", flush=True)


def _wait(processes: Sequence[subprocess.Popen[str]]) -> int:
    """Until all have ended, or one has failed: then the others are stopped."""
    number = signal.SIGTERM
    # A terminal that closes takes this process with it, but not those in sessions of their own.
    previous = {name: signal.signal(name, _raise_terminated) for name in (signal.SIGTERM, signal.SIGHUP)}
    try:
        while True:
            codes = [process.poll() for process in processes]
            failed = [(rank, code) for rank, code in enumerate(codes) if code]
            if failed:
                rank, code = failed[0]
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                others = sum(code is None for code in codes)
                _await_end(processes, AFTERMATH)  # their own last words come first
                print(f"tangrax launch: process {rank} {how}; stopping {others} other(s)", file=sys.stderr, flush=True)
                return code if code > 0 else 128 - code
            if all(code == 0 for code in codes):
                return 0
            time.sleep(0.05)
    except (KeyboardInterrupt, _Terminated) as stopped:
        # A terminal's Ctrl-C does not reach the processes, which have sessions of their own.
        number = signal.SIGINT if isinstance(stopped, KeyboardInterrupt) else signal.SIGTERM
        print(f"tangrax launch: {number.name}; stopping all processes", file=sys.stderr, flush=True)
        return 128 + number
    finally:
        _stop([process for process in processes if process.poll() is None], number)
        for name, handler in previous.items():
            signal.signal(name, handler)
        for copying in _COPYING:
            copying.join(LAST_LINES)


_COPYING: list[threading.Thread] = []  # what copies the output of the processes


class _Terminated(Exception):
    """SIGTERM came."""


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _stop(processes: Sequence[subprocess.Popen[str]], number: signal.Signals) -> None:
    """Ask, then stop: a compiled stretch ends before a process can answer."""
    for process in processes:
        _signal(process, number)
    _await_end(processes, GRACE)
    for process in processes:
        if process.poll() is None:
            _signal(process, signal.SIGKILL)
            process.wait()


def _await_end(processes: Sequence[subprocess.Popen[str]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(process.poll() is None for process in processes):
        time.sleep(0.05)


def _signal(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
