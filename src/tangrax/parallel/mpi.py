"""Transport of MPI: ranks that talk through mpi4jax, one device each."""

import importlib
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from .base import AXIS, Transport, with_precision
from .collectives import Collectives

INSTALL = "pip install mpich mpi4py && pip install 'tangrax[mpi]' (or load your site's MPI before mpi4py is built)"


class Mpi(Collectives):
    """Shards that are ranks of an MPI communicator.

    mpi4jax orders its calls by an effect that JAX allows for one device a process only.
    """

    size: int = eqx.field(static=True)
    index: int = eqx.field(static=True)

    @property
    def rank(self):
        return self.index

    def sum(self, tree):
        if not jax.tree.leaves(tree):
            return tree
        flat, unravel = ravel_pytree(tree)
        return unravel(_mpi4jax().allreduce(flat, op=_mpi().SUM, comm=_world()))

    def gather(self, rows):
        everyone = _mpi4jax().allgather(jnp.asarray(rows), comm=_world())
        return everyone.reshape(-1, *everyone.shape[2:])

    def shift(self, tree, k=1):
        before, after = (self.index - k) % self.size, (self.index + k) % self.size
        flat, unravel = ravel_pytree(tree)
        return unravel(_mpi4jax().sendrecv(flat, flat, source=before, dest=after, comm=_world()))


class MpiRanks(Transport):
    """Points split over MPI ranks; `mesh` is the one device of this rank."""

    mesh: Mesh = eqx.field(static=True)
    ranks: int = eqx.field(static=True)
    rank: int = eqx.field(static=True)

    @property
    def collectives(self) -> Collectives:
        return Mpi(self.ranks, self.rank)

    @property
    def writes(self) -> bool:
        return self.rank == 0

    @property
    def processes(self) -> int:
        return self.ranks

    def place(self, rows):
        each = len(rows) // self.ranks
        return jax.device_put(rows[self.rank * each : (self.rank + 1) * each], self.mesh.devices.flat[0])

    def replicate(self, tree):
        return jax.device_put(tree, self.mesh.devices.flat[0])

    def spmd(self, program):
        return jax.jit(with_precision(partial(program, self.collectives)))

    def fetch(self, rows):
        return np.concatenate(_world().allgather(np.asarray(rows)))

    def local(self, rows):
        return self.rank * len(rows), np.asarray(rows)


def make_mpi_transport(devices: Any = None) -> MpiRanks:
    """The transport of this process's MPI rank."""
    _mpi4jax()
    if devices not in (None, 1):
        raise ValueError(
            f"devices={devices!r}: under MPI every rank has one device, since mpi4jax's calls are ordered by an effect "
            f"that JAX allows for a single device. Start as many ranks as there are devices"
        )
    # Ranks of one node take its devices in turn; on a CPU each rank has its own process's first one.
    world, local = _world(), jax.local_devices()
    on_node = world.Split_type(_mpi().COMM_TYPE_SHARED).Get_rank()
    device = local[on_node % len(local)] if local[0].platform != "cpu" else local[0]
    return MpiRanks(Mesh(np.array([device]), (AXIS,)), world.Get_size(), world.Get_rank())


def _world() -> Any:
    return _mpi().COMM_WORLD


def _mpi4jax() -> Any:
    _mpi()
    try:
        return importlib.import_module("mpi4jax")
    except ImportError as error:
        raise ImportError(f"the mpi transport needs mpi4jax, which cannot be imported ({error}): {INSTALL}") from error


def _mpi() -> Any:
    try:
        return importlib.import_module("mpi4py.MPI")
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"the mpi transport needs mpi4py and an MPI library, which cannot be loaded ({error}): {INSTALL}"
        ) from error
