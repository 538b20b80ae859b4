"""Solids bounded by triangles."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from .shapes import Pieced

PerTriangle = Float[np.ndarray, "triangles 3"]


@dataclass(frozen=True, eq=False)
class Mesh(Pieced):
    """The inside of a closed surface of triangles, whose corners go round anticlockwise seen from outside."""

    name: str
    vertices: Float[np.ndarray, "vertices 3"]
    triangles: Int[np.ndarray, "triangles 3"]
    names: tuple[str | None, ...]

    @property
    def bounds(self):
        return tuple(self.vertices.min(axis=0).tolist()), tuple(self.vertices.max(axis=0).tolist())

    @property
    def sizes(self):
        return self._areas

    @property
    def volume(self):
        # By the divergence theorem.
        return float(np.sum(self.corners[0] * self._crosses) / 6)

    def level(self, x, xp=np):
        if xp is np:
            igl = library("igl")
            distances = igl.signed_distance(
                np.ascontiguousarray(x.reshape(-1, 3), np.float64),
                self.vertices,
                self.triangles,
                igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL,
            )
            return distances[0].reshape(x.shape[:-1])
        square, above, within = self._nearest(x, xp)
        # A root is taken only away from the surface: its slope at zero is no number.
        at_edge = ~within & (square > 0)
        distance = xp.sqrt(xp.where(at_edge, square, 1))
        return xp.where(at_edge, xp.where(self._turns(x, xp) > 0.5, -distance, distance), above)

    def level_of(self, side, x, xp=np):
        return self._nearest(x, xp, np.array([name == side for name in self.names]))[1]

    def surface(self, uniform):
        ends = np.cumsum(self._areas)
        triangle = np.searchsorted(ends, uniform[:, 0] * ends[-1], side="right")
        triangle = np.minimum(triangle, len(ends) - 1)
        # Even on a triangle: the root of one number leads from a corner, the other one across (Turk 1990).
        far, across = np.sqrt(uniform[:, 1:2]), uniform[:, 2:3]
        a, b, c = (corner[triangle] for corner in self.corners)
        points = (1 - far) * a + far * (1 - across) * b + far * across * c
        return self.on_pieces(triangle, points, self.normals)

    def _nearest(self, x: Any, xp: Any, among: np.ndarray | None = None) -> tuple[Any, Any, Any]:
        """Of the triangle nearest to x, of all or `among` some: the squared distance, the height of x above its plane,
        and whether x lies above the triangle itself and not beyond an edge."""
        corners = [xp.asarray(corner) for corner in self.corners]
        normals = xp.asarray(self.normals)
        point = x[..., None, :]
        above = xp.sum((point - corners[0]) * normals, axis=-1)
        within, square = True, np.inf
        for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
            step, way = end - start, point - start
            outward = xp.cross(step, normals)
            within = within & (xp.sum(way * outward, axis=-1) <= 0)
            share = xp.clip(xp.sum(way * step, axis=-1) / xp.sum(step * step, axis=-1), 0, 1)
            square = xp.minimum(square, xp.sum((way - share[..., None] * step) ** 2, axis=-1))
        square = xp.where(within, above**2, square)
        candidates = square if among is None else xp.where(xp.asarray(among), square, np.inf)
        nearest = xp.argmin(candidates, axis=-1)[..., None]

        def of_nearest(values: Any) -> Any:
            return xp.take_along_axis(values, nearest, axis=-1)[..., 0]

        return of_nearest(square), of_nearest(above), of_nearest(within)

    def _turns(self, x: Any, xp: Any) -> Any:
        """How often the surface goes round x: a sum of solid angles (van Oosterom and Strackee 1983)."""
        ways = [xp.asarray(corner) - x[..., None, :] for corner in self.corners]
        lengths = [xp.sqrt(xp.sum(way * way, axis=-1)) for way in ways]
        (a, b, c), (p, q, r) = ways, lengths
        volume = xp.sum(a * xp.cross(b, c), axis=-1)
        cosines = p * q * r + xp.sum(a * b, -1) * r + xp.sum(b * c, -1) * p + xp.sum(c * a, -1) * q
        return xp.sum(xp.arctan2(volume, cosines), axis=-1) / (2 * np.pi)

    @cached_property
    def corners(self) -> tuple[PerTriangle, PerTriangle, PerTriangle]:
        a, b, c = np.moveaxis(self.vertices[self.triangles], 1, 0)
        return a, b, c

    @cached_property
    def _crosses(self) -> PerTriangle:
        """Along the normal of each triangle, twice as long as its area."""
        a, b, c = self.corners
        return np.cross(b - a, c - a)

    @cached_property
    def _areas(self) -> Float[np.ndarray, " triangles"]:
        return np.linalg.norm(self._crosses, axis=1) / 2

    @cached_property
    def normals(self) -> PerTriangle:
        return self._crosses / (2 * self._areas[:, None])

    def __str__(self) -> str:
        return f"mesh({self.name}, {len(self.triangles)} triangles)"

    def __repr__(self) -> str:
        held = hashlib.sha256(self.vertices.tobytes() + self.triangles.tobytes() + repr(self.names).encode())
        return f"{self} {held.hexdigest()[:16]}"


def library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"tx.domain.mesh needs {name}: pip install 'tangrax[mesh]'") from error
