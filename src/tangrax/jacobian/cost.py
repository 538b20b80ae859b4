"""What decides between factors and rows: how fast this device multiplies matrices, and adds up what comes of it."""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..parallel import Transport, settings
from .factors import Split
from .weight_tracing import Found

SIDE = 512  # rows of the matrices that are timed: as many as a tile has, times its uses
ROUNDS = 15  # the fastest counts: what else runs on the machine only slows


@dataclass(frozen=True)
class Rates:
    """Seconds on one device, in one precision."""

    multiply: float  # of one multiplication and addition in a large matrix product
    entry: float  # besides, of one entry of its result
    pair: float  # of multiplying two entries of such results and adding it up

    def matrix(self, inner: int) -> float:
        """Of one entry of a product over `inner` columns."""
        return inner * self.multiply + self.entry

    def factors(self, uses: int, shape: tuple[int, int]) -> float:
        """Of one entry of the kernel, by factors: `uses` is the number of pairs of uses of the two points."""
        return uses * (self.matrix(shape[0]) + self.matrix(shape[1]) + self.pair)


def rates(transport: Transport, dtype: Any) -> Rates:
    """Measured once for each kind of device and dtype; those of the first process, on every process."""
    if transport.processes == 1:
        return measured(transport.mesh.devices.flat[0].device_kind, np.dtype(dtype).name)

    def say() -> str:
        if not transport.writes:
            return ""
        return json.dumps(asdict(measured(transport.mesh.devices.flat[0].device_kind, np.dtype(dtype).name)))

    return Rates(**json.loads(transport.peers.exchange("measuring the device", say)[0]))


@functools.cache
def measured(kind: str, dtype: str) -> Rates:
    """Of the devices of a kind."""
    draw = np.random.default_rng(0).standard_normal
    wide, narrow, middle = (jnp.asarray(draw((SIDE, inner)), dtype) for inner in (512, 32, 128))

    def summed(x: Any) -> Any:
        found = (x @ x.T) * ((2 * x) @ x.T)
        return found.reshape(4, SIDE // 4, 4, SIDE // 4).sum(axis=(0, 2))

    with jax.default_matmul_precision(settings().matmul_precision):
        square = jax.jit(lambda x: x @ x.T)
        large, small, both = (
            _seconds(program, x) / SIDE**2
            for program, x in ((square, wide), (square, narrow), (jax.jit(summed), middle))
        )
    multiply = max(large - small, 0.1 * large) / (512 - 32)
    entry = max(small - 32 * multiply, 0.0)
    return Rates(multiply, entry, max(both - 2 * (128 * multiply + entry), 0.0))


def _seconds(program: Callable[[Any], Any], x: Any) -> float:
    jax.block_until_ready(program(x))
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(program(x))
        found.append(time.perf_counter() - start)
    return min(found)


def split(found: Sequence[Found], leaves: Sequence[Any], known: Rates | None) -> Split:
    """The leaves that go by factors in a kernel of one or two sides: those that have them in both, at less cost.

    Without rates all that have factors.
    """
    first, last = found[0], found[-1]
    homes = {leaf: home for leaf in range(len(leaves)) if (home := first.home(leaf)) and home == last.home(leaf)}
    # Of two biases of one weight, each would count in the other's products.
    alone = [leaf for leaf, home in homes.items() if [h for h, _ in homes.values()].count(home[0]) == 1]
    weights = []
    for leaf in range(len(leaves)):
        if not all(f.fits(leaf) for f in found) or first.chains(leaf) != last.chains(leaf):
            continue
        shape = first.of(leaf)[0].shape
        uses = first.count(leaf) * last.count(leaf)
        columns = shape[0] * shape[1] + sum(np.size(leaves[bias]) for bias in alone if homes[bias][0] == leaf)
        if known is None or known.factors(uses, shape) < columns * known.multiply:
            weights.append(leaf)
    return Split(tuple(weights), tuple(leaf for leaf in alone if homes[leaf][0] in weights))
