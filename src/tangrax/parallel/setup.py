"""Settings of the process, and joining it to the others of its run."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
from jax.typing import DTypeLike

from ..processes import (
    Launch,
    Limits,
    Node,
    Peers,
    SingleProcess,
    announce,
    detect,
    jax_has_started,
    meet,
    mpi_ranks,
    refuse_fork,
    share_out,
    uses_gpus,
)

logger = logging.getLogger(__name__)

DTYPES = ("float32", "float64")
PRECISIONS = ("default", "high", "highest")
TIMEOUT = 120  # seconds to wait for the other processes
JAX_HEARTBEAT = 100  # seconds that JAX's own watch waits beyond ours, which names the process at fault
DESCRIPTORS = 32  # of a process for itself: event loops, threads, the compile cache


@dataclass(frozen=True)
class Settings:
    """`dtype` None means: as the networks are. Matrix products are exact to their dtype by default (no TF32).

    `launch` is how the processes came to be, and `peers` ties to them, once they have been joined.
    """

    dtype: str | None = None
    matmul_precision: str = "highest"
    launch: Launch | None = None
    peers: Peers = field(default_factory=SingleProcess)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that prints and writes files. Every one of them computes."""
        return self.peers.rank == 0

    @property
    def processes(self) -> int:
        """How many processes share the points."""
        return self.peers.size


current = Settings()  # of this process


def settings() -> Settings:
    """The choices in force."""
    return current


def setup(
    *,
    dtype: str | None = None,
    matmul_precision: str | None = None,
    transport: str | None = None,
    timeout: int = TIMEOUT,
    heartbeat: float | None = None,
    watchdog: float | None = None,
) -> Settings:
    """Chooses the precision of this process and joins it to the others; to be called before anything is computed.

    Where a launcher started several processes, they meet here, once: a later call may change precision and limits.

    Args:
        dtype: "float64" enables 64-bit numbers in JAX and trains in them, "float32" the reverse; networks made before
            are cast. Left out, it stays as it is.
        matmul_precision: JAX's precision of matrix products, "default", "high" or "highest"; "highest" at first.
        transport: "xla", "mpi" or "single"; by default TANGRAX_TRANSPORT or the launcher's own variables decide.
        timeout: seconds within which the processes find each other.
        heartbeat: seconds of silence after which a process counts as lost and all others end with a message; `inf`
            never. By default TANGRAX_HEARTBEAT, or 40.
        watchdog: seconds that others wait for a process in an operation of all before it counts as lost; `inf` for
            ever. By default TANGRAX_WATCHDOG, or 50.

    Returns:
        The settings in force, with the number of processes, and whether this one `writes` files.

    Raises:
        ValueError: an argument, or a variable of the environment, is out of range.
        RuntimeError: the processes do not find each other, JAX has started its devices already, or an earlier call
            chose another transport.
    """
    global current  # noqa: PLW0603 - the one process-wide state, set here alone
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"setup(dtype={dtype!r}): choose one of {', '.join(DTYPES)}")
    if matmul_precision is not None and matmul_precision not in PRECISIONS:
        raise ValueError(f"setup(matmul_precision={matmul_precision!r}): choose one of {', '.join(PRECISIONS)}")
    if not timeout > 0:
        raise ValueError(f"setup(timeout={timeout}): a positive number of seconds")
    refuse_fork("tx.setup")
    if current.launch is None:
        launch = detect(os.environ, transport)
        _refuse_copies(launch)
        limits = _limits(os.environ, heartbeat, watchdog)
        if launch.launcher == "single" and os.environ.get("SLURM_JOB_ID"):
            logger.warning(f"one process, {launch.rule}; srun starts the others")
        if launch.processes > 1:
            current = replace(current, peers=join_processes(launch, timeout, limits))
        current = replace(current, launch=launch)
    elif transport not in (None, current.launch.transport):
        raise RuntimeError(
            f"setup(transport={transport!r}): this process was set up with {current.launch.transport} "
            f"({current.launch.rule}) and cannot change; say it in the first call"
        )
    elif (heartbeat, watchdog) != (None, None):
        current.peers.limit(_limits(os.environ, heartbeat, watchdog))
    if dtype is not None:
        jax.config.update("jax_enable_x64", dtype == "float64")
        current = replace(current, dtype=dtype)
    if matmul_precision is not None:
        current = replace(current, matmul_precision=matmul_precision)
    return current


def run_dtype(requested: str | None, networks: str) -> str:
    """The dtype of a run: asked for, else set up, else that of its networks."""
    dtype = requested or current.dtype or networks
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: choose one of {', '.join(DTYPES)}")
    if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            'dtype="float64" was asked for but JAX has 64-bit numbers switched off: call '
            'tx.setup(dtype="float64") at the top of the script, before networks are made'
        )
    return dtype


