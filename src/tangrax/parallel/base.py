"""Where the shards live: placing points, compiling a program for one shard, fetching results."""

import abc
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh

from .collectives import Collectives
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
        """Padded rows of all shards, each shard's on its own device."""

    @abc.abstractmethod
    def replicate(self, tree: Any) -> Any:
        """A copy of every array on every device."""

    @abc.abstractmethod
    def spmd(self, program: Program) -> Any:
        """Jitted `program(collectives, sharded, replicated) -> (replicated, sharded)`, run by every shard."""

    @abc.abstractmethod
    def fetch(self, rows: jax.Array) -> np.ndarray:
        """All shards' rows as one local array, the same on every process."""

    @abc.abstractmethod
    def local(self, rows: jax.Array) -> tuple[int, np.ndarray]:
        """The rows that this process holds, padding included, and the index of the first of them among all."""

    @property
    @abc.abstractmethod
    def processes(self) -> int:
        """Number of processes that share the points."""

    @property
    def size(self) -> int:
        """Number of shards."""
        return self.collectives.size

    def agree(self, value: int) -> int:
        """The number that the process of shard 0 has, on every process.

        What the host decides by its own clock or files must be agreed on: processes that go on differently wait for
        each other for ever.
        """
        if self.processes == 1:
            return value
        mine = self.place(np.full(self.size, value, np.int32))
        return int(np.asarray(_first_of(self)(mine, ())[0]))

    def first_writes(self, write: Callable[[], None]) -> None:
        """Run `write` on the writing process alone; all go on when it is done, or raise alike if it failed."""
        failure: BaseException | None = None
        if self.writes:
            try:
                write()
            except Exception as error:
                failure = error
        if self.agree(0 if failure is None else 1):
            raise failure or OSError("the process that writes files could not; its message says why")


@functools.cache
def _first_of(transport: Transport) -> Any:
    return transport.spmd(lambda collectives, rows, nothing: (collectives.gather(rows)[0], ()))


def with_precision(program: Callable[..., Any]) -> Callable[..., Any]:
    """The program, traced with the precision of matrix products that was set up."""

    def traced(*args):
        with jax.default_matmul_precision(settings().matmul_precision):
            return program(*args)

    return traced
