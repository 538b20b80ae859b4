"""`tangrax doctor`: launcher, transport, devices and packages of a run started here, and whether they work."""

import importlib.metadata
import os
import platform
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from ..processes import detect, mpi_library
from .base import Transport
from .mpi_transport import make_mpi_transport
from .transport import make_transport

PACKAGES = ("tangrax", "jax", "jaxlib", "equinox", "optax", "mpi4jax", "mpi4py")
SIZE = 2**18  # float32 numbers: 1 MB


def report(console: Console | None = None) -> int:
    """Print what was detected and time a 1 MB all-reduce on each transport that is here; 1 if one is broken."""
    console = console or Console()
    table = Table("what", "found", title="tangrax doctor")
    launch = detect(os.environ)
    table.add_row("launcher", f"{launch.launcher}: process {launch.process} of {launch.processes}")
    table.add_row("transport", f"{launch.transport} ({launch.rule})")
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for name in PACKAGES:
        try:
            table.add_row(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            table.add_row(name, "not installed")
    broken = False
    try:
        devices = jax.devices()
        table.add_row("devices", f"{len(devices)} {devices[0].platform}: {', '.join(map(str, devices[:8]))}")
    except RuntimeError as error:
        broken = True
        table.add_row("devices", f"broken: {error}")
    for name, make in (("xla", make_transport), ("mpi", make_mpi_transport)):
        if name == "mpi" and not _installed("mpi4jax"):
            continue
        try:
            if name == "mpi":
                table.add_row("MPI library", mpi_library.version())
            table.add_row(f"1 MB all-reduce, {name}", f"{1e3 * _all_reduce(make()):.2f} ms")
        except Exception as error:
            broken = True
            table.add_row(f"1 MB all-reduce, {name}", f"broken: {error}")
    console.print(table)
    return int(broken)


def _all_reduce(transport: Transport) -> float:
    """Seconds of one all-reduce, after one that compiles."""
    rows = transport.place(np.ones((transport.size, SIZE), np.float32))

    def program(collectives: Any, block: Any, nothing: Any) -> tuple[Any, Any]:
        return collectives.sum(block), ()

    compiled = transport.spmd(program, "a 1 MB all-reduce")
    total = np.asarray(jax.block_until_ready(compiled(rows, ())[0]))
    if not np.allclose(total, transport.size):
        raise RuntimeError(f"the sum over {transport.size} shards of ones is {total.flat[0]}")
    start = time.perf_counter()
    jax.block_until_ready(compiled(rows, ()))
    return time.perf_counter() - start


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