def precision_of(dtype: DTypeLike) -> str:
    """In words, of numbers and of matrix products."""
    return f"{dtype}, products {current.matmul_precision}"


def _refuse_copies(launch: Launch) -> None:
    ranks = mpi_ranks(os.environ)
    if launch.transport == "xla" and launch.processes == 1 and ranks is not None and ranks[0] > 1:
        raise RuntimeError(
            f"{launch.rule}: an MPI launcher started {ranks[0]} processes, which would each train a copy of its own. "
            f"Leave the transport to detection (mpi), or start them with srun or tangrax launch"
        )


def _limits(environ: Mapping[str, str], heartbeat: float | None, watchdog: float | None) -> Limits:
    seconds: dict[str, float] = {}
    for name, value in (("heartbeat", heartbeat), ("watchdog", watchdog)):
        variable = f"TANGRAX_{name.upper()}"
        if value is not None:
            seconds[name] = value
        elif environ.get(variable):
            try:
                seconds[name] = float(environ[variable])
            except ValueError:
                raise ValueError(f"{variable}={environ[variable]}: a number of seconds, or inf") from None
    return Limits(**seconds)


def join_processes(launch: Launch, timeout: float, limits: Limits) -> Peers:
    """Join the processes of a launch; those of xla through `jax.distributed` as well."""
    if launch.transport == "xla" and jax_has_started():
        raise RuntimeError(
            "tx.setup() came too late: JAX has started its devices already. Call it at the top of the script, "
            "before arrays or networks are made, or start the script with `tangrax run script.py`"
        )
    check_descriptors(launch.processes)
    peers, greeting = meet(launch, timeout, limits, os.environ, has_certificates())
    try:
        _start_jax(launch, greeting, timeout, limits)
        peers.heed_sigterm()
        announce(peers, launch, peers.size if launch.transport == "mpi" else jax.device_count())
    except Exception as error:  # the others, who have met this one, would wait for it inside JAX
        peers.fail(f"failed: {type(error).__name__}: {error}"[:1000])
        raise
    peers.shut_door()
    return peers


def _start_jax(launch: Launch, greeting: Mapping[str, Any], timeout: float, limits: Limits) -> None:
    """Tell JAX which devices are this process's and, under xla, of the other processes."""
    gpus = _gpus(launch, greeting)
    if launch.transport == "mpi" and gpus is not None and not jax_has_started():
        for platform in ("cuda", "rocm"):
            jax.config.update(f"jax_{platform}_visible_devices", ",".join(map(str, gpus)))
    if launch.transport == "xla":
        if not os.path.isdir(greeting.get("folder", "/")):
            raise RuntimeError(
                f"process {launch.process} does not see {greeting['folder']}, where process 0 listens: they share no "
                f"directory for temporary files. Set TMPDIR to one that they share, or a "
                f"JAX_COORDINATOR_ADDRESS=host:port that is not loopback's"
            )
        jax.distributed.initialize(
            greeting["jax"],
            launch.processes,
            launch.process,
            local_device_ids=gpus,
            cluster_detection_method="deactivate",
            initialization_timeout=int(timeout) + 1,
            coordinator_bind_address=greeting["bind"],
            # Ours, which names the process at fault, is to speak first.
            heartbeat_timeout_seconds=JAX_HEARTBEAT + int(min(limits.heartbeat, 1e6)),
        )


def check_descriptors(processes: int) -> None:
    """Refuse to start with fewer than the connections take: JAX's service would try again for ever."""
    held = []
    wanted = DESCRIPTORS + 2 * processes
    try:
        for _ in range(wanted):
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise RuntimeError(
            f"{len(held)} more files can be opened ({error.strerror}), and {processes} processes take {wanted} for "
            f"their connections: raise the limit (ulimit -n)"
        ) from error
    finally:
        for each in held:
            os.close(each)


def has_certificates() -> bool:
    """Whether JAX's service has been given certificates (mTLS), which JAX reads from its own settings."""
    if not hasattr(jax.config, "jax_mtls_cert_file") and os.environ.get("JAX_MTLS_CERT_FILE"):
        raise RuntimeError(
            f"JAX_MTLS_CERT_FILE is set, and jax {jax.__version__} would ignore it and communicate in the open: "
            f"install jax 0.12, or unset it"
        )
    return bool(getattr(jax.config, "jax_mtls_cert_file", None))


def _gpus(launch: Launch, greeting: Mapping[str, Any]) -> list[int] | None:
    """This process's part of the GPUs that it sees, before JAX takes all of them; what stays idle is said."""
    used = uses_gpus(jax.config.jax_platforms)  # pyright: ignore[reportAttributeAccessIssue]
    node = Node.of(launch.process, [(name, gpus) for name, gpus in greeting["seen"]])
    share = share_out(os.environ, launch.transport, node, used)
    if share.notice:
        logger.warning(share.notice)
    return share.own
