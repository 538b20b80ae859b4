"""Starting processes from tests."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

WITH_MPI = importlib.util.find_spec("mpi4jax") is not None
NEEDS_MPI = pytest.mark.skipif(not WITH_MPI, reason="mpi4jax is not installed: make mpi")
TRANSPORTS = ["xla", pytest.param("mpi", marks=NEEDS_MPI)]
# Seconds after which a program hangs, on a machine however busy. Tests wait for what happens, not for a time.
PATIENCE = 600


def environment(**more):
    """That of a user's shell: one device a process, nothing of a launcher; mpirun is the one beside this Python."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_FLAGS", "TANGRAX", "SLURM"))}
    beside = os.path.dirname(sys.executable)
    return {**env, "PYTHONUNBUFFERED": "1", "PATH": os.pathsep.join([beside, env["PATH"]]), **more}


def own_flags():
    """How the tests themselves are compiled, for programs of which no test says how: without their eight devices."""
    flags = os.environ["XLA_FLAGS"].split()
    return " ".join(flag for flag in flags if not flag.startswith("--xla_force_host_platform_device_count"))


def mpirun():
    path_of_mpirun = shutil.which("mpirun", path=environment()["PATH"])
    assert path_of_mpirun, "mpi4jax is there, and no mpirun"
    return path_of_mpirun


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch_variables(rank, count, port):
    """What `tangrax launch` tells a process."""
    address = f"127.0.0.1:{port}"
    return {"TANGRAX_PROCESSES": str(count), "TANGRAX_PROCESS": str(rank), "TANGRAX_COORDINATOR": address}


def launched(options, command, timeout=PATIENCE, **more):
    """`tangrax launch OPTIONS COMMAND` to its good end."""
    whole = [sys.executable, "-m", "tangrax", "launch", *options, *map(str, command)]
    run = subprocess.run(whole, capture_output=True, text=True, timeout=timeout, env=environment(**more))
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def running(variable):
    """The numbers of all processes in whose environment `NAME=value` is, whoever started them."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in path.read_bytes().split(b"\0"):
                pids.append(int(path.parent.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return pids


def shared_memory(pids):
    """The files of /dev/shm that processes have mapped and not removed."""
    maps = [path.read_text() for path in (Path(f"/proc/{pid}/maps") for pid in pids) if path.exists()]
    return {
        line.split()[5]
        for text in maps
        for line in text.splitlines()
        if "/dev/shm/" in line and "(deleted)" not in line
    }


def until(happened, *arguments, seconds=PATIENCE):
    """Wait for it."""
    end = time.monotonic() + seconds
    while not happened(*arguments):
        assert time.monotonic() < end, f"{happened} has not happened within {seconds} s"
        time.sleep(0.02)


def forked(act):
    """The number of a child that does something and ends, without the tests' own way out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX and Python warn of forks beside threads; this child starts neither
        child = os.fork()
    if child:
        return child
    try:
        act()
    finally:
        os._exit(0)
