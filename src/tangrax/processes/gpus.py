"""Which of the GPUs of its node a process takes, settled before JAX looks for any."""

import glob
import importlib.util
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .launcher_detection import detect

VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")  # HIP counts among those of ROCR
DEVICE_FILES = "/dev/nvidia[0-9]*"
DEVICES = "TANGRAX_DEVICES_PER_PROCESS"
MPI_PLACES = (
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
    ("MV2_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
)
# With one of these, processes under MPI can share a GPU: JAX else takes three quarters of its memory for each.
MEMORY = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_PREALLOCATE")


@dataclass(frozen=True)
class Node:
    """The processes of a node: the GPUs that each sees, and which of them this one is."""

    place: int
    seen: Sequence[Sequence[str] | None]

    @classmethod
    def of(cls, rank: int, reports: Sequence[tuple[str, Sequence[str] | None]]) -> "Node":
        """The node of a rank, from the reports of all ranks: the name of a rank's node, and the GPUs that it sees."""
        name, _ = reports[rank]
        return cls(sum(node == name for node, _ in reports[:rank]), [gpus for node, gpus in reports if node == name])


@dataclass(frozen=True)
class Share:
    """`own` counts among the GPUs that the process sees; None means all of them. `notice` is for the node's first."""

    own: list[int] | None = None
    notice: str = ""


def own_gpus(environ: Mapping[str, str], transport: str = "xla", node: Node | None = None) -> list[int] | None:
    """Which of the GPUs that a process sees are its own, counted among those; None means all of them.

    Raises RuntimeError where there are fewer than processes.
    """
    return share_out(environ, transport, node).own


def share_out(environ: Mapping[str, str], transport: str = "xla", node: Node | None = None, used: bool = True) -> Share:
    """Equal, consecutive parts of the GPUs that the processes of a node see, by their places on it.

    Where each sees GPUs of its own (bound to it by Slurm, or by a script that sets CUDA_VISIBLE_DEVICES), it takes
    those. A rank of MPI takes one. Too few are refused where they would be `used`: with RuntimeError, since NCCL takes
    one process a GPU.
    """
    if environ.get("JAX_LOCAL_DEVICE_IDS") and transport == "xla":
        return Share()  # JAX reads them
    launcher, setting = _place(environ)
    if setting is None and node is not None:
        setting = node.place, len(node.seen)
    if setting is None:
        return Share()
    place, processes = setting
    seen = visible_gpus(environ)
    if seen is None:  # not handed out by Slurm, nor counted: one each, as many as there are tasks
        return Share([place] if launcher == "slurm" and processes > 1 and not _bound(environ) else None)
    if not seen:
        return Share()
    separate = node is not None and any(gpus != seen for gpus in node.seen)
    if separate or (launcher == "slurm" and (_bound(environ) or _narrowed(environ, len(seen), processes))):
        place, processes = 0, 1
    requested = 1 if transport == "mpi" else _requested(environ)
    share = len(seen) // processes
    counted = f"{len(seen)} GPU{'s' if len(seen) > 1 else ''} ({','.join(seen)})"
    if requested > share or share == 0:
        if transport == "mpi" and any(environ.get(name) for name in MEMORY):
            return Share([place % len(seen)])
        if not used:
            return Share()
        raise RuntimeError(_too_few(counted, processes, requested, transport))
    if processes == 1 and not requested:
        return Share()
    idle = len(seen) - processes * (requested or share)
    notice = ""
    if used and place == 0 and idle and (not requested or transport == "mpi"):
        why = "a rank of MPI takes one" if transport == "mpi" else "shares are equal"
        notice = f"{counted} for {processes} process{'es' if processes > 1 else ''}: {idle} left idle, since {why}"
    return Share(list(range(place * share, place * share + (requested or share))), notice)


def visible_gpus(environ: Mapping[str, str]) -> list[str] | None:
    """Names of the GPUs that a process sees, read without starting CUDA; None where nothing tells of any."""
    named = next((environ[name] for name in VISIBLE if name in environ), None)
    if named is None:
        # CUDA counts from 0 what there is, which in a container may be /dev/nvidia2 alone.
        count = sum(re.fullmatch(r"/dev/nvidia\d+", path) is not None for path in glob.glob(DEVICE_FILES))
        return [str(number) for number in range(count)] or None
    seen: list[str] = []
    for name in (part.strip() for part in named.split(",")):
        if not re.fullmatch(r"\d+|(GPU|MIG)-.+", name):
            break  # CUDA takes no notice of what follows a name that is none, such as -1 or NoDevFiles
        seen.append(name)
        if name.startswith("MIG-"):
            return [name]  # CUDA gives a process one part of a divided GPU
    return seen


def uses_gpus(platforms: str | None) -> bool:
    """Whether JAX would look for GPUs: told to, or told nothing and with a plugin for them."""
    if platforms:
        return any(name.strip() in ("cuda", "rocm", "gpu") for name in platforms.split(","))
    plugins = importlib.util.find_spec("jax_plugins")
    folders = list(plugins.submodule_search_locations or ()) if plugins else []
    return any(module.name.startswith(("xla_cuda", "xla_rocm")) for module in pkgutil.iter_modules(folders))


def _place(environ: Mapping[str, str]) -> tuple[str, tuple[int, int] | None]:
    """The launcher, and which of how many processes of the node this one is, where variables tell of it."""
    launch = detect(environ)
    if launch.launcher == "slurm":
        return launch.launcher, (int(environ["SLURM_LOCALID"]), _tasks_on_node(environ))
    if launch.launcher == "tangrax":
        address = environ.get("JAX_COORDINATOR_ADDRESS") or launch.coordinator or ""
        on_this_node = address.startswith(("127.", "localhost:"))
        return launch.launcher, (launch.process, launch.processes) if on_this_node else None
    for size, rank in MPI_PLACES:
        if environ.get(size) and environ.get(rank):
            return launch.launcher, (int(environ[rank]), int(environ[size]))
    return launch.launcher, None


def _bound(environ: Mapping[str, str]) -> bool:
    """Whether Slurm shows a task its own GPUs alone: SLURM_LOCALID is no device number then."""
    # SLURM_TRES_PER_TASK may tell of cores alone.
    bind, each = environ.get("SLURM_GPU_BIND", ""), environ.get("SLURM_TRES_PER_TASK", "")
    return bind != "none" and bool(bind or environ.get("SLURM_GPUS_PER_TASK") or "gpu" in each)


def _narrowed(environ: Mapping[str, str], count: int, tasks: int) -> bool:
    """Whether a Slurm task sees but some of what the job has on its node, though nothing says that it is bound."""
    on_node = environ.get("SLURM_GPUS_ON_NODE", "")
    return int(on_node) > count if on_node.isdigit() else count < tasks


def _tasks_on_node(environ: Mapping[str, str]) -> int:
    """Tasks of the step on this node, from a list such as 4(x2),1 of them node by node."""
    total = environ["SLURM_NTASKS"]
    setting = environ.get("SLURM_STEP_TASKS_PER_NODE") or environ.get("SLURM_NTASKS_PER_NODE") or total
    per_node: list[int] = []
    for part in setting.split(","):
        tasks, _, times = part.partition("(x")
        per_node += [int(tasks)] * int(times.rstrip(")") or 1)
    return per_node[min(int(environ.get("SLURM_NODEID") or 0), len(per_node) - 1)]


def _requested(environ: Mapping[str, str]) -> int:
    """GPUs for each process, where that is set; else 0."""
    setting = environ.get(DEVICES, "") or "0"
    if not setting.isdecimal():
        raise ValueError(f"{DEVICES}={setting}: a number of GPUs for each process")
    return int(setting)


def _too_few(counted: str, processes: int, requested: int, transport: str) -> str:
    each = f" of {requested} GPUs each" if requested > 1 else ""
    if transport == "mpi":
        share = "leave each rank a part of its memory, such as XLA_CLIENT_MEM_FRACTION=.4, to let them share it"
        why = "JAX takes three quarters of a GPU's memory for each process"
    else:
        share = "with JAX_PLATFORMS=cpu compute on the CPU"
        why = "NCCL takes one process a GPU"
    return (
        f"{processes} process{'es' if processes > 1 else ''}{each} on this node, which sees {counted}: {why}. "
        f"Start fewer processes a node (-n, --ntasks-per-node), show them more GPUs (CUDA_VISIBLE_DEVICES, --gres), or "
        f"{share}"
    )
