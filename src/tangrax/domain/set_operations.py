"""Boolean combinations of shapes: difference, union, intersection; a name for the boundary of one."""

from dataclasses import dataclass

import numpy as np

from .samplers import sobol
from .shapes import NEAR, Shape, Surface

STEP = 1e-7  # of a shape's size: how far to both sides of a piece one looks for inside and outside
LOOKED_THROUGH = 2**9, 2**13, 2**20  # points on the boundary; as many as those that points inside are drawn from
WORDS = {"-": "without", "|": "or", "&": "and"}


@dataclass(frozen=True)
class Combined(Shape):
    """`first - second`, `first | second` or `first & second`.

    Its boundary is where, of the two boundaries, one way along the normal leads inside and the other does not.
    """

    first: Shape
    second: Shape
    operation: str

    def __post_init__(self):
        a, b = self.first, self.second
        if a.dimension != b.dimension:
            raise ValueError(f"{self}: shapes of {a.dimension} and {b.dimension} dimensions cannot be combined")
        if a.dimension == 1:
            raise ValueError(f"{self}: intervals cannot be combined; give each its own domain")
        lower, upper = self.bounds
        if not np.all(np.less(lower, upper)):
            raise ValueError(f"{self} is empty: the two have nothing in common")
        # Whatever has an inside has a boundary; of a thin shape that is found sooner than the inside. A small part of
        # two large ones takes more points.
        if not any(self.surface(sobol(count, self.dimension, 0)).on_boundary.any() for count in LOOKED_THROUGH):
            left = {"-": "the second leaves nothing of the first", "&": "the two touch at most"}
            raise ValueError(f"{self} is empty: {left.get(self.operation, 'neither has an inside')}")

    @property
    def bounds(self):
        (a, b), (c, d) = self.first.bounds, self.second.bounds
        if self.operation == "-":
            return a, b
        lower, upper = (min, max) if self.operation == "|" else (max, min)
        return tuple(map(lower, a, c)), tuple(map(upper, b, d))

    @property
    def sides(self):
        return tuple(dict.fromkeys((*self.first.sides, *self.second.sides)))

    @property
    def extent(self):
        return self.first.extent + self.second.extent

    def level(self, x, xp=np):
        return self._of(self.first.level(x, xp), self.second.level(x, xp), xp)

    def level_of(self, side, x, xp=np):
        owners = [shape for shape in (self.first, self.second) if side in shape.sides]
        if len(owners) == 2:
            return self._of(self.first.level_of(side, x, xp), self.second.level_of(side, x, xp), xp)
        taken = self.operation == "-" and owners[0] is self.second
        return (-1 if taken else 1) * owners[0].level_of(side, x, xp)

    def _of(self, first, second, xp):
        match self.operation:
            case "-":
                return xp.maximum(first, -second)
            case "|":
                return xp.minimum(first, second)
        return xp.maximum(first, second)

    def surface(self, uniform):
        share = self.first.extent / self.extent
        from_first = uniform[:, 0] < share
        points, normals = np.empty_like(uniform), np.empty_like(uniform)
        sides = {side: np.zeros(len(uniform), bool) for side in self.sides}
        counted = np.zeros(len(uniform), bool)
        for shape, own, start, part in (
            (self.first, from_first, 0.0, share),
            (self.second, ~from_first, share, 1 - share),
        ):
            mapped = uniform[own].copy()
            mapped[:, 0] = np.minimum((mapped[:, 0] - start) / part, np.nextafter(1, 0))
            surface = shape.surface(mapped)
            points[own], normals[own], counted[own] = surface.points, surface.normals, surface.on_boundary
            for side, on in surface.sides.items():
                sides[side][own] = on
        step = STEP * self.size * normals
        within, beyond = self.level(points - step) < 0, self.level(points + step) < 0
        # Where both boundaries run together, the points of the first are enough.
        twice = ~from_first & (np.abs(self.first.level(points)) <= NEAR * self.size)
        return Surface(
            points, np.where(within[:, None], normals, -normals), sides, counted & (within != beyond) & ~twice
        )

    def __str__(self) -> str:
        return f"({self.first} {WORDS[self.operation]} {self.second})"


@dataclass(frozen=True)
class Named(Shape):
    """A shape whose boundary is one piece, with a name."""

    shape: Shape
    name: str

    @property
    def bounds(self):
        return self.shape.bounds

    @property
    def sides(self):
        return (self.name,)

    @property
    def extent(self):
        return self.shape.extent

    @property
    def measure(self):
        return self.shape.measure

    @property
    def volume(self):
        return self.shape.volume

    def area(self, side=None):
        return self.shape.area()

    def level(self, x, xp=np):
        return self.shape.level(x, xp)

    def interior(self, uniform):
        return self.shape.interior(uniform)

    def nodes(self, mesh_size):
        return self.shape.nodes(mesh_size)

    def grid(self, mesh_size):
        inside, edge, _ = self.shape.grid(mesh_size)
        return inside, edge, {self.name: edge}

    def surface(self, uniform):
        surface = self.shape.surface(uniform)
        return Surface(surface.points, surface.normals, {self.name: np.ones(len(uniform), bool)}, surface.on_boundary)

    def __str__(self) -> str:
        return f"{self.shape} '{self.name}'"
