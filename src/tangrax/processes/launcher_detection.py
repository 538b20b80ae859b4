"""Detects the launcher of a run, from the environment."""

from collections.abc import Mapping
from dataclasses import dataclass

TRANSPORTS = ("single", "xla", "mpi")
# A step that srun started has all of these; a shell inside an allocation, or an ssh to one of its nodes, only some.
SLURM_STEP = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
MPI_RANKS = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)
LAUNCH = ("TANGRAX_PROCESSES", "TANGRAX_PROCESS", "TANGRAX_COORDINATOR")


@dataclass(frozen=True)
class Launch:
    """What was found: the transport that fits, how many processes, which one this is, and which rule said so."""

    transport: str
    launcher: str
    processes: int
    process: int
    rule: str
    coordinator: str | None = None


def detect(environ: Mapping[str, str], transport: str | None = None) -> Launch:
    """The launch that the environment tells of.

    `transport` (an argument) beats TANGRAX_TRANSPORT, which beats detection: the processes that `tangrax launch`
    started or a complete Slurm step mean xla, an MPI launcher's variables without one mean mpi, nothing means single.
    """
    requested, source = transport, f"transport={transport!r} was given"
    if requested is None and environ.get("TANGRAX_TRANSPORT"):
        requested = environ["TANGRAX_TRANSPORT"]
        source = f"TANGRAX_TRANSPORT={requested} is set"
    if requested is not None and requested not in TRANSPORTS:
        raise ValueError(f"{source}: choose one of {', '.join(TRANSPORTS)}")
    detected = _detected(environ)
    if requested is None or requested == detected.transport:
        return detected
    if requested == "single":
        return Launch("single", detected.launcher, 1, 0, source)
    if requested == "mpi":
        processes, process = mpi_ranks(environ) or (detected.processes, detected.process)
        return Launch("mpi", detected.launcher, processes, process, source)
    # xla needs to be told of the other processes, which an MPI launcher alone does not do.
    return Launch("xla", detected.launcher, 1, 0, f"{source}; no Slurm step and no tangrax launch")


def _detected(environ: Mapping[str, str]) -> Launch:
    if all(environ.get(name) for name in LAUNCH):
        size, rank, coordinator = (environ[name] for name in LAUNCH)
        return Launch("xla", "tangrax", int(size), int(rank), f"{', '.join(LAUNCH)} are set", coordinator)
    present = [name for name in SLURM_STEP if environ.get(name)]
    ranks = mpi_ranks(environ)
    if len(present) == len(SLURM_STEP):
        # The shell that salloc opens is a step of one task in a job of many.
        size = int(environ.get("SLURM_STEP_NUM_TASKS") or environ["SLURM_NTASKS"])
        rank = int(environ["SLURM_PROCID"])
        # An mpirun inside a step counts its ranks otherwise than the step its tasks.
        if ranks is None or ranks == (size, rank):
            return Launch("xla" if size > 1 else "single", "slurm", size, rank, "a complete Slurm step")
    if ranks is not None:
        return Launch("mpi" if ranks[0] > 1 else "single", "mpirun", *ranks, "an MPI launcher's variables")
    if present:
        absent = ", ".join(name for name in SLURM_STEP if name not in present)
        return Launch("single", "single", 1, 0, f"inside a Slurm allocation but not in a step of srun: no {absent}")
    return Launch("single", "single", 1, 0, "no launcher's variables")


def mpi_ranks(environ: Mapping[str, str]) -> tuple[int, int] | None:
    """How many ranks an MPI launcher started, and which this one is; None without one."""
    for size, rank in MPI_RANKS:
        if environ.get(size) and environ.get(rank):
            return int(environ[size]), int(environ[rank])
    return None
