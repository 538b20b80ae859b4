"""A compiled program that several processes run together."""

import hashlib
import json
import os
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..processes import Peers
from .collectives import Collectives

CHECK = "TANGRAX_CHECK_COLLECTIVES"


class ProcessMismatch(RuntimeError):
    """The processes of a run were about to do different things."""


class RecordingCollectives(Collectives):
    """Collectives that record, while a program is traced, its communication, an entry a call."""

    size: int = eqx.field(static=True)
    inner: Collectives
    record: list[str] = eqx.field(static=True)

    @property
    def rank(self):
        return self.inner.rank

    def sum(self, tree):
        self.record.append(f"sum of {_shapes(tree)}")
        return self.inner.sum(tree)

    def gather(self, rows):
        self.record.append(f"gather of {_shapes(rows)}")
        return self.inner.gather(rows)

    def shift(self, tree, k=1, senders=None):
        suffix = "" if senders is None else f" from {senders}"
        self.record.append(f"shift by {k} of {_shapes(tree)}{suffix}")
        return self.inner.shift(tree, k, senders)


class Operation:
    """A jitted program; each call is one operation of all processes and returns when its results are there.

    With TANGRAX_CHECK_COLLECTIVES=1 all compare what they will communicate before they begin.
    """

    def __init__(self, name: str, jitted: Any, record: list[str], peers: Peers):
        self.name, self._jitted, self._record, self._peers = name, jitted, record, peers
        self._sequences: dict[Any, list[str]] = {}

    def __call__(self, *args: Any) -> Any:
        if os.environ.get(CHECK) == "1":
            self._check(args)
        with self._peers.operation(self.name):
            return jax.block_until_ready(self._jitted(*args))

    def lower(self, *args: Any) -> Any:
        return self._jitted.lower(*args)

    def _check(self, args: Any) -> None:
        """Raise ProcessMismatch unless all processes are about to communicate alike."""
        shapes = str(jax.tree.map(jax.typeof, args))
        if shapes not in self._sequences:
            self._record.clear()
            self._jitted.lower(*args)
            self._sequences[shapes] = [*self._record, "end of the program"]
        compare(self._peers, "collectives", [f"program '{self.name}'", *self._sequences[shapes]])


def compare(peers: Peers, what: str, lines: Sequence[str]) -> None:
    """Raise ProcessMismatch on every process, naming the first difference, unless all have the same lines."""
    own = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    digests = peers.exchange(f"comparing {what}", lambda: own)
    odd = next((rank for rank, digest in enumerate(digests) if digest != digests[0]), None)
    if odd is None:
        return
    # Two are enough to name a difference, and every text goes to all.
    texts = peers.exchange(f"telling {what}", lambda: json.dumps(list(lines) if peers.rank in (0, odd) else []))
    pairs = zip_longest(json.loads(texts[0]), json.loads(texts[odd]), fillvalue="nothing")
    place, (first, other) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
    raise ProcessMismatch(
        f"the {what} of the processes differ, first at line {place}: {first} on process 0, {other} on process {odd}. "
        f"A script must do the same on every process: no choice may hang on its rank, clock, random numbers or the "
        f"order of files and sets"
    )


def _shapes(tree: Any) -> str:
    return ", ".join(f"{leaf.dtype}{list(leaf.shape)}" for leaf in map(jnp.asarray, jax.tree.leaves(tree))) or "nothing"
