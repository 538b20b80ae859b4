"""Points on their devices, and compiled programs that are run there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ..expr import Node, PointSet, Trainable
from ..parallel import Collectives, Layout, Transport
from .dependence import trainables_of
from .program import Program


@dataclass(frozen=True)
class Placed:
    """The points of some tags: padded rows on their devices, and how they are laid out there."""

    rows: dict[PointSet, jax.Array]
    layouts: dict[PointSet, Layout]

    @property
    def counts(self) -> dict[PointSet, int]:
        """N, without padding."""
        return {tag: layout.count for tag, layout in self.layouts.items()}


@dataclass(frozen=True)
class Executor:
    """Runs programs on a transport in one dtype; points are placed and expressions compiled once.

    `limit` bounds the temporaries of a program on one device, in bytes.
    """

    transport: Transport
    dtype: Any
    limit: int
    _rows: dict[PointSet, jax.Array] = field(default_factory=dict)
    _programs: dict[Any, Any] = field(default_factory=dict)

    def place(self, tags: Sequence[PointSet], new: Mapping[str, Any] | None = None) -> Placed:
        """The points of the tags; `new` ones, by the tag's name, in place of those of the problem."""
        new = new or {}
        _refuse_unknown(tags, new)
        placed = Placed({}, {})
        for tag in tags:
            coordinates = tag.conform(new[tag.tag]) if tag.tag in new else tag.coordinates
            layout = placed.layouts[tag] = Layout(len(coordinates), self.transport.size)
            if tag.tag in new:
                placed.rows[tag] = self._put(coordinates, layout)
            else:
                if tag not in self._rows:
                    self._rows[tag] = self._put(coordinates, layout)
                placed.rows[tag] = self._rows[tag]
        return placed

    def compute(
        self, roots: Sequence[Node], placed: Placed, parameters: Mapping[Trainable, Any]
    ) -> dict[Node, jax.Array]:
        """Values of primitives: of terms, and of fields the rows of all shards with their padding."""
        tags, trainables = Program(tuple(roots)).tags, trainables_of(roots)
        key = (tuple(roots), tuple(placed.counts.items()))
        if key not in self._programs:
            self._programs[key] = self.program(roots, tags, placed.layouts, trainables)
        rows = tuple(placed.rows[tag] for tag in tags)
        found = self._programs[key](rows, [parameters[trainable] for trainable in trainables])
        per_kind = [iter(values) for values in found]
        return {root: next(per_kind[root.points is not None]) for root in roots}

    def program(
        self,
        roots: Sequence[Node],
        tags: Sequence[PointSet],
        layouts: Mapping[PointSet, Layout],
        trainables: Sequence[Trainable],
    ) -> Any:
        """The jitted program of `compute`: (points of each tag, parameters) -> (terms, rows of fields)."""
        program = Program(tuple(roots))

        def values(collectives: Collectives, points: Any, parameters: Any) -> tuple[Any, Any]:
            here = dict(zip(tags, points, strict=True))
            known = dict(zip(trainables, parameters, strict=True))
            found = program.run(collectives, layouts, here, known, limit=self.limit)
            pairs = list(zip(roots, found, strict=True))
            return [v for r, v in pairs if r.points is None], [v for r, v in pairs if r.points is not None]

        return self.transport.spmd(values)

    def _put(self, coordinates: np.ndarray, layout: Layout) -> jax.Array:
        return self.transport.place(layout.pad(coordinates).astype(self.dtype))


def _refuse_unknown(tags: Sequence[PointSet], new: Mapping[str, Any]) -> None:
    names = [tag.tag for tag in tags]
    for name in new:
        if names.count(name) != 1:
            held = ", ".join(f"'{held}'" for held in dict.fromkeys(names)) or "no points"
            why = "belongs to several domains" if name in names else "is none of its tags"
            raise ValueError(f"points={{'{name}': …}}: the expression is evaluated on {held}; '{name}' {why}")
