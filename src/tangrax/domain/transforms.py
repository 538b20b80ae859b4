"""Shapes moved, turned and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy
from jaxtyping import Float

from ..expr import checked_array
from .shapes import Nodes, Shape, Surface

Vector = Sequence[float] | np.ndarray
Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Moved(Shape):
    """A shape after x -> factor · turn x + offset. The names of its sides, and its grids, go with it."""

    shape: Shape
    turn: Matrix
    factor: float
    offset: tuple[float, ...]

    @property
    def bounds(self):
        corners = self._forth(np.array(list(product(*zip(*self.shape.bounds, strict=True)))))
        return tuple(corners.min(axis=0).tolist()), tuple(corners.max(axis=0).tolist())

    @property
    def sides(self):
        return self.shape.sides

    @property
    def extent(self):
        return self.shape.extent * self.factor ** (self.dimension - 1)

    @property
    def measure(self):
        return self.shape.measure * self.factor**self.dimension

    @property
    def volume(self):
        return self.shape.volume * self.factor**self.dimension

    def area(self, side=None):
        return self.shape.area(side) * self.factor ** (self.dimension - 1)

    def level(self, x, xp=np):
        return self.factor * self.shape.level(self.back(x, xp), xp)

    def level_of(self, side, x, xp=np):
        return self.factor * self.shape.level_of(side, self.back(x, xp), xp)

    def interior(self, uniform):
        points, inside = self.shape.interior(uniform)
        points = self._forth(points)
        return points, inside & self.inside(points)

    def grid(self, mesh_size):
        inside, edge, sides = self.shape.grid(mesh_size / self.factor)
        return self._forth(inside), self._forth(edge), {side: self._forth(points) for side, points in sides.items()}

    def nodes(self, mesh_size):
        return self.shape.nodes(mesh_size / self.factor)

    def surface(self, uniform):
        surface = self.shape.surface(uniform)
        return Surface(
            self._forth(surface.points), surface.normals @ np.array(self.turn).T, surface.sides, surface.on_boundary
        )

    def _forth(self, points: Nodes) -> Nodes:
        return self.factor * points @ np.array(self.turn).T + np.array(self.offset)

    def back(self, x, xp):
        """Where x was before the move."""
        # A sum rather than a product of matrices, which an accelerator may round to fewer digits.
        return xp.sum((x - xp.asarray(self.offset))[..., None] * xp.asarray(self.turn), axis=-2) / self.factor

    def __str__(self) -> str:
        turned = " turned," if not np.array_equal(self.turn, np.eye(len(self.turn))) else ""
        scaled = f" scaled by {self.factor:g}," if self.factor != 1 else ""
        return f"{self.shape}{turned}{scaled} moved by ({', '.join(f'{c:g}' for c in self.offset)})"


def translated(shape: Shape, offset: Vector) -> Shape:
    return _moved(shape, np.eye(shape.dimension), 1.0, _vector(shape, "translate", "offset", offset))


def rotated(shape: Shape, angle: float, about: Vector | None, axis: Vector | str | None) -> Shape:
    if not np.isfinite(angle):
        raise ValueError(f"rotate({angle}): a finite angle, in radians")
    if shape.dimension not in (2, 3):
        raise ValueError(f"rotate({angle}): {shape} has {shape.dimension} dimensions; only two or three can be turned")
    if shape.dimension == 2:
        if axis is not None:
            raise ValueError(f"rotate({angle}, axis={axis!r}): {shape} is 2-D, and turns in its plane; leave axis out")
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        turn = scipy.spatial.transform.Rotation.from_rotvec(angle * _direction(angle, axis)).as_matrix()
    center = _center(shape, "rotate", about)
    return _moved(shape, turn, 1.0, center - turn @ center)


def scaled(shape: Shape, factor: float, about: Vector | None) -> Shape:
    if not (np.isfinite(factor) and factor > 0):
        raise ValueError(f"scale({factor}): a positive factor")
    center = _center(shape, "scale", about)
    return _moved(shape, np.eye(shape.dimension), factor, (1 - factor) * center)


def _moved(shape: Shape, turn: np.ndarray, factor: float, offset: np.ndarray) -> Shape:
    """The shape after one more move: of moves in a row, one is made."""
    if isinstance(shape, Moved):
        offset = factor * turn @ np.array(shape.offset) + offset
        turn, factor, shape = turn @ np.array(shape.turn), factor * shape.factor, shape.shape
    return Moved(shape, tuple(map(tuple, turn.tolist())), float(factor), tuple(offset.tolist()))


def _direction(angle: float, axis: Vector | str | None) -> Float[np.ndarray, "3"]:
    if isinstance(axis, str) and axis in ("x", "y", "z"):
        return np.eye(3)["xyz".index(axis)]
    named = axis is None or isinstance(axis, str)
    direction = np.zeros(0) if named else checked_array(f"rotate({angle}, axis=…)", axis, float)
    if direction.shape != (3,) or not np.isfinite(direction).all() or not direction.any():
        raise ValueError(f"rotate({angle}, axis={axis!r}): in three dimensions an axis, 'x', 'y', 'z' or a vector")
    return direction / np.linalg.norm(direction)


def _center(shape: Shape, what: str, about: Vector | None) -> Float[np.ndarray, " dimension"]:
    """The point that stays where it is: unless said, the middle of the bounds."""
    return np.mean(shape.bounds, axis=0) if about is None else _vector(shape, what, "about", about)


def _vector(shape: Shape, what: str, name: str, values: Vector) -> Float[np.ndarray, " dimension"]:
    vector = checked_array(f"{what}({name}=…)", values, float)
    if vector.shape != (shape.dimension,) or not np.isfinite(vector).all():
        raise ValueError(f"{what}({name}={values}): {shape} needs {shape.dimension} finite coordinates there")
    return vector
