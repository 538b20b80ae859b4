"""References that took a while to compute, kept as arrays that are shipped with the package."""

import functools
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np

from ..expr import Node
from .problem import Answer


@dataclass(frozen=True, eq=False)
class Stored:
    """Values at rows of coordinates, (n, axes), time last: (n, outputs); and how good they are."""

    at: np.ndarray
    values: np.ndarray
    error: float
    """relative L2, by refinement"""
    method: str


@functools.cache
def stored(name: str) -> Stored:
    """Return the reference of a problem, such as `pinnacle/gs`; `python -m references` of benchmarks/ computes it."""
    family, case = name.split("/")
    with as_file(files("tangrax.problems").joinpath(family, "data", f"{case}.npz")) as path, np.load(path) as arrays:
        values = arrays["values"].astype(np.float64)
        return Stored(arrays["at"].astype(np.float64), values, float(arrays["error"]), str(arrays["method"]))


def stored_answers(name: str, **unknowns: Node) -> dict[str, Answer]:
    """Return the outputs of a stored reference, in their order, as answers to the unknowns."""
    reference = stored(name)
    return {each: Answer(node, reference.values[:, i], reference.at) for i, (each, node) in enumerate(unknowns.items())}
