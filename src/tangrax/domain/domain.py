"""A domain: a shape with collocation points under tags, steady or over time."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..expr import Node, PointSet, apply, conform
from .boundary_factors import Factor, largest
from .measurements import coordinate_fields, measured, refuse_outside, rows_and_columns
from .samplers import GAUSS, SAMPLERS, Sampling, TimeSpan, product_weights
from .set_operations import Combined, Named
from .shapes import OutwardNormal, Shape, is_own_name
from .table_files import Table
from .tag_coordinates import TagCoordinates
from .transforms import Vector, rotated, scaled, translated


@dataclass(frozen=True, eq=False)
class Domain:
    """A shape with collocation points by tag, steady or over time; without points, a shape to combine.

    Tags: `interior` (strictly inside; over time, t > start), `boundary`, each side of the shape by name, and over
    time `initial` and `final` (the closed shape at the first and last time).
    `a - b`, `a | b` and `a & b` are difference, union and intersection.
    """

    shape: Shape
    sampling: Sampling | None = None
    time: TimeSpan | None = None
    _sets: dict[str, PointSet] = field(default_factory=dict, repr=False)
    _tables: dict[str, Table] = field(default_factory=dict, repr=False)  # columns of files, by tag

    @property
    def tags(self) -> tuple[str, ...]:
        return (*self._own_tags, *self._tables)

    @property
    def _own_tags(self) -> tuple[str, ...]:
        return ("interior", "boundary", *(("initial", "final") if self.time else ()), *self.shape.sides)

    def __sub__(self, other: "Domain") -> "Domain":
        return self._combined(other, "-")

    def __or__(self, other: "Domain") -> "Domain":
        return self._combined(other, "|")

    def __and__(self, other: "Domain") -> "Domain":
        return self._combined(other, "&")

    def named(self, name: str) -> "Domain":
        """The same shape with its whole boundary, or what other shapes leave of it, as one tag.

        Args:
            name: of the tag.

        Raises:
            ValueError: the name is that of another tag, or the shape has points already.
        """
        shape = self.bare("named")
        if not is_own_name(name):
            raise ValueError(f"named({name!r}): a name of its own, such as 'hole'")
        return Domain(Named(shape, name))

    def translate(self, offset: Vector) -> "Domain":
        """The shape translated by an offset.

        Args:
            offset: d numbers, one for each axis.

        Raises:
            ValueError: it has another length or is not finite, or the shape has points already.
        """
        return Domain(translated(self.bare("translate"), offset))

    def rotate(self, angle: float, about: Vector | None = None, axis: Vector | str | None = None) -> "Domain":
        """The shape rotated.

        Args:
            angle: in radians.
            about: the fixed point; the centre of the bounding box by default.
            axis: in three dimensions "x", "y", "z" or a vector, with the right-hand rule.

        Raises:
            ValueError: an argument is not finite or does not fit the dimension, or the shape has points already.
        """
        return Domain(rotated(self.bare("rotate"), angle, about, axis))

    def scale(self, factor: float, about: Vector | None = None) -> "Domain":
        """The shape scaled about a point.

        Args:
            factor: positive.
            about: the fixed point, d coordinates; the centre of the bounding box by default.

        Raises:
            ValueError: the factor is not positive, the point is none, or the shape has points already.
        """
        return Domain(scaled(self.bare("scale"), factor, about))

    def sample(
        self,
        *,
        mesh_size: float | None = None,
        n: int | None = None,
        boundary: int | None = None,
        seed: int = 0,
        sampler: str = "sobol",
    ) -> "Domain":
        """The shape with points: a regular grid, or points of a sampler.

        Args:
            mesh_size: distance of grid nodes.
            n: number of points inside, in place of a grid.
            boundary: number of points on the boundary; by default as dense as those inside.
            seed: of the sampler.
            sampler: "sobol", "halton", "latin_hypercube", "uniform", or "gauss_legendre" for a line, rectangle or box.

        Raises:
            ValueError: the shape has points already, or an argument is out of range.
        """
        if sampler == GAUSS and not self.shape.filled:
            raise ValueError(
                f"sampler='{GAUSS}': {self.shape} is no line, rectangle or box, so there is no such rule for it: "
                f"{', '.join(name for name in SAMPLERS if name != GAUSS)} are for all shapes"
            )
        return Domain(self.bare("sample"), Sampling(mesh_size, n, boundary, seed, sampler))

    def bare(self, what: str) -> Shape:
        """The shape, for an operation on shapes without points.

        Args:
            what: name of the operation, for the message.

        Raises:
            ValueError: there are points already.
        """
        if self.sampling is not None or self._tables:
            raise ValueError(
                f"{what}: {self} has points already; make shapes first, without n= and mesh_size=, and .sample() last"
            )
        return self.shape

    def normal(self, tag: str) -> tuple[Node, ...]:
        """Components of the outward unit normal, as fields at the points of `boundary` or a side.

        At an edge or corner, a side has its own normal, `boundary` one between.

        Args:
            tag: `boundary`, or the name of a side.

        Returns:
            d fields of one number per point.

        Raises:
            ValueError: another tag.
        """
        points = self.point_set(tag)
        pieces = ("boundary", *self.shape.sides)
        if tag not in pieces:
            raise ValueError(f"normal('{tag}'): only the boundary has one, {', '.join(pieces)}")
        space = coordinate_fields(points)[: self.shape.dimension]
        normal = apply(OutwardNormal(self.shape, None if tag == "boundary" else tag), "normal", *space)
        return tuple(normal[axis] for axis in range(len(space)))

    def factor(self, *coordinates: Node) -> Node:
        """A field for hard constraints: zero on the boundary, positive and smooth inside, at most about 1.

        Its derivative along the inward normal is positive on every edge and face. It is not smooth at re-entrant
        corners, and at all corners of polygons that have such or more than six. Sukumar and Srivastava, CMAME 389
        (2022) 114333.

        Args:
            *coordinates: the space coordinates, of any tag.

        Raises:
            ValueError: another number of coordinates, a mesh, or shapes that share a wall.
        """
        if len(coordinates) != self.shape.dimension:
            raise ValueError(f"factor: {len(coordinates)} coordinates; {self.shape} has {', '.join(self.shape.axes)}")
        largest(self.shape)  # raises for shapes that have no factor
        return apply(Factor(self.shape), "factor", *coordinates)

    def measure(self, tag: str) -> float:
        """Measure of the tag's set, a length, area or volume; times the time span for space-time tags.

        Exact to rounding for shapes that are not made of others, else to some 1e-4. An interval's ends count 1 each.

        Args:
            tag: one of the shape's, not one of your own points.

        Raises:
            ValueError: another tag.
        """
        pieces = ("boundary", *self.shape.sides)
        if tag not in self._own_tags:
            raise ValueError(f"measure('{tag}'): {self} has one for {', '.join(self._own_tags)}")
        space = self.shape.area(None if tag == "boundary" else tag) if tag in pieces else self.shape.volume
        span = 1.0 if self.time is None or tag in ("initial", "final") else self.time.end - self.time.start
        return space * span

    def variable(self, tag: str) -> tuple[Node, ...]:
        """The coordinates of a tag's points as fields.

        Args:
            tag: one of `tags`.

        Returns:
            Space axes, then time: (x, t), (x, y, t) or (x, y, z, t). A steady problem has a time too, zero.

        Raises:
            ValueError: there is no such tag, or there are no points yet.
        """
        return coordinate_fields(self.point_set(tag))

    def points(self, tag: str, points: ArrayLike | str | Path) -> tuple[Node, ...]:
        """Adds a tag with your own points, such as sensors.

        Args:
            tag: a new name.
            points: (N, d), or (N, d + 1) with time last over time; or the path of a table or archive with columns of
                the names of the axes, whose other columns are for `values`.

        Returns:
            Its coordinates as fields, like `variable`.

        Raises:
            ValueError: the tag exists, or points are not finite, of another shape or outside of the domain.
        """
        axes = (*self.shape.axes, "t")[: self.shape.dimension + (self.time is not None)]
        if tag in self.tags or tag in self._sets:
            raise ValueError(f"points('{tag}'): {self} has a tag '{tag}' already; choose another name")
        points, columns = rows_and_columns(tag, points, axes, str(self))
        names, steady = (*self.shape.axes, "t"), self.time is None
        rows = conform(points, tag, names, steady)
        refuse_outside(tag, rows, columns, self.shape, self.time, str(self))
        self._sets[tag] = PointSet(tag, rows, names, steady, str(self), region=self.shape, spans=self._spans)
        self._tables[tag] = columns
        return self.variable(tag)

    def values(self, tag: str, values: ArrayLike, name: str | None = None) -> Node:
        """Measured numbers at the points of a tag, as a field that is defined at these points only.

        Args:
            tag: name of a set of points.
            values: (N,), in the order of `point_set(tag).coordinates`; or the name of a column of the tag's file.
            name: of the field.

        Raises:
            ValueError: values are not finite, of another number, or there is no such column.
        """
        return measured(self.point_set(tag), self._tables.get(tag, Table()), values, name)

    def over_time(
        self, start: float, end: float, *, mesh_size: float | None = None, initial: int | None = None
    ) -> "Domain":
        """The same shape over a time span.

        Args:
            start: first time.
            end: last time.
            mesh_size: time step of a grid; by default that in space.
            initial: with `n=`, number of points at the first time, and again at the last; by default as many as on
                the boundary.

        Raises:
            ValueError: the times are not in order, the shape has no points yet, or tags without a time.
        """
        span = TimeSpan(float(start), float(end), mesh_size, initial)
        if self._tables:
            raise ValueError(f"over_time: {', '.join(self._tables)} have points without a time; call points() after it")
        return replace(self, sampling=self._sampled, time=span, _sets={}, _tables={})

    def point_set(self, tag: str) -> PointSet:
        """The points of a tag: `coordinates` (N, d + 1), time last, and their number `len()`.

        Args:
            tag: one of `tags`.

        Raises:
            ValueError: there is no such tag, or there are no points yet.
        """
        if tag not in self.tags:
            raise ValueError(f"unknown tag '{tag}': {self} has {', '.join(self.tags)}")
        if tag not in self._sets:
            axes = (*self.shape.axes, "t")
            # The ends of an interval are all there is of its boundary.
            fixed = self.shape.dimension == 1 and not self.time and tag != "interior"
            draw = None if fixed else partial(self._coordinates.draw, tag)
            measure = partial(self.measure, tag)
            points, steady = self._coordinates.by_tag[tag], self.time is None
            by_rule = self._sampled.sampler == GAUSS and tag in ("interior", "initial", "final")
            even = fixed or (self._sampled.mesh_size is None and not by_rule)
            point_set = PointSet(tag, points, axes, steady, str(self), draw, measure, even, self.shape, self._spans)
            if by_rule:
                columns = self.shape.dimension + (self._coordinates.time_columns if tag == "interior" else 0)
                point_set.weigh(product_weights(len(points), columns))
            self._sets[tag] = point_set
        return self._sets[tag]

    @cached_property
    def _coordinates(self) -> TagCoordinates:
        return TagCoordinates(self.shape, self._sampled, self.time, str(self))

    @property
    def _spans(self) -> tuple[float, ...]:
        """How long it is along each axis, and over time."""
        lower, upper = self.shape.bounds
        return (*np.subtract(upper, lower).tolist(), self.time.end - self.time.start if self.time else 0.0)

    @property
    def _sampled(self) -> Sampling:
        if self.sampling is None:
            raise ValueError(f"{self.shape} has no points yet: give it n= or mesh_size=, or call .sample(n=...)")
        return self.sampling

    def _combined(self, other: "Domain", operation: str) -> "Domain":
        if not isinstance(other, Domain):
            return NotImplemented
        what = f"({self.shape}) {operation} ({other.shape})"
        return Domain(Combined(self.bare(what), other.bare(what), operation))

    def __str__(self) -> str:
        s, t = self.sampling, self.time
        points = (
            "" if s is None else f" with mesh_size={s.mesh_size:g}" if s.mesh_size is not None else f" with n={s.n}"
        )
        span = f" over t in [{t.start:g}, {t.end:g}]" if t else ""
        return f"{self.shape}{points}{span}"
