"""What a problem is for every library: points, data, first weights, closed forms, and how an answer is scored.

Needs NumPy alone: each library reads it in an environment of its own. `problems.py` makes the five problems, and a file
of each holds all arrays. The loss is the sum of the mean squares of all equations and of all given values, each with
weight 1; networks, points and first weights are the same everywhere.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

π = math.pi
WIDTH, DEPTH, RATE, SEED = 32, 3, 1e-3, 0
BURGERS_VISCOSITY = 0.01 / π
CAVITY_VISCOSITY = 0.01
WAKE_VISCOSITY = 0.01
DIFFUSION_UNIT = 1e-3  # of the coefficient that `reaction` looks for

Weights = list[tuple[np.ndarray, np.ndarray]]
"""(outputs, inputs) and (outputs,) of each layer"""


@dataclass(frozen=True)
class Given:
    """Values of some outputs at points: (n, inputs), (n, len(outputs))."""

    points: np.ndarray
    values: np.ndarray
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """Coordinates are columns, time the last one where there is one. `unknowns` are starting and true coefficients."""

    name: str
    outputs: int
    interior: np.ndarray
    conditions: Mapping[str, Given]
    scored: Given
    over_time: bool = False
    unknowns: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        return self.interior.shape[1]

    def weights(self) -> Weights:
        """First weights by Glorot's uniform rule, biases 0."""
        draw, sizes = np.random.default_rng(SEED), [self.inputs, *[WIDTH] * DEPTH, self.outputs]
        layers = []
        for before, after in pairwise(sizes):
            limit = math.sqrt(6 / (before + after))
            layers.append((draw.uniform(-limit, limit, (after, before)), np.zeros(after)))
        return layers

    def error(self, weights: Weights, unknowns: Mapping[str, float]) -> float:
        """Largest of the relative L2 error of the scored outputs together and the relative errors of coefficients."""
        found = network(weights, self.scored.points)[:, list(self.scored.outputs)]
        errors = [np.linalg.norm(found - self.scored.values) / np.linalg.norm(self.scored.values)]
        errors += [abs(unknowns[name] - true) / abs(true) for name, (_, true) in self.unknowns.items()]
        return float(np.max(np.array(errors)))  # NaN stays NaN


def network(weights: Weights, points: np.ndarray) -> np.ndarray:
    """Outputs of the perceptron in NumPy and float64, (n, outputs)."""
    hidden = points
    for weight, bias in weights[:-1]:
        hidden = np.tanh(hidden @ weight.T + bias)
    weight, bias = weights[-1]
    return hidden @ weight.T + bias


def layers_of(layers: Sequence[tuple[Any, Any]]) -> Weights:
    """A library's layers, weights (outputs, inputs), as arrays of our own."""
    return [(np.array(weight, np.float64), np.array(bias, np.float64)) for weight, bias in layers]


def write(problem: Problem, path: Path) -> None:
    about = {
        "name": problem.name,
        "outputs": problem.outputs,
        "over_time": problem.over_time,
        "unknowns": dict(problem.unknowns),
        "given": {name: given.outputs for name, given in {**problem.conditions, "scored": problem.scored}.items()},
    }
    arrays: dict[str, Any] = {"about": json.dumps(about), "interior": problem.interior}
    for name, given in {**problem.conditions, "scored": problem.scored}.items():
        arrays |= {f"{name} points": given.points, f"{name} values": given.values}
    np.savez(path, **arrays)


def read(path: Path) -> Problem:
    with np.load(path) as arrays:
        about = json.loads(str(arrays["about"]))
        given = {
            name: Given(arrays[f"{name} points"], arrays[f"{name} values"], tuple(outputs))
            for name, outputs in about["given"].items()
        }
        interior = arrays["interior"]
    scored = given.pop("scored")
    unknowns = {name: (start, true) for name, (start, true) in about["unknowns"].items()}
    return Problem(about["name"], about["outputs"], interior, given, scored, about["over_time"], unknowns)


# Closed forms, by functions of NumPy or of a library.


def conductivity(x: Any, y: Any) -> Any:
    """Coefficient a that `pinv` looks for."""
    return 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)


def heat_source(x: Any, y: Any, of: Any = np) -> Any:
    """-div(a ∇u) of that coefficient and u = sin(πx) sin(πy)."""
    a = conductivity(x, y)
    along = (2 * x - 1) * of.cos(π * x) * of.sin(π * y) + (2 * y - 1) * of.sin(π * x) * of.cos(π * y)
    return 2 * π**2 * a * of.sin(π * x) * of.sin(π * y) + 2 * π * a**2 * along


def lid(x: Any) -> Any:
    """Speed of the cavity's lid."""
    return 4 * x * (1 - x)
