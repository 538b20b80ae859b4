"""Choices that hold for the whole process, and joining it to the others of its run."""

import os
import socket
import sys
from dataclasses import dataclass, replace

import jax

from .detect import Launch, detect

DTYPES = ("float32", "float64")
PRECISIONS = ("default", "high", "highest")
TIMEOUT = 120  # seconds to wait for the other processes


@dataclass(frozen=True)
class Settings:
    """`dtype` None means: as the networks are. Matrix products are exact to their dtype by default (no TF32).

    `launch` is how the processes came to be, once they have been joined.
    """

    dtype: str | None = None
    matmul_precision: str = "highest"
    launch: Launch | None = None


_settings = Settings()


def settings() -> Settings:
    """The choices in force."""
    return _settings


def setup(
    *,
    dtype: str | None = None,
    matmul_precision: str | None = None,
    transport: str | None = None,
    timeout: int = TIMEOUT,
) -> Settings:
    """Choose the precision of this process and join it to the others; call it first, before anything is computed.

    `dtype="float64"` enables 64-bit numbers in JAX and trains in them, "float32" the reverse; networks
    made before are cast. `matmul_precision` is JAX's, "highest" unless said. What is left out stays as it is.

    Where a launcher started several processes, they find each other within `timeout` seconds. `transport` is "xla",
    "mpi" or "single"; left out, TANGRAX_TRANSPORT or the launcher's own variables decide. Calling it again changes
    nothing of that.
    """
    global _settings  # noqa: PLW0603 - the one process-wide state, set here alone
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"setup(dtype={dtype!r}): choose one of {', '.join(DTYPES)}")
    if matmul_precision is not None and matmul_precision not in PRECISIONS:
        raise ValueError(f"setup(matmul_precision={matmul_precision!r}): choose one of {', '.join(PRECISIONS)}")
    if not timeout > 0:
        raise ValueError(f"setup(timeout={timeout}): a positive number of seconds")
    if _settings.launch is None:
        launch = detect(os.environ, transport)
        if launch.transport == "xla" and launch.processes > 1:
            _join(launch, timeout)
        _settings = replace(_settings, launch=launch)
    elif transport not in (None, _settings.launch.transport):
        raise RuntimeError(
            f"setup(transport={transport!r}): this process was set up with {_settings.launch.transport} "
            f"({_settings.launch.rule}) and cannot change; say it in the first call"
        )
    if dtype is not None:
        jax.config.update("jax_enable_x64", dtype == "float64")
        _settings = replace(_settings, dtype=dtype)
    if matmul_precision is not None:
        _settings = replace(_settings, matmul_precision=matmul_precision)
    return _settings


def run_dtype(requested: str | None, networks: str) -> str:
    """The dtype of a run: asked for, else set up, else that of its networks."""
    dtype = requested or _settings.dtype or networks
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r}: choose one of {', '.join(DTYPES)}")
    if dtype == "float64" and not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            'dtype="float64" was asked for but JAX has 64-bit numbers switched off: call '
            'tx.setup(dtype="float64") at the top of the script, before networks are made'
        )
    return dtype


def _join(launch: Launch, timeout: int) -> None:
    """Join the processes of a launch through `jax.distributed`."""
    coordinator = os.environ.get("JAX_COORDINATOR_ADDRESS") or launch.coordinator or _slurm_coordinator(os.environ)
    host = coordinator.rpartition(":")[0]
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise RuntimeError(
            f"the coordinator's name '{host}' cannot be resolved on {socket.gethostname()} ({error}): set "
            f"JAX_COORDINATOR_ADDRESS=host:port to an address of the first node that all nodes can reach"
        ) from error
    try:
        jax.distributed.initialize(coordinator, launch.processes, launch.process, initialization_timeout=timeout)
    except Exception as error:
        if "before any JAX" in str(error) or "must be called before" in str(error):
            raise RuntimeError(
                "tx.setup() came too late: JAX has started its devices already. Call it at the top of the script, "
                "before arrays or networks are made, or start the script with `tangrax run script.py`"
            ) from error
        raise RuntimeError(
            f"process {launch.process} of {launch.processes} could not join the others at {coordinator} within "
            f"{timeout} s ({launch.rule}): are all processes running, is the port free, and does no firewall stand "
            f"between the nodes? JAX said: {error}"
        ) from error
    if launch.process == 0:
        nodes = os.environ.get("SLURM_NNODES", "1")
        print(
            f"tangrax: xla, {launch.processes} processes ({launch.launcher}), {jax.device_count()} devices, "
            f"{nodes} node(s)",
            file=sys.stderr,
        )


def _slurm_coordinator(environ) -> str:
    """The first node of the step, and a port that other jobs are unlikely to have."""
    nodes = environ["SLURM_STEP_NODELIST"]
    first = nodes.split(",")[0]
    if "[" in first:
        stem, _, rest = first.partition("[")
        first = stem + rest.split("-")[0].rstrip("]")
    return f"{first}:{61440 + int(environ['SLURM_JOB_ID']) % 4096}"
