"""Transport of MPI: ranks that talk through mpi4jax, one device each."""

import functools
import os
from collections.abc import MutableMapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from ..processes import Peers, mpi_library
from ..processes.mpi_library import REBUILD
from .base import AXIS, Transport
from .collectives import Collectives
from .setup import settings, setup


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
        return unravel(mpi_library.bridge().allreduce(flat, op=mpi_library.library().SUM, comm=mpi_library.world()))

    def gather(self, rows):
        everyone = mpi_library.bridge().allgather(jnp.asarray(rows), comm=mpi_library.world())
        return everyone.reshape(-1, *everyone.shape[2:])

    def shift(self, tree, k=1, senders=None):
        before, after = (self.index - k) % self.size, (self.index + k) % self.size
        flat, unravel = ravel_pytree(tree)
        sends = senders is None or self.index in senders
        receives = senders is None or before in senders
        world = mpi_library.world()
        if sends and receives:
            return unravel(mpi_library.bridge().sendrecv(flat, flat, source=before, dest=after, comm=world))
        if sends:
            mpi_library.bridge().send(flat, dest=after, comm=world)
        received = mpi_library.bridge().recv(flat, source=before, comm=world) if receives else jnp.zeros_like(flat)
        return unravel(received)


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
    def peers(self) -> Peers:
        return settings().peers

    def place(self, rows):
        count = len(rows) // self.ranks
        return jax.device_put(rows[self.rank * count : (self.rank + 1) * count], self.mesh.devices.flat[0])

    def replicate(self, tree):
        return jax.device_put(tree, self.mesh.devices.flat[0])

    def fetch(self, rows):
        with self.peers.operation("gathering rows"):
            return np.concatenate(mpi_library.world().allgather(np.asarray(rows)))

    def collect(self, rows):
        with self.peers.operation("collecting rows"):
            blocks = mpi_library.world().gather(np.asarray(rows))
        return None if blocks is None else np.concatenate(blocks)

    def local(self, rows):
        return self.rank * len(rows), np.asarray(rows)

    def _jit(self, program):
        return jax.jit(program)

    def _broadcast(self, array):
        return mpi_library.world().bcast(array)


def make_mpi_transport(devices: Any = None) -> MpiRanks:
    """The transport of this process's MPI rank, joined to the others if it was not."""
    mpi_library.bridge()
    if devices not in (None, 1):
        raise ValueError(
            f"devices={devices!r}: under MPI every rank has one device, since mpi4jax's calls are ordered by an effect "
            f"that JAX allows for a single device. Start as many ranks as there are devices"
        )
    setup()
    world, local = mpi_library.world(), jax.local_devices()
    # Ranks of one node take its devices in turn; on a CPU each rank has its own process's first one.
    device = local[_place_on_node() % len(local)] if local[0].platform != "cpu" else local[0]
    check_gpu(device.platform, os.environ)
    return MpiRanks(Mesh(np.array([device]), (AXIS,)), world.Get_size(), world.Get_rank())


@functools.cache
def _place_on_node() -> int:
    return mpi_library.world().Split_type(mpi_library.library().COMM_TYPE_SHARED).Get_rank()


def check_gpu(platform: str, environ: MutableMapping[str, str]) -> None:
    """Raise RuntimeError for what would fail, or crash, in the middle of the first step on a GPU."""
    if platform not in ("gpu", "cuda", "rocm"):
        return
    if not mpi_library.bridge().has_cuda_support():
        raise RuntimeError(
            "mpi4jax was built without CUDA support, and this rank's device is a GPU: rebuild it where nvcc is found "
            f"({REBUILD}), or use transport='xla', or JAX_PLATFORMS=cpu"
        )
    # mpi4jax copies through the host unless told otherwise.
    if environ.setdefault("MPI4JAX_USE_CUDA_MPI", "0") == "1" and mpi_library.knows_cuda() is False:
        raise RuntimeError(
            "MPI4JAX_USE_CUDA_MPI=1 asks for an MPI that reads GPU memory, and this one does not "
            f"({mpi_library.version()}): load one built with CUDA, or unset the variable to copy through the host"
        )
