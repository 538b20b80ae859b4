"""Polygons: corners in order, a name for each edge or none."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float

from .samplers import sobol
from .shapes import FLAT, NEAR, Pieced, is_own_name

AT_ONCE = 2**22  # distances from edges that are held in memory together, some 100 MB with what they come from

PerEdge = Float[np.ndarray, "edges 2"]


@dataclass(frozen=True)
class Polygon(Pieced):
    """The inside of a closed line through corners, either way round; edge i leads from corner i to i + 1."""

    corners: tuple[tuple[float, float], ...]
    names: tuple[str | None, ...]

    def __post_init__(self):
        count = len(self.corners)
        if count < 3:
            raise ValueError(f"{count} corners {self.corners}: a polygon has three or more")
        if not np.isfinite(self.corners).all():
            raise ValueError(f"corners {self.corners} must be finite numbers")
        if len(self.names) != count:
            raise ValueError(
                f"{len(self.names)} names for {count} edges: give one each, that from corner 0 to 1 first, or None"
            )
        for name in self.names:
            if name is not None and not is_own_name(name):
                raise ValueError(f"edge named {name!r}: a name of its own, such as 'wall', or None")
        for index in np.flatnonzero(self._lengths <= NEAR * self.size):
            raise ValueError(
                f"corners {index} and {(index + 1) % count} are both {self.corners[index]}: list each once, and the "
                f"first not again at the end"
            )
        if np.linalg.matrix_rank(self._starts - self._starts[0], tol=NEAR * self.size) < 2:
            raise ValueError(f"corners {self.corners} lie on one line: a polygon has an area")
        region = shapely.Polygon(self.corners)
        if not region.is_valid:
            raise ValueError(
                f"the edges of {self} meet: {shapely.is_valid_reason(region)}; list the corners in their order along "
                f"the boundary, and make several pieces, or one with a hole, by |, & and - of shapes"
            )

        if abs(self._area) <= FLAT * self.extent * self.size:
            raise ValueError(
                f"{self} is flat: an area of {abs(self._area):.1e} within edges of {self.extent:.3g} leaves no points "
                f"inside; check its corners and their order"
            )

    @property
    def bounds(self):
        return tuple(self._starts.min(axis=0).tolist()), tuple(self._starts.max(axis=0).tolist())

    @property
    def sizes(self):
        return self._lengths

    @property
    def volume(self):
        return abs(self._area)

    def level(self, x, xp=np):
        if xp is np and x.ndim > 1 and len(x) * len(self.corners) > AT_ONCE:
            pieces = np.array_split(x, -(-len(x) * len(self.corners) // AT_ONCE))
            return np.concatenate([self.level(piece) for piece in pieces])
        edge, from_end, beyond_middle, above, beyond = self._nearest(x, xp)
        # The nearest point is one within an edge, whose line tells inside from outside, or a corner, where the sum of
        # the two normals does. A root is taken only away from the corner: its slope at zero is no number.
        square = xp.sum(from_end**2, axis=-1)
        at_corner = (beyond > 0) & (square > 0)
        distance = xp.sqrt(xp.where(at_corner, square, 1))
        corner = (edge + beyond_middle) % len(self.corners)
        outside = xp.sum(from_end * xp.asarray(self._bisectors)[corner], axis=-1) >= 0
        return xp.where(at_corner, xp.where(outside, distance, -distance), above)

    def level_of(self, side, x, xp=np):
        return self._nearest(x, xp, [name == side for name in self.names])[3]

    def heights(self, x: Any, xp: Any) -> Any:
        """How far a point lies inwards of the line of each edge."""
        return xp.sum((xp.asarray(self._starts) - x[None]) * xp.asarray(self._normals), axis=-1)

    @cached_property
    def widths(self) -> Float[np.ndarray, " edges"]:
        """How far it reaches inwards from the line of each edge."""
        return np.max([self.heights(corner, np) for corner in self._starts], axis=0)

    @cached_property
    def convex(self) -> bool:
        """Whether no corner points inwards."""
        return bool((self._turns >= -NEAR).all())

    @cached_property
    def simplified(self) -> "Polygon":
        """The same region without corners where its boundary goes straight on, and without names."""
        corners = tuple(corner for corner, turn in zip(self.corners, self._turns, strict=True) if abs(turn) > NEAR)
        return self if len(corners) == len(self.corners) else Polygon(corners, (None,) * len(corners))

    @cached_property
    def depth(self) -> float:
        """How far from the boundary the deepest point inside lies, of a thousand."""
        return float(-self.level(self.interior(sobol(1024, 2, 0))[0]).min())

    @cached_property
    def _turns(self) -> Float[np.ndarray, " corners"]:
        """The sine of the angle by which the boundary turns at each corner, below zero where it points inwards."""
        before, after = np.roll(self._along, 1, axis=0), self._along
        return np.sign(self._area) * (before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0])

    @property
    def edges(self) -> tuple[PerEdge, PerEdge]:
        """Where each begins and ends."""
        return self._starts, np.roll(self._starts, -1, axis=0)

    def surface(self, uniform):
        ends = np.cumsum(self._lengths)
        place = uniform[:, 0] * ends[-1]
        edge = np.minimum(np.searchsorted(ends, place, side="right"), len(ends) - 1)
        share = 1 - (ends[edge] - place) / self._lengths[edge]
        points = self._starts[edge] + np.clip(share, 0, 1)[:, None] * self._steps[edge]
        return self.on_pieces(edge, points, self._normals)

    def _nearest(self, x: Any, xp: Any, among: list[bool] | None = None) -> tuple[Any, Any, Any, Any, Any]:
        """The edge nearest to x, of all or `among` some, and where x lies from it.

        That is the way from its nearer end, whether that is its second, the signed height above its line, and how far
        x is beyond its ends. All are taken from the nearer end, where differences are exact.
        """
        starts, ends, along = map(xp.asarray, (*self.edges, self._along))
        from_start, from_end = x[..., None, :] - starts, x[..., None, :] - ends
        beyond_middle = xp.sum((from_start + from_end) * along, axis=-1) > 0
        from_end = xp.where(beyond_middle[..., None], from_end, from_start)
        place = xp.sum(from_end * along, axis=-1)
        beyond = xp.maximum(xp.where(beyond_middle, place, -place), 0)
        above = xp.sum(from_end * xp.asarray(self._normals), axis=-1)
        square = above**2 + beyond**2
        if among is not None:
            square = xp.where(xp.asarray(among), square, np.inf)
        edge = xp.argmin(square, axis=-1)

        def of_edge(values):
            return xp.take_along_axis(values, edge[..., None], axis=-1)[..., 0]

        from_end = xp.stack([of_edge(from_end[..., 0]), of_edge(from_end[..., 1])], axis=-1)
        return edge, from_end, of_edge(beyond_middle), of_edge(above), of_edge(beyond)

    @cached_property
    def _starts(self) -> PerEdge:
        return np.array(self.corners)

    @cached_property
    def _steps(self) -> PerEdge:
        return np.roll(self._starts, -1, axis=0) - self._starts

    @cached_property
    def _lengths(self) -> Float[np.ndarray, " edges"]:
        return np.linalg.norm(self._steps, axis=1)

    @property
    def _along(self) -> PerEdge:
        return self._steps / self._lengths[:, None]

    @cached_property
    def _area(self) -> float:
        """Above zero where the corners go round anticlockwise."""
        (x, y), (step_x, step_y) = (self._starts - self._starts[0]).T, self._steps.T
        return float(np.sum(x * step_y - y * step_x) / 2)

    @cached_property
    def _normals(self) -> PerEdge:
        x, y = self._along.T
        return np.sign(self._area) * np.stack([y, -x], axis=1)

    @cached_property
    def _bisectors(self) -> PerEdge:
        """At each corner the sum of the normals of its two edges."""
        return self._normals + np.roll(self._normals, 1, axis=0)

    def __str__(self) -> str:
        corners = ", ".join(f"({x:g}, {y:g})" for x, y in self.corners[:4])
        return f"polygon({corners}{', …' if len(self.corners) > 4 else ''})"
