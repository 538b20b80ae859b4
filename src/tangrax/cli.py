"""The command line: `tangrax run`, `launch`, `report`, `analyse`, `init`, `problems`, `doctor`."""

import contextlib
import difflib
import os
import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from . import problems
from .analysis import as_written, findings, read_record, summary
from .checkpoint import refuse_unwritable
from .launch import launch_processes, use_devices
from .monitor import PROFILE
from .parallel import doctor, setup
from .processes import AGREED
from .refused import one_line
from .starter import write_starter

GRAVE = 3  # exit code of `analyse` where what it found is grave
Program = Annotated[
    tuple[str, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="SCRIPT|PROBLEM [ARGS ...]", help_behavior_hint="(required)"),
]


@dataclass
class Run:
    """Run a script, or solve a problem, as one of the processes that Slurm, mpirun or `tangrax launch`
    started.

    The processes are joined before the script is loaded, so that it needs no line for it. What follows the
    script's name goes to the script. `tangrax problems` lists the problems; what may follow the name of one is
    told by `tangrax run burgers --help`.
    """

    transport: Literal["xla", "mpi", "single"] | None = None
    """how the processes talk; TANGRAX_TRANSPORT or the launcher's variables decide if left out"""
    timeout: int = 120
    """seconds to wait for the other processes"""
    profile: Path | None = None
    """directory for a trace, and a table of what took how long"""
    program: Program = ()
    """a file that ends in .py or a problem, and its own arguments"""


@dataclass
class Launch:
    """Start a script or a problem in several processes of this machine, as Slurm (or, with --mpi, mpirun) would.

    Lines of output begin with the process's number. If one process fails, the others are stopped, and its exit
    code is that of the command. What follows the script's name goes to the script.
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 2
    """number of processes"""
    devices_per_process: int | None = None
    """emulated CPU devices in each process (GPUs, with JAX_PLATFORMS=cuda); its share of the devices if left out"""
    mpi: bool = False
    """start them with mpirun, to talk through mpi4jax"""
    program: Program = ()
    """a file that ends in .py or a problem, and its own arguments"""


@dataclass
class Report:
    """Write a page of a run, running or ended: losses, cosines, spectra, solution and error, and what they call for.

    One file that needs no network. `tangrax report runs/first` writes runs/first/report.html.
    """

    run_dir: Annotated[Path, tyro.conf.Positional]
    """what solver.solve(run_dir=…) made"""
    out: Path | None = None
    """the file; report.html in the run's directory unless said"""


@dataclass
class Analyse:
    """Say what a run has come to, and what its tracked values call for; exit code 3 where that is grave."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """what solver.solve(run_dir=…) made"""


@dataclass
class Init:
    """Write a program to start from and a batch file for Slurm that runs it: train.py, train.sbatch."""

    directory: Annotated[Path, tyro.conf.Positional] = Path()
    """where; made if it is not there"""
    cpu: bool = False
    """a batch file for CPUs, one task a node"""


@dataclass
class Problems:
    """List the problems of a family: equation, reference, and the errors that were measured or published."""

    family: Literal["library", "pinnacle", "dsgnar"] = "library"
    """library: settings that are known to solve them, with errors and times as measured; others: benchmarks as they
    are stated elsewhere, with the least error that was published"""


@dataclass
class Doctor:
    """Say what would be used here: launcher, transport, devices, versions; exit code 1 if something is broken."""


@dataclass
class Solve:
    """Train in float64 with the settings of the problem, and compare with the reference."""

    devices: int | None = None
    """number of devices that share the points; all visible ones unless said"""
    emulate: bool = False
    """make that many devices of this machine's CPU"""
    epochs: int | None = None
    """those of the problem unless said"""
    seed: int = 0
    """of the networks"""
    save: Path | None = None
    """file for the trained solver"""
    run_dir: Path | None = None
    """directory for checkpoints, and what a report shows; the same command goes on from there"""
    resume: bool = True
    """go on from what run_dir holds; with --no-resume, refuse one that holds checkpoints"""


Command = Run | Launch | Report | Analyse | Init | Problems | Doctor


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `tangrax`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = parse(words)
    if isinstance(command, (Run, Launch)):
        refuse_unknown(words[0], command.program)
    if isinstance(command, Run):
        if command.profile is not None:
            os.environ[PROFILE] = str(command.profile.absolute())  # for all that the script solves
        name, *rest = command.program
        if name not in problems.every_name():
            run_script(command)
            return
        solve = tyro.cli(Solve, prog=f"tangrax run {name}", args=rest)
        with one_line(f"run {name}"):
            solve_problem(name, solve, command)
        return
    with one_line(words[0]):
        if isinstance(command, Launch):
            sys.exit(launch_processes(command.program, command.n, command.devices_per_process, command.mpi))
        sys.exit(look_at(command))


