"""Samplers: sequences in the unit cube, whose point i depends on i and a seed alone."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import scipy  # its subpackages are imported when they are first used: scipy.stats takes a second
from jaxtyping import Float, Int

FINE = 52  # bits of a float64 below 1: points of two sequences do not meet by rounding
BLOCK = 2**17  # points that are made at once
WIDE = 32  # bits up to which SciPy can leave points of a Sobol sequence out
GAUSS = "gauss_legendre"
ROUNDS = 6  # of a Feistel network: four are as good as random, of functions that are

Seed = int | Sequence[int]
Uniform = Float[np.ndarray, "n dimension"]
Next = Callable[[int], Uniform]  # the next points of a sequence, so many of them


@dataclass(frozen=True)
class Cube:
    """`total` points in the unit cube of a dimension: a sampler's name, a seed, and how many bits a coordinate has."""

    sampler: str
    total: int
    dimension: int
    seed: Seed
    bits: int = 30

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[Uniform]:
        """The points from `start` to `stop`, `BLOCK` of them or fewer at a time."""
        stop = self.total if stop is None else stop
        following = SAMPLERS[self.sampler](self, start)
        while start < stop:
            count = min(BLOCK, stop - start)
            yield following(count)
            start += count


def sobol(count: int, dimension: int, seed: Seed) -> Uniform:
    """The first points of a scrambled Sobol sequence."""
    return np.concatenate(list(Cube("sobol", count, dimension, seed).blocks()))


def _sobol(cube: Cube, start: int) -> Next:
    """A scrambled Sobol sequence; coordinates are multiples of 2^-bits (Joe and Kuo 2008; Owen's scrambling, LMS)."""
    engine = scipy.stats.qmc.Sobol(cube.dimension, scramble=True, bits=cube.bits, rng=np.random.default_rng(cube.seed))

    def following(count: int) -> Uniform:
        with warnings.catch_warnings():
            # SciPy warns where a first piece is no power of two: the pieces are of one sequence.
            warnings.simplefilter("ignore", UserWarning)
            return engine.random(count)

    if start and cube.bits <= WIDE:
        engine.fast_forward(start)
    while engine.num_generated < start:
        following(min(BLOCK, start - engine.num_generated))
    return following


def _halton(cube: Cube, start: int) -> Next:
    """A scrambled Halton sequence (Owen 2017)."""
    engine = scipy.stats.qmc.Halton(cube.dimension, scramble=True, rng=np.random.default_rng(cube.seed))
    engine.fast_forward(start)
    return engine.random


def _uniform(cube: Cube, start: int) -> Next:
    """Independent numbers, of a generator that counts (Salmon et al. 2011)."""
    bits = np.random.Philox(np.random.SeedSequence(cube.seed))
    # One step of its counter gives four numbers.
    steps, left = divmod(start * cube.dimension, 4)
    random = np.random.Generator(bits.advance(steps))
    random.random(left)
    return lambda count: random.random((count, cube.dimension))


def _latin_hypercube(cube: Cube, start: int) -> Next:
    """Along each axis one point in each of `total` equal intervals (McKay, Beckman and Conover 1979)."""
    within = _uniform(cube, start)
    keys = np.random.default_rng([*np.atleast_1d(cube.seed), 1]).integers(2**32, size=(cube.dimension, ROUNDS))
    place = start

    def following(count: int) -> Uniform:
        nonlocal place
        index = np.arange(place, place + count)
        place += count
        interval = np.stack([permuted(index, cube.total, key) for key in keys], axis=-1)
        return np.minimum((interval + within(count)) / cube.total, np.nextafter(1, 0))

    return following


def _gauss_legendre(cube: Cube, start: int) -> Next:
    """Gauss and Legendre's nodes along every axis, in all combinations; the last axis runs first."""
    nodes, _ = rule(cube.total, cube.dimension)
    place = start

    def following(count: int) -> Uniform:
        nonlocal place
        index = np.unravel_index(np.arange(place, place + count), (len(nodes),) * cube.dimension)
        place += count
        return np.stack([nodes[axis] for axis in index], axis=-1)

    return following


