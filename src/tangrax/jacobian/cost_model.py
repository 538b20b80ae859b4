"""Cost of factors against rows: how fast a device multiplies matrices and adds up products of their entries."""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ..parallel import Transport, settings
from .weight_factors import Split
from .weight_tracing import TracedWeights

SIDE = 512  # rows of the matrices that are timed: as many as a tile has, times its uses
ROUNDS = 15  # the fastest counts: what else runs on the machine only slows


@dataclass(frozen=True)
class Rates:
    """Speed of one device in one precision, in seconds."""

    multiply: float  # of one multiplication and addition in a large matrix product
    entry: float  # besides, of one entry of its result
    pair: float  # of multiplying two entries of such results and adding it up

    def matrix(self, inner: int) -> float:
        """Seconds for one entry of a product over `inner` columns."""
        return inner * self.multiply + self.entry

    def factors(self, uses: int, shape: tuple[int, int]) -> float:
        """Seconds for one entry of the kernel, by factors: `uses` is the number of pairs of uses of the two points."""
        return uses * (self.matrix(shape[0]) + self.matrix(shape[1]) + self.pair)


def rates(transport: Transport, dtype: DTypeLike) -> Rates:
    """Rates measured once for each kind of device and dtype; every process has those of the first."""
    if transport.processes == 1:
        return measured(transport.mesh.devices.flat[0].device_kind, np.dtype(dtype).name)

    def measure() -> str:
        if not transport.writes:
            return ""
        return json.dumps(asdict(measured(transport.mesh.devices.flat[0].device_kind, np.dtype(dtype).name)))

    return Rates(**json.loads(transport.peers.exchange("measuring the device", measure)[0]))


@functools.cache
def measured(kind: str, dtype: str) -> Rates:
    """Measures rates of the devices of a kind."""
    draw = np.random.default_rng(0).standard_normal
    wide, narrow, middle = (jnp.asarray(draw((SIDE, inner)), dtype) for inner in (512, 32, 128))

    def summed(x: Any) -> Any:
        products = (x @ x.T) * ((2 * x) @ x.T)
        return products.reshape(4, SIDE // 4, 4, SIDE // 4).sum(axis=(0, 2))

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
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        jax.block_until_ready(program(x))
        times.append(time.perf_counter() - start)
    return min(times)


def split_leaves(sides: Sequence[TracedWeights], leaves: Sequence[Any], device: Rates | None) -> Split:
    """The leaves that go by factors in a kernel of one or two sides: those that have them in both, at less cost.

    Without rates all that have factors.
    """
    first, last = sides[0], sides[-1]
    weight_of = {
        leaf: weight
        for leaf in range(len(leaves))
        if (weight := first.weight_of(leaf)) and weight == last.weight_of(leaf)
    }
    # Of two biases of one weight, each would count in the other's products.
    biases = [leaf for leaf, weight in weight_of.items() if [w for w, _ in weight_of.values()].count(weight[0]) == 1]
    weights = []
    for leaf in range(len(leaves)):
        if not all(side.has_factors(leaf) for side in sides) or first.chains(leaf) != last.chains(leaf):
            continue
        shape = first.uses_of(leaf)[0].shape
        uses = first.count(leaf) * last.count(leaf)
        columns = shape[0] * shape[1] + sum(np.size(leaves[bias]) for bias in biases if weight_of[bias][0] == leaf)
        if device is None or device.factors(uses, shape) < columns * device.multiply:
            weights.append(leaf)
    return Split(tuple(weights), tuple(leaf for leaf in biases if weight_of[leaf][0] in weights))
