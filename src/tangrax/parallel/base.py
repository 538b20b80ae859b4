"""Transports: placing points on devices, compiling a program for one shard, fetching results."""

import abc
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from ..processes import Peers
from .collectives import Collectives
from .layout import Batched, Padded
from .operation import Operation, RecordingCollectives
from .setup import settings

logger = logging.getLogger(__name__)
AXIS = "points"
Program = Callable[..., tuple[Any, Any]]


class Transport(eqx.Module):
    """Devices that share the points, and the program each of them runs."""

    mesh: eqx.AbstractVar[Mesh]

    @property
    @abc.abstractmethod
    def collectives(self) -> Collectives:
        """Communication between the shards of a program."""

    @property
    @abc.abstractmethod
    def peers(self) -> Peers:
        """The processes that share the points."""

    @abc.abstractmethod
    def place(self, rows: np.ndarray | Padded | Batched) -> jax.Array:
        """Padded rows of all shards, each shard's on its own device."""

    @abc.abstractmethod
    def replicate(self, tree: PyTree) -> PyTree:
        """A copy of every array on every device."""

    @abc.abstractmethod
    def fetch(self, rows: jax.Array) -> np.ndarray:
        """All shards' rows as one local array, the same on every process."""

    def collect(self, rows: jax.Array) -> np.ndarray | None:
        """All shards' rows as one array on the writing process alone, None on all others; no device holds them all."""
        return self.fetch(rows)

    @abc.abstractmethod
    def local(self, rows: jax.Array) -> tuple[int, np.ndarray]:
        """The rows that this process holds, padding included, and the index of the first of them among all."""

    @abc.abstractmethod
    def _jit(self, program: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
        """`program(sharded, replicated) -> (replicated, sharded)`, jitted to be run by every shard."""

    @abc.abstractmethod
    def _broadcast(self, array: np.ndarray) -> np.ndarray:
        """The first process's array on every process; all have one of its shape and dtype."""

    @property
    def size(self) -> int:
        """Number of shards."""
        return self.collectives.size

    @property
    def processes(self) -> int:
        """Number of processes that share the points."""
        return self.peers.size

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.peers.rank == 0

    def spmd(self, program: Program, name: str) -> Any:
        """Jitted `program(collectives, sharded, replicated) -> (replicated, sharded)`, run by every shard.

        Among several processes each call is an operation of that name.
        """
        if self.processes == 1:
            return self._jit(_with_precision(partial(program, self.collectives)))
        record: list[str] = []
        jitted = self._jit(_with_precision(partial(program, RecordingCollectives(self.size, self.collectives, record))))
        return Operation(name, jitted, record, self.peers)

    def first(self, name: str, arrays: Sequence[Any]) -> list[Any]:
        """The arrays of the first process, on every process, with a warning if another one's are different.

        Lazy arrays are compared by their fingerprint. Files listed in another order or random numbers of another seed
        must not train another problem on each.
        """
        if self.processes == 1:
            return list(arrays)
        texts = self.peers.exchange(f"comparing {name}", lambda: json.dumps([_about(array) for array in arrays]))
        facts = [json.loads(text) for text in texts]
        others = [str(rank) for rank, about in enumerate(facts) if about != facts[0]]
        if not others:
            return list(arrays)
        if self.writes:
            logger.warning(
                f"{name} of process {', '.join(others)} differ from those of process 0, which are used: seed random "
                f"numbers alike, sort lists of files"
            )
        return self._sent(name, arrays, [about[1:] for about in facts[0]])

    def _sent(self, name: str, arrays: Sequence[Any], facts: Sequence[Any]) -> list[Any]:
        """The first process's arrays, of these shapes and dtypes, on every process."""
        received = []
        for index, (shape, dtype) in enumerate(facts):
            sent = np.asarray(arrays[index]) if self.writes else np.zeros(shape, dtype)
            with self.peers.operation(f"sending {name}"):
                # Of no axis, an array that is made contiguous would come back with one.
                received.append(self._broadcast(np.ascontiguousarray(sent)).reshape(shape) if np.prod(shape) else sent)
        return received

    def first_reads(self, name: str, read: Callable[[], Sequence[np.ndarray]]) -> list[Any]:
        """Arrays that `read` returns on the writing process, on every process; all raise alike if it failed.

        Its exception there reaches the others as a ValueError.
        """
        arrays: list[Any] = []

        def attempt() -> list[Any]:
            arrays.extend(read())
            return [[list(array.shape), array.dtype.str] for array in arrays]

        facts = self._first_does(f"reading {name}", attempt, ValueError, f"the process that reads {name} could not")
        return arrays if self.processes == 1 else self._sent(name, arrays, facts)

    def first_writes(self, name: str, write: Callable[[], None]) -> None:
        """Run `write` on the writing process alone; all go on when it is done, or raise alike if it failed."""
        self._first_does(f"writing {name}", write, OSError, f"the process that writes files could not write {name}")

    def _first_does(self, name: str, act: Callable[[], Any], error: type[Exception], failed: str) -> Any:
        """Result of `act` on the writing process, on every process; raises an `error` on the others where it failed."""
        failure: list[Exception] = []

        def attempt() -> str:
            if not self.writes:
                return ""
            try:
                return json.dumps(["", act()])
            except Exception as raised:
                failure.append(raised)
                return json.dumps([f"{type(raised).__name__}: {raised}", None])

        trouble, result = json.loads(self.peers.exchange(name, attempt)[0])
        if failure:
            raise failure[0]
        if trouble:
            raise error(f"{failed}: {trouble}")
        return result


def digest(array: Any) -> str:
    """SHA-256 of an array's bytes, or of a lazy array's fingerprint."""
    content = array.fingerprint if hasattr(array, "fingerprint") else np.ascontiguousarray(array).tobytes()
    return hashlib.sha256(content).hexdigest()


def _about(array: Any) -> list[Any]:
    """Digest, shape and dtype of an array."""
    return [digest(array), list(array.shape), array.dtype.str]


def _with_precision(program: Callable[..., Any]) -> Callable[..., Any]:
    """The program, traced with the precision of matrix products that was set up."""

    def traced(*args):
        with jax.default_matmul_precision(settings().matmul_precision):
            return program(*args)

    return traced