def parse(words: Sequence[str]) -> Command:
    """Return the command that the words of a command line say, or end the process with its help or what is wrong."""
    description = "A distributed solver for physics-informed networks."
    return tyro.cli(Command, prog="tangrax", description=description, args=ended(words))  # pyright: ignore


def ended(words: Sequence[str]) -> list[str]:
    """The words, with `--` before the program of `run` or `launch`: what follows is the program's, options too.

    tyro has nothing like argparse's REMAINDER: it would take `--timeout` for its own wherever it stands.
    """
    command = {"run": Run, "launch": Launch}.get(words[0] if words else "")
    if command is None:
        return list(words)
    options = [field.name for field in fields(command) if field.type is not bool]
    with_value = {"-n", *(f"--{name.replace('_', '-')}" for name in options)}
    place = 1
    while place < len(words) and words[place].startswith("-") and words[place] != "--":
        place += 2 if words[place].replace("_", "-") in with_value else 1
    program = words[place:]
    return [*words[:place], *(["--"] if program and program[0] != "--" else []), *program]


def refuse_unknown(command: str, program: Sequence[str]) -> None:
    """End the process where the first word of a program names neither a script nor a problem."""
    known = problems.every_name()
    if not program:
        sys.exit("tangrax: name what to run, a file that ends in .py or a problem: tangrax problems lists them")
    name = program[0]
    if name not in known and not name.endswith(".py"):
        near = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {near[0]}?" if near else "see tangrax problems"
        sys.exit(f"tangrax {command}: '{name}' is no file that ends in .py and no problem: {meant}")
    if name not in known and not os.path.isfile(name):
        sys.exit(f"tangrax: there is no script {name}")


def show(text: str) -> None:
    """Print to a reader who may leave before the end, as `head` does."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more as it ends


def look_at(command: Report | Analyse | Init | Problems | Doctor) -> int:
    """Run a command that trains nothing; return the exit code."""
    if isinstance(command, Doctor):
        return doctor.report()
    if isinstance(command, Problems):
        show(problems.table(command.family))
        return 0
    if isinstance(command, Init):
        for path in write_starter(command.directory, cpu=command.cpu):
            print(f"wrote {path}")
        change_directory = "" if command.directory.resolve() == Path.cwd() else f"cd {command.directory}; "
        print(f"next: {change_directory}python train.py --help")
        return 0
    if isinstance(command, Report):
        # Matplotlib, as it is loaded, reads the settings of the directory that it is in: it may be someone else's.
        with contextlib.chdir(Path(__file__).parent):
            from .report import write_report

        print(f"wrote {write_report(command.run_dir, command.out)}")
        return 0
    record = read_record(command.run_dir)
    with as_written(command.run_dir):
        text, grave = summary(record), any(finding.grave for finding in findings(record))
    show(text)
    return GRAVE if grave else 0


def run_script(command: Run) -> None:
    """Join the processes, then run the script as if Python had been called with it."""
    with one_line("run"):
        setup(transport=command.transport, timeout=command.timeout)
    script = sys.argv = list(command.program)
    sys.path.insert(0, os.path.dirname(os.path.abspath(script[0])))
    try:
        runpy.run_path(script[0], run_name="__main__")
    except KeyboardInterrupt as stopped:
        if stopped.args != (AGREED,):
            raise
        sys.exit(130)  # training has said where it stopped: a traceback would say nothing more


def solve_problem(name: str, options: Solve, run: Run) -> None:
    """Solve a problem and say how far off the answers are."""
    if options.epochs is not None and options.epochs < 1:
        sys.exit(f"tangrax run {name} --epochs {options.epochs}: give 1 or more")
    if not -(2**63) <= options.seed < 2**63:
        sys.exit(f"tangrax run {name} --seed {options.seed}: give a number of 64 bits")
    if options.save is not None:
        refuse_unwritable(options.save)  # before anything is trained
    devices = use_devices(options.devices, options.emulate)
    settings = setup(dtype="float64", transport=run.transport, timeout=run.timeout)
    problem = problems.get(name)
    if settings.writes:
        print(f"{name}: {problem.equation}", flush=True)
    solved = problem.solve(
        epochs=options.epochs,
        seed=options.seed,
        devices=devices,
        run_dir=options.run_dir,
        resume="auto" if options.resume else "never",
    )
    if options.save is not None:
        solved.solver.save(options.save)
    if settings.writes:
        print(problems.report(problem, solved), flush=True)
