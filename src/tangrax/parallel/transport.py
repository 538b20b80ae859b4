"""Where the shards live: placing points, compiling a program for one shard, fetching results."""

import abc
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from .collectives import Collectives, Local, Xla
from .setup import settings

AXIS = "points"
Program = Callable[..., tuple[Any, Any]]


class Transport(eqx.Module):
    """Devices that share the points, and the program each of them runs."""

    mesh: eqx.AbstractVar[Mesh]

    @property
    @abc.abstractmethod
    def collectives(self) -> Collectives:
        """What a program for one shard talks through."""

    @property
    @abc.abstractmethod
    def writes(self) -> bool:
        """Whether this process is the one that writes files and prints."""

    @abc.abstractmethod
    def place(self, rows: np.ndarray) -> jax.Array:
        """Padded rows, each shard's on its own device."""

    @abc.abstractmethod
    def replicate(self, tree: Any) -> Any:
        """A copy of every array on every device."""

    @abc.abstractmethod
    def spmd(self, program: Program) -> Any:
        """Jitted `program(collectives, sharded, replicated) -> (replicated, sharded)`, run by every shard."""

    @abc.abstractmethod
    def fetch(self, rows: jax.Array) -> np.ndarray:
        """All shards' rows as one local array, the same on every process."""

    @property
    def size(self) -> int:
        return self.collectives.size


class OneDevice(Transport):
    """All points on one device."""

    mesh: Mesh = eqx.field(static=True)

    @property
    def collectives(self) -> Collectives:
        return Local()

    @property
    def writes(self) -> bool:
        return True

    def place(self, rows):
        return jax.device_put(rows, self.mesh.devices.flat[0])

    def replicate(self, tree):
        return jax.device_put(tree, self.mesh.devices.flat[0])

    def spmd(self, program):
        return jax.jit(_with_precision(partial(program, self.collectives)))

    def fetch(self, rows):
        return np.asarray(rows)


class Devices(Transport):
    """Points split over several devices of this process."""

    mesh: Mesh = eqx.field(static=True)

    @property
    def collectives(self) -> Collectives:
        return Xla(self.mesh.size, AXIS)

    @property
    def writes(self) -> bool:
        return True

    def place(self, rows):
        return jax.device_put(rows, NamedSharding(self.mesh, PartitionSpec(AXIS)))

    def replicate(self, tree):
        return jax.device_put(tree, NamedSharding(self.mesh, PartitionSpec()))

    def spmd(self, program):
        split, same = PartitionSpec(AXIS), PartitionSpec()
        # check_vma=False: the program sums what it means to sum and no derivative passes a collective.
        return jax.jit(
            jax.shard_map(
                _with_precision(partial(program, self.collectives)),
                mesh=self.mesh,
                in_specs=(split, same),
                out_specs=(same, split),
                check_vma=False,
            )
        )

    def fetch(self, rows):
        return np.asarray(rows)


def make_transport(devices: int | Mesh | None = None) -> Transport:
    """The transport for a choice of devices: all visible ones, the first k, or those of a mesh."""
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
    # Mesh(...) has Auto axes; jax.make_mesh's Explicit ones refuse J @ J.T of a row-sharded J.
    mesh = Mesh(np.array(chosen), (AXIS,))
    return OneDevice(mesh) if len(chosen) == 1 else Devices(mesh)


def _with_precision(program: Callable[..., Any]) -> Callable[..., Any]:
    def traced(*args):
        with jax.default_matmul_precision(settings().matmul_precision):
            return program(*args)

    return traced
