"""Data of a report about the solution: fields over their points, residuals, spectra, as arrays."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..checkpoint.archive import Arrays
from ..domain.serialization import written
from ..expr import Node, PointSet, Request, SpectrumRequest, checked_array, checked_name, split
from ..jacobian import Density, NotFinite, Spectrum
from ..optim import squares_of
from ..parallel import settings

logger = logging.getLogger(__name__)

MOST = 20_000  # points of a field that are kept for pictures, evenly chosen


@runtime_checkable
class Evaluate(Protocol):
    """`solver.eval`."""

    def __call__(self, nodes: Any, *, points: Mapping[str, Any] | None = None) -> Any: ...


@dataclass(frozen=True, eq=False)
class Field:
    """A field to show, and its reference if there is one: a field too, or values at rows `at` of coordinates.

    `over` has the quantities that pictures are drawn over, by name, where they are not the coordinates of its points.
    """

    node: Node
    reference: Any = None
    at: np.ndarray | None = None
    over: Mapping[str, Node] = field(default_factory=dict)
    kind: str = "solution"

    @property
    def points(self) -> PointSet:
        assert self.node.points is not None
        return self.node.points

    def check(self, name: str) -> "Field":
        """Return it with `at` in the columns of its tag; raises TypeError or ValueError where it could not be field."""
        for axis in self.over:
            checked_name(f"solve(show=…): '{name}', over", axis)
        if self.node.points is None or len(split(self.node)) > 1:
            raise _refused(name, self.node)
        other = self.reference
        if self.at is not None:
            try:
                at = self.points.conform(self.at)
            except (TypeError, ValueError) as error:
                raise ValueError(f"solve(show=…): '{name}': {error}") from error
            if np.shape(other) != (len(at), *self.node.shape):
                raise ValueError(
                    f"solve(show=…): '{name}' has {len(at)} points and values of shape {np.shape(other)}: give a value "
                    f"of shape {self.node.shape} for each point"
                )
            return replace(
                self, reference=checked_array(f"solve(show=…): values of '{name}'", other, np.float64), at=at
            )
        if other is not None and not (
            isinstance(other, Node) and other.shape == self.node.shape and other.points in (None, self.points)
        ):
            raise TypeError(
                f"solve(show=…): '{name}' is {self.node} beside {other!r}: give a pair of fields of one shape on the "
                f"same points"
            )
        return self


class ReportData:
    """Fields, numbers and spectra of `solve(show=…)`, and the residuals of terms that are mean squares.

    A value is a field, a pair (field, reference), a `Field`, a term, or `J.spectrum(…)`.
    """

    def __init__(self, show: Mapping[str, Any], terms: Mapping[str, Node]):
        self._fields: dict[str, Field] = {}
        self._numbers: dict[str, Node] = {}
        self._spectra: dict[str, Request] = {}
        self._refused = False
        for name, value in show.items():
            self._take(checked_name("solve(show=…)", name), value)
        for name, term in terms.items():
            for label, residual in _residuals(name, term).items():
                self._fields.setdefault(label, Field(residual, kind="residual"))

    def _take(self, name: str, value: Any) -> None:
        if isinstance(value, SpectrumRequest):
            self._spectra[name] = value
        elif isinstance(value, Node) and value.points is None:
            self._numbers[name] = value
        else:
            pair: Any = value if isinstance(value, tuple) and len(value) == 2 else (value,)
            if not isinstance(value, Field) and not isinstance(pair[0], Node):
                raise _refused(name, value)
            self._fields[name] = (value if isinstance(value, Field) else Field(*pair)).check(name)

    def collect(
        self, evaluate: Evaluate, coordinates: Callable[[Node], np.ndarray], *, last: bool
    ) -> tuple[dict[str, Any], Arrays]:
        """Return metadata and arrays as they are now; all processes call it. Spectra only with `last`: they take long.

        Where something is refused, as too large, that is logged once, and nothing is shown: training goes on.
        """
        if not self._refused:
            try:
                return self._collect(evaluate, coordinates, last)
            except ValueError as error:
                self._refused = True
                if settings().writes:
                    logger.warning(f"nothing to show in a report: {error}")
        return {"places": [], "fields": [], "numbers": {}, "spectra": []}, {}

    def _collect(
        self, evaluate: Evaluate, coordinates: Callable[[Node], np.ndarray], last: bool
    ) -> tuple[dict[str, Any], Arrays]:
        spectra = self._spectra if last else {}
        answers = {name: _answer(evaluate, request) for name, request in spectra.items()}
        numbers = dict(zip(self._numbers, evaluate(list(self._numbers.values())), strict=True))
        arrays: Arrays = {}
        places: dict[Any, int] = {}
        axes, fields = [], []
        for index, (name, item) in enumerate(self._fields.items()):
            has_field = isinstance(item.reference, Node)
            nodes = [item.node, *([item.reference] if has_field else []), *item.over.values()]
            points = None if item.at is None else {item.points.tag: item.at}
            value, *more = evaluate(nodes, points=points)
            reference = more.pop(0) if has_field else item.reference
            key = name if item.over or item.at is not None else item.points
            if key not in places:
                places[key] = len(places)
                at = coordinates(item.node) if item.at is None else item.at
                arrays[f"at/{places[key]}"] = _thinned(np.stack(more, axis=1) if item.over else at)
                axes.append({"tag": item.points.tag, "axes": list(item.over or item.points.axes)})
                region = None if item.over else item.points.region
                if region is not None:
                    axes[-1]["region"] = written(region, arrays, f"region/{places[key]}")
            arrays[f"field/{index}"] = _thinned(value)
            if reference is not None:
                arrays[f"reference/{index}"] = _thinned(np.broadcast_to(reference, np.shape(value)))
            fields.append({"name": name, "of": str(item.node), "place": places[key], "kind": item.kind})
        about = [_described(name, answer, arrays) for name, answer in answers.items()]
        values = {name: np.asarray(number).tolist() for name, number in numbers.items()}
        return {"places": axes, "fields": fields, "numbers": values, "spectra": about}, arrays


def _refused(name: str, value: Any) -> TypeError:
    return TypeError(
        f"solve(show=…): '{name}' is {value!r}: give a field on all points of a tag, a pair (field, reference), a "
        f"term, or J.spectrum()"
    )


def _residuals(name: str, term: Node) -> dict[str, Node]:
    """Return the fields that a term is the mean square of, without their groups; none where it is something else."""
    try:
        squares = squares_of("the report", name, term)
    except ValueError:
        return {}
    fields = dict.fromkeys(square.inside[0] for square in squares)
    return {name if len(fields) == 1 else f"{name}, {field}": field for field in fields}


def _thinned(rows: Any) -> np.ndarray:
    """Return at most `MOST` rows, evenly chosen, in double precision; bfloat16 has no meaning outside."""
    rows = np.asarray(rows, dtype=np.float64)
    step = max(1, -(-len(rows) // MOST))
    return rows[::step]


def _answer(evaluate: Evaluate, request: Request) -> Spectrum | Density | str:
    """Return a spectrum, or why there is none; the rest of the report does not suffer from it."""
    try:
        return evaluate(request)
    except NotFinite as error:
        return str(error)


def _described(name: str, answer: Spectrum | Density | str, arrays: Arrays) -> dict[str, Any]:
    """Return a spectrum in numbers; of a density, or where there is none, a text alone."""
    if not isinstance(answer, Spectrum):
        return {"name": name, "text": str(answer)}
    arrays[f"spectrum/{name}"] = np.asarray(answer.eigenvalues, dtype=np.float64)
    return {
        "name": name,
        "text": str(answer),
        "floor": answer.floor,
        "effective_rank": answer.effective_rank,
        "resolved": answer.resolved,
        "rows": answer.rows,
        "columns": answer.columns,
    }
