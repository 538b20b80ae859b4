"""Rendezvous: how the processes of a run find each other, before anything is computed."""

import contextlib
import logging
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from typing import Any

from . import mpi_library
from .failure_verdict import Limits
from .hub import Hub
from .launcher_detection import Launch
from .peers import ConnectedProcess, Peers

logger = logging.getLogger(__name__)

JAX = "jax"  # the socket's name
StartedHub = tuple[Hub, socket.socket]


def meet(
    launch: Launch, timeout: float, limits: Limits, environ: Mapping[str, str], certified: bool = False
) -> tuple[ConnectedProcess, dict[str, Any]]:
    """Join this process to the others of its launch; returns its connection and the greeting of process 0.

    The greeting holds the address of JAX's service: on one machine a name in the file system that this user alone can
    reach, unless it has certificates (`certified`), which are made for names of hosts.

    Raises RuntimeError with the reason if they have not all come after `timeout` seconds.
    """
    peers = ConnectedProcess(launch.process, launch.processes, limits)
    if launch.transport == "mpi":
        addresses, token, hub = _address_by_mpi(launch, limits)
    else:
        addresses, token, hub = _address_by_launcher(launch, limits, environ, certified)
    return peers, peers.join(addresses, token, timeout, hub)


def _address_by_launcher(
    launch: Launch, limits: Limits, environ: Mapping[str, str], certified: bool
) -> tuple[list[tuple[str, int]], str, StartedHub | None]:
    """Addresses that process 0 listens at, from the environment."""
    address = environ.get("JAX_COORDINATOR_ADDRESS") or launch.coordinator or slurm_coordinator(environ)
    host, _, number = address.rpartition(":")
    if not host or not number.isdigit():
        raise RuntimeError(f"the coordinator's address '{address}' is not of the form host:port")
    port = int(number)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise RuntimeError(
            f"the coordinator's name '{host}' cannot be resolved on {socket.gethostname()} ({error}): set "
            f"JAX_COORDINATOR_ADDRESS=host:port to an address of the first node that all nodes can reach"
        ) from error
    # By name: a node may know itself by a loopback address, and the others know it by another.
    loopback = host in ("localhost", "::1") or host.startswith("127.")
    token = environ.get("TANGRAX_TOKEN") or f"{environ.get('SLURM_JOB_ID', '')}.{_step(environ)}"
    hub = None
    if launch.process == 0:
        try:
            # A name may be that of one of several networks: all are listened on, but for a run on one machine.
            listening = _listen(host if loopback else "", port)
        except OSError as error:
            raise RuntimeError(
                f"process 0 cannot listen on port {port} of {socket.gethostname()} ({error.strerror}): another program "
                f"has it; set JAX_COORDINATOR_ADDRESS={host}:PORT to a free one, the same for all processes"
            ) from error

        def greeting() -> dict[str, Any]:
            folder = private_folder() if loopback and not certified else None
            if folder is not None:
                return {"jax": f"unix:{folder}/{JAX}", "bind": f"unix:{folder}/{JAX}", "folder": folder}
            jax_port = _free_port(host if loopback else "")
            return {"jax": f"{host}:{jax_port}", "bind": f"{host if loopback else '[::]'}:{jax_port}"}

        hub = Hub(launch.processes, token, limits, greeting), listening
    return [(host, port)], token, hub


def _address_by_mpi(launch: Launch, limits: Limits) -> tuple[list[tuple[str, int]], str, StartedHub | None]:
    """Addresses that rank 0 listens at, sent to the others through MPI."""
    world = mpi_library.world()
    if world.Get_size() != launch.processes:
        raise RuntimeError(
            f"the launcher started {launch.processes} ranks ({launch.rule}), but the MPI library of this Python sees "
            f"{world.Get_size()}: its mpirun or srun --mpi=… belongs to another MPI than mpi4py's "
            f"({mpi_library.version()})"
        )
    one_machine = world.Split_type(mpi_library.library().COMM_TYPE_SHARED).Get_size() == world.Get_size()
    addresses, token, hub = None, "", None
    if world.Get_rank() == 0:
        listening = _listen("127.0.0.1" if one_machine else "", 0)
        port, token = listening.getsockname()[1], os.urandom(16).hex()
        addresses = [(host, port) for host in (["127.0.0.1"] if one_machine else _own_names())]
        hub = Hub(launch.processes, token, limits, dict), listening
    addresses, token = world.bcast((addresses, token))
    return addresses, token, hub


def slurm_coordinator(environ: Mapping[str, str]) -> str:
    """The first node of the step, and a port that other jobs and steps are unlikely to have."""
    # The first of each list in brackets: node[3-4,7],other is node3, and so on.
    first = re.sub(r"\[(\w+)[^\]]*\]", r"\1", environ["SLURM_STEP_NODELIST"]).split(",")[0]
    if environ.get("SLURM_STEP_NUM_NODES") == "1":
        first = "127.0.0.1"
    return f"{first}:{61440 + (int(environ['SLURM_JOB_ID']) + 577 * _step(environ)) % 4096}"


def _step(environ: Mapping[str, str]) -> int:
    step = environ.get("SLURM_STEP_ID", "")
    return int(step) if step.isdigit() else 0


def announce(peers: Peers, launch: Launch, devices: int) -> None:
    """Write one line on the first process: transport, processes, devices, nodes."""
    if peers.rank == 0:
        logger.info(
            f"{launch.transport}, {peers.size} processes ({launch.launcher}), {devices} devices, {peers.nodes} "
            f"node{'s' if peers.nodes > 1 else ''}"
        )


def _listen(host: str, port: int) -> socket.socket:
    if host or not socket.has_dualstack_ipv6():
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)


def _free_port(host: str) -> int:
    with _listen(host, 0) as probe:
        return probe.getsockname()[1]


def private_folder() -> str | None:
    """A new one that this user alone can enter, fit for a socket; None where the system has no such sockets."""
    try:
        folder = tempfile.mkdtemp(prefix="tangrax-")
    except OSError:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(f"{folder}/{JAX}")  # too long a name, or a file system that has none
        os.unlink(f"{folder}/{JAX}")
    except (AttributeError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return folder


def _own_names() -> list[str]:
    """What other nodes may know this one by, the likeliest first."""
    name = socket.gethostname()
    names = [name, socket.getfqdn()]
    with contextlib.suppress(OSError):  # its own name may be unknown to it and known to the others
        names += [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    # Names may resolve to loopback on the node itself; addresses of its interfaces do not.
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it asks which interface would be used
        names.append(probe.getsockname()[0])
    return list(dict.fromkeys(names))
