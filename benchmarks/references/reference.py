"""What a reference is, where it is kept, and which points it has."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import qmc

PROBLEMS = Path(__file__).parents[2] / "src" / "tangrax" / "problems"


@dataclass(frozen=True, eq=False)
class Reference:
    """Values at rows of coordinates, time last; their relative L2 error, by refinement; and the method, in words."""

    at: np.ndarray
    values: np.ndarray
    error: float
    method: str


def keep(name: str, reference: Reference) -> Path:
    """Write the reference of a problem into the package."""
    family, case = name.split("/")
    path = PROBLEMS / family / "data" / f"{case}.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(
        path, at=reference.at, values=reference.values, error=reference.error, method=np.array(reference.method)
    )
    return path


def difference(values: np.ndarray, better: np.ndarray) -> float:
    """Return the relative L2 distance of values from better ones, all outputs together."""
    return float(np.linalg.norm(values - better) / np.linalg.norm(better))


def nodes(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return `count` different nodes of a grid of that shape, spread evenly: rows of indices, (count, axes)."""
    low, high = np.zeros(len(shape)), np.array(shape)
    sampler = qmc.Sobol(len(shape), scramble=True, rng=0)
    result = np.empty((0, len(shape)), int)
    while len(result) < count:
        candidates = np.floor(qmc.scale(sampler.random(1 << (count - 1).bit_length()), low, high)).astype(int)
        result = np.unique(np.concatenate([result, candidates]), axis=0)
    return result[np.sort(np.random.default_rng(0).permutation(len(result))[:count])]


def scattered(
    count: int, low: Sequence[float], high: Sequence[float], holes: Sequence[tuple[float, ...]] = ()
) -> np.ndarray:
    """Return `count` points of a box that lie in none of the holes, (…center, radius): rows of coordinates."""
    sampler = qmc.Sobol(len(low), scramble=True, rng=0)
    result = np.empty((0, len(low)))
    while len(result) < count:
        candidates = qmc.scale(sampler.random(1 << (count - 1).bit_length()), low, high)
        clear = [np.linalg.norm(candidates - hole[:-1], axis=1) > hole[-1] for hole in holes]
        result = np.concatenate([result, candidates[np.all(clear, axis=0)] if holes else candidates])
    return result[:count]
