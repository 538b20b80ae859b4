"""The command line: `tangrax run`, `tangrax launch`, `tangrax doctor`."""

import os
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from .launch import launch_processes
from .parallel import doctor, setup


@dataclass
class Run:
    """Run a script as one of the processes that Slurm, mpirun or `tangrax launch` started.

    The processes are joined before the script is loaded, so that it needs no line for it. What follows the
    script's name goes to the script.
    """

    transport: Literal["xla", "mpi", "single"] | None = None
    """how the processes talk; TANGRAX_TRANSPORT or the launcher's variables decide if left out"""
    timeout: int = 120
    """seconds to wait for the other processes"""


@dataclass
class Launch:
    """Start a script in several processes of this machine, as Slurm (or, with --mpi, mpirun) would.

    Lines of output begin with the process's number. If one process fails, the others are stopped, and its exit
    code is that of the command. What follows the script's name goes to the script.
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 2
    """number of processes"""
    devices_per_process: int | None = None
    """emulated CPU devices in each process; the devices it finds if left out"""
    mpi: bool = False
    """start them with mpirun, to talk through mpi4jax"""


@dataclass
class Doctor:
    """Say what would be used here: launcher, transport, devices, versions; exit code 1 if something is broken."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `tangrax`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Everything after the script's name is the script's own.
    place = next((i for i, word in enumerate(given) if word.endswith(".py")), None)
    options, script = (given, []) if place is None else (given[:place], given[place:])
    command = tyro.extras.subcommand_cli_from_dict(
        {"run": Run, "launch": Launch, "doctor": Doctor},
        prog="tangrax",
        description="A distributed solver for physics-informed networks.",
        args=options,
    )
    if isinstance(command, Doctor):
        sys.exit(doctor.report())
    if not script:
        sys.exit("tangrax: name the script to run, a file that ends in .py")
    if not os.path.isfile(script[0]):
        sys.exit(f"tangrax: there is no script {script[0]}")
    if isinstance(command, Launch):
        sys.exit(launch_processes(script, command.n, command.devices_per_process, command.mpi))
    run_script(script, command)


def run_script(script: Sequence[str], options: Run) -> None:
    """Join the processes, then run the script as if Python had been called with it."""
    setup(transport=options.transport, timeout=options.timeout)
    sys.argv = list(script)
    sys.path.insert(0, os.path.dirname(os.path.abspath(script[0])))
    runpy.run_path(script[0], run_name="__main__")
