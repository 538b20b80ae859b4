"""Fields to export: on the points of one tag, each with a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..expr import Node, PointSet, checked_name, ops, split


@dataclass(frozen=True, eq=False)
class ExportedFields:
    """Fields by name, and the points they are on; `single` if one was given as it is."""

    fields: dict[str, Node]
    points: PointSet
    single: bool

    @classmethod
    def of(cls, fields: Any) -> "ExportedFields":
        """Return them checked; raises where something is no field, or two are not on the same points."""
        single = isinstance(fields, Node)
        if not single and not (isinstance(fields, Mapping) and fields):
            raise TypeError(f"export({fields!r}): give a field, or a dict from names to fields")
        by_name = {_name(fields): fields} if single else dict(fields)
        common: PointSet | None = None
        for name, field in by_name.items():
            points = _points_of(name, field)
            if common not in (None, points):
                raise ValueError(
                    f"export: the fields are on the points of '{common.tag}' of {common.domain} and '{points.tag}' of "
                    f"{points.domain}: write a file for each"
                )
            common = points
        assert common is not None
        return cls(by_name, common, single)

    @property
    def axes(self) -> tuple[str, ...]:
        """The columns of a point as a user gives it: those of space, and time in a problem over time."""
        return self.points.axes[: len(self.points.axes) - self.points.steady]


def _name(field: Node) -> str:
    return field.op.name if isinstance(field.op, ops.Label) else "value"


def _points_of(name: Any, field: Any) -> PointSet:
    checked_name("export", name)
    if not isinstance(field, Node):
        raise TypeError(f"export: '{name}' is {field!r}, no field: give an expression of the coordinates")
    if field.points is None:
        raise ValueError(
            f"export: '{name}' = {field} is one value in all, not one a point: solver.eval({name}) gives it"
        )
    inner, *group = split(field)
    if group:
        raise ValueError(
            f"export: '{name}' = {field} is on some of the points of '{field.points.tag}': export {inner}, and the "
            f"condition {group[0]} as a field beside it"
        )
    return field.points
