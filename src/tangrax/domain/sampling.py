"""What was asked for: how many points, where, and over which times."""

from dataclasses import dataclass

import numpy as np

from .samplers import GAUSS, SAMPLERS


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