def rule(total: int, dimension: int) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Nodes and weights on (0, 1) of Gauss and Legendre's rule whose products over all axes are `total` points."""
    per_axis = round(total ** (1 / dimension))
    if per_axis**dimension != total:
        near = sorted({max(1, per_axis + step) ** dimension for step in (-1, 0, 1)})
        raise ValueError(
            f"{total} points of a Gauss-Legendre rule in {dimension} dimensions: the number must be that of one axis "
            f"to the power of {dimension}, such as {', '.join(map(str, near))}"
        )
    nodes, weights = np.polynomial.legendre.leggauss(per_axis)
    return (nodes + 1) / 2, weights / 2


def product_weights(total: int, dimension: int) -> Float[np.ndarray, " total"]:
    """The weights of a rule's points in their order, which sum to 1."""
    weights = rule(total, dimension)[1]
    return reduce(np.multiply.outer, [weights] * dimension).ravel()


def permuted(index: Int[np.ndarray, " n"], total: int, keys: Int[np.ndarray, " rounds"]) -> Int[np.ndarray, " n"]:
    """Where a permutation of 0 … total - 1, told by its keys, takes numbers of those, without a table of them all.

    A Feistel network permutes the numbers of 2 b bits; what it takes out of the range goes through it again
    (Black and Rogaway 2002, cycle walking).
    """
    half = np.uint64(max(1, -(-(total - 1).bit_length() // 2)))
    mask = np.uint64(2 ** int(half) - 1)
    images = index.astype(np.uint64)
    wandering = np.ones(len(images), bool)
    while wandering.any():
        left, right = images[wandering] >> half, images[wandering] & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right + (np.uint64(key) << np.uint64(32))) & mask)
        images[wandering] = (left << half) | right
        wandering = images >= total
    return images.astype(np.int64)


def _mixed(word: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every bit depends on all of them."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


SAMPLERS: dict[str, Callable[[Cube, int], Next]] = {
    "sobol": _sobol,
    "halton": _halton,
    "latin_hypercube": _latin_hypercube,
    "uniform": _uniform,
    GAUSS: _gauss_legendre,
}


@dataclass(frozen=True)
class Sampling:
    """How many points, and where: grid nodes `mesh_size` apart, or `n` points of a sampler."""

    mesh_size: float | None = None
    n: int | None = None
    boundary: int | None = None
    seed: int = 0
    sampler: str = "sobol"

    def __post_init__(self):
        if (self.mesh_size is None) == (self.n is None):
            raise ValueError(
                f"mesh_size={self.mesh_size}, n={self.n}: give one of the two, the distance of grid nodes or a "
                f"number of points of a sampler"
            )
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler={self.sampler!r}: there are {', '.join(SAMPLERS)}")
        if self.mesh_size is not None and self.sampler == GAUSS:
            raise ValueError(f"mesh_size={self.mesh_size}, sampler='{GAUSS}': a grid has its own nodes; give n=")
        if self.mesh_size is not None and not (np.isfinite(self.mesh_size) and self.mesh_size > 0):
            raise ValueError(f"mesh_size={self.mesh_size} must be a positive distance between grid nodes")
        for name, count in (("n", self.n), ("boundary", self.boundary)):
            if count is not None and count < 1:
                raise ValueError(f"{name}={count} must be a positive number of points")


@dataclass(frozen=True)
class TimeSpan:
    """Times from `start` to `end`, grid nodes `mesh_size` apart; `initial` points at the start (and end)."""

    start: float
    end: float
    mesh_size: float | None
    initial: int | None

    def __post_init__(self):
        if not (np.isfinite(self.start) and np.isfinite(self.end) and self.start < self.end):
            raise ValueError(f"over_time({self.start}, {self.end}): the start must lie before the end")
        if self.mesh_size is not None and not self.mesh_size > 0:
            raise ValueError(f"over_time(mesh_size={self.mesh_size}) must be a positive time between nodes")
        if self.initial is not None and self.initial < 1:
            raise ValueError(f"over_time(initial={self.initial}) must be a positive number of points")
