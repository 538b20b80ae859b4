"""Transports of XLA: one device, several of one process, or those of many processes that JAX has joined."""

import functools
import os
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..processes import Peers, SingleProcess, detect, refuse_fork
from .base import AXIS, Transport
from .collectives import Collectives, Local, Xla
from .mpi_transport import make_mpi_transport
from .setup import settings

SINGLE_PROCESS = SingleProcess()
COLLECTED = 2**26  # bytes that `collect` gathers at once


class OneDevice(Transport):
    """All points on one device."""

    mesh: Mesh = eqx.field(static=True)

    @property
    def collectives(self) -> Collectives:
        return Local()

    @property
    def peers(self) -> Peers:
        return SINGLE_PROCESS

    def place(self, rows):
        return jax.device_put(rows[:], self.mesh.devices.flat[0])

    def replicate(self, tree):
        return jax.device_put(tree, self.mesh.devices.flat[0])

    def fetch(self, rows):
        return np.asarray(rows)

    def local(self, rows):
        return 0, np.asarray(rows)

    def _jit(self, program):
        return jax.jit(program)

    def _broadcast(self, array):
        return array


class Devices(Transport):
    """Points split over the devices of a mesh, those of this process or of many that JAX has joined."""

    mesh: Mesh = eqx.field(static=True)

    @property
    def collectives(self) -> Collectives:
        return Xla(self.mesh.size, AXIS)

    @property
    def peers(self) -> Peers:
        # `make_transport` sees to it that every process takes part.
        return settings().peers if self.mesh.is_multi_process else SINGLE_PROCESS

    def place(self, rows):
        # Every process hands its own devices their blocks, and asks for no others.
        sharding = NamedSharding(self.mesh, PartitionSpec(AXIS))
        return jax.make_array_from_callback(rows.shape, sharding, lambda index: rows[index[0]])  # pyright: ignore[reportOptionalSubscript]

    def replicate(self, tree):
        sharding = NamedSharding(self.mesh, PartitionSpec())
        if self.mesh.is_multi_process:
            return jax.tree.map(lambda x: _on_every_process(x, sharding), tree)
        return jax.device_put(tree, sharding)

    def fetch(self, rows):
        if self.mesh.is_multi_process:
            rows = _gathered_by(self)(rows, ())[0]
        return np.asarray(rows)

    def collect(self, rows):
        if not self.mesh.is_multi_process:
            return np.asarray(rows)
        # A few rows of each shard at a time: what is gathered lies on every device for a moment.
        count = len(rows) // self.mesh.size
        collected = np.empty(rows.shape, rows.dtype) if self.writes else None
        step = max(1, COLLECTED // max(1, self.mesh.size * rows.nbytes // len(rows)))
        for start in range(0, count, step):
            piece = np.asarray(_some_gathered_by(self, min(step, count - start))(rows, start)[0])
            if collected is not None:
                collected.reshape(self.mesh.size, count, *rows.shape[1:])[:, start : start + step] = piece
        return collected

    def local(self, rows):
        shards = sorted(rows.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return shards[0].index[0].start or 0, np.concatenate([np.asarray(shard.data) for shard in shards])

    def _jit(self, program):
        split, same = PartitionSpec(AXIS), PartitionSpec()
        # check_vma=False: the program sums what it means to sum and no derivative passes a collective.
        return jax.jit(
            jax.shard_map(program, mesh=self.mesh, in_specs=(split, same), out_specs=(same, split), check_vma=False)
        )

    def _broadcast(self, array):
        # By bytes: JAX would round 64-bit numbers where they are switched off.
        flat = np.frombuffer(array.tobytes(), np.uint8)
        sent = np.asarray(multihost_utils.broadcast_one_to_all(flat))
        return np.frombuffer(sent.tobytes(), array.dtype).reshape(array.shape)


def _on_every_process(x: Any, sharding: NamedSharding) -> jax.Array:
    """An array that each process has, as one replicated array."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return x
    local = np.asarray(x)
    return jax.make_array_from_callback(local.shape, sharding, lambda index: local[index])


@functools.cache
def _some_gathered_by(transport: Transport, count: int) -> Any:
    """The program that gives every shard `count` rows of each from a row on: (shards, count, …)."""

    def program(collectives: Any, rows: Any, start: Any) -> tuple[Any, Any]:
        return collectives.gather(jax.lax.dynamic_slice_in_dim(rows, start, count)[None]), ()

    return transport.spmd(program, "collecting rows")


@functools.cache
def _gathered_by(transport: Transport) -> Any:
    """The program that gives every shard all rows."""
    return transport.spmd(lambda collectives, rows, nothing: (collectives.gather(rows), ()), "gathering rows")


def make_transport(devices: int | Mesh | None = None) -> Transport:
    """The transport for a choice of devices: all that the processes see, the first k, or those of a mesh."""
    refuse_fork("computing")
    launch = settings().launch or detect(os.environ)
    if launch.transport == "mpi":
        return make_mpi_transport(devices)
    if launch.transport == "xla" and launch.processes > 1 and jax.process_count() == 1:
        raise RuntimeError(
            f"this is process {launch.process} of {launch.processes} ({launch.rule}), but they were not joined: "
            f"each would train a copy of its own. Start the script with `tangrax run script.py`, or call tx.setup() "
            f"at its top, before anything is computed"
        )
    visible = jax.devices()
    if devices is None:
        chosen = visible
    elif isinstance(devices, Mesh):
        chosen = list(devices.devices.flat)
    elif isinstance(devices, int) and not isinstance(devices, bool):
        if not 1 <= devices <= len(visible):
            raise ValueError(
                f"devices={devices}: {len(visible)} visible ({visible[0].platform}). Ask for 1 to {len(visible)}, or "
                f"emulate more on a CPU with XLA_FLAGS=--xla_force_host_platform_device_count={max(devices, 1)}"
            )
        chosen = visible[:devices]
    else:
        raise TypeError(f"devices={devices!r}: give a number of devices, or a jax.sharding.Mesh")
    if {device.process_index for device in chosen} != set(range(jax.process_count())):
        raise ValueError(
            f"devices={devices}: with {jax.process_count()} processes every process must take part; leave devices "
            f"out to use all {len(visible)}, or start fewer processes"
        )
    # Mesh(...) has Auto axes; jax.make_mesh's Explicit ones refuse J @ J.T of a row-sharded J.
    mesh = Mesh(np.array(chosen), (AXIS,))
    return OneDevice(mesh) if len(chosen) == 1 else Devices(mesh)
