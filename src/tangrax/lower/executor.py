"""Points on their devices, and the compiled programs run there.

On the way to a device points are `rows` (in the user's order, on the host), padded rows (`Layout.pad`), and `Placed`
(on devices); inside of a program a shard has its `ShardRows`, and a field is computed at one `point`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

from ..expr import Node, PointSet, Trainable, all_nodes, describe
from ..expr.ops import Constant, Scattered
from ..expr.points import Rows
from ..parallel import Collectives, Layout, Transport
from ..processes import refuse_fork
from .coordinate_resolution import refuse_merged
from .levels import trainables_of
from .program import Program, ShardContext


@dataclass(frozen=True)
class Placed:
    """Points of some tags on their devices: padded rows, and their layout."""

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
    moved: dict[PointSet, np.ndarray] = field(default_factory=dict)  # coordinates, agreed on, of tags that have moved
    _own: dict[PointSet, tuple[Rows, tuple[jax.Array, Layout]]] = field(default_factory=dict)
    programs: dict[Any, Any] = field(default_factory=dict)

    def place(self, tags: Sequence[PointSet], new: Mapping[str, Any] | None = None) -> Placed:
        """The points of the tags; `new` ones, by the tag's name, in place of those of the problem."""
        self.check("eval")
        new = new or {}
        refuse_unknown(tags, new)
        placed = Placed({}, {})
        for tag in tags:
            if tag.tag in new:
                dealt = self.put(tag, tag.conform(new[tag.tag]))
            else:
                rows, (dealt_rows, dealt) = self.rows(tag), self._own.get(tag, (None, None))
                if dealt is None or dealt_rows is not rows:
                    dealt = self._dealt(tag, rows) if tag in self.moved else self.put(tag, rows)
                    self._own[tag] = (rows, dealt)
            placed.rows[tag], placed.layouts[tag] = dealt
        return placed

    def check(self, what: str) -> None:
        """Raise RuntimeError where nothing can be computed: in a fork, or in a precision that is off by now."""
        refuse_fork(what)
        if np.dtype(self.dtype) != jax.dtypes.canonicalize_dtype(self.dtype):
            raise RuntimeError(
                f"{what}: this solver computes in {self.dtype}, and 64-bit numbers were switched off since it was "
                f'made: call tx.setup(dtype="float64") again, or make it anew'
            )

    def in_dtype(self, dtype: DTypeLike) -> "Executor":
        """One for another precision, whose points move with these."""
        return Executor(self.transport, dtype, self.limit, self.moved)

    def coordinates(self, tag: PointSet) -> np.ndarray:
        """Where the points of a tag are now."""
        return self.moved.get(tag, tag.coordinates)

    def rows(self, tag: PointSet) -> Rows:
        """The same, with what was measured there."""
        return self.moved.get(tag, tag.rows)

    def agreed(self, tag: PointSet) -> Rows:
        """The same, as all processes have them."""
        return self.moved[tag] if tag in self.moved else self._agreed(tag, tag.rows)

    def move(self, tag: PointSet, coordinates: np.ndarray) -> None:
        """From now on, these are the points of a tag, in their old number or another."""
        self.moved[tag] = self._agreed(tag, coordinates)

    def restore(self, moved: Mapping[PointSet, np.ndarray]) -> None:
        """All tags where `moved`, as it was here before, has them; the others where they were at first."""
        self.moved.clear()
        self.moved.update(moved)

    def compute(
        self, roots: Sequence[Node], placed: Placed, parameters: Mapping[Trainable, Any]
    ) -> dict[Node, jax.Array]:
        """Values of primitives: of terms, and of fields the rows of all shards with their padding."""
        tags, trainables = Program(tuple(roots)).tags, trainables_of(roots)
        key = (tuple(roots), tuple(placed.counts.items()))
        if key not in self.programs:
            self.programs[key] = self.program(roots, tags, placed.layouts, trainables)
        rows = tuple(placed.rows[tag] for tag in tags)
        terms, fields = self.programs[key](rows, [parameters[trainable] for trainable in trainables])
        per_kind = iter(terms), iter(fields)
        return {root: next(per_kind[root.points is not None]) for root in roots}

    def program(
        self,
        roots: Sequence[Node],
        tags: Sequence[PointSet],
        layouts: Mapping[PointSet, Layout],
        trainables: Sequence[Trainable],
    ) -> Any:
        """The jitted program of `compute`: (points of each tag, parameters) -> (terms, rows of fields)."""
        program, limit = Program(tuple(roots)), self.limit  # not `self`, which has the program that this returns

        def values(collectives: Collectives, points: Any, parameters: Any) -> tuple[Any, Any]:
            shard = ShardContext(collectives, layouts, dict(zip(tags, points, strict=True)))
            by_trainable = dict(zip(trainables, parameters, strict=True))
            results = program.run(shard, by_trainable, limit=limit)
            pairs = list(zip(roots, results, strict=True))
            return [v for r, v in pairs if r.points is None], [v for r, v in pairs if r.points is not None]

        return self.transport.spmd(values, _name(roots))

    def put(self, tag: PointSet, coordinates: Rows) -> tuple[jax.Array, Layout]:
        """Points of a tag, dealt out to the devices."""
        return self._dealt(tag, self._agreed(tag, coordinates))

    def _agreed(self, tag: PointSet, coordinates: Any) -> Any:
        """The first process's points, should others have drawn or read different ones."""
        return self.transport.first(f"the points of '{tag.tag}'", [coordinates])[0]

    def _dealt(self, tag: PointSet, coordinates: Rows) -> tuple[jax.Array, Layout]:
        layout = Layout(len(coordinates), self.transport.size)
        try:
            with np.errstate(over="raise"):
                placed = self.transport.place(layout.pad(coordinates, self.dtype))
        except FloatingPointError:
            raise ValueError(
                f"points of '{tag.tag}', or what was measured there, hold a number beyond those of {self.dtype}, "
                f'{np.finfo(self.dtype).max:.1e}: choose other units, or tx.setup(dtype="float64")'
            ) from None
        refuse_merged(tag, coordinates, self.dtype)
        return placed, layout


def _name(roots: Sequence[Node]) -> str:
    """What is computed, in a few words that are the same on every process."""
    texts = [describe(root, 3) for root in roots]
    return f"evaluation of {', '.join(texts)}"[:120]


def refuse_arrays_at(roots: Sequence[Node], new: Mapping[str, Any], counts: Mapping[PointSet, int]) -> None:
    """Raise if the roots hold an array with a row for each of a tag's points, and others stand in their place.

    Those are the `new` ones, or as many as `counts` says, where points were added during training.
    """
    for node in all_nodes(roots):
        if not (isinstance(node.op, Scattered) and isinstance(node.args[0].op, Constant)):
            continue
        points = node.op.points
        tag, count = points.tag, len(points)
        if tag in new:
            raise ValueError(
                f"points={{'{tag}': …}}: the expression holds {node}, a row for each of the {count} points of '{tag}'; "
                f"of new points it says nothing. Write the weights as a field of the coordinates"
            )
        if counts.get(points, count) != count:
            raise ValueError(
                f"the expression holds {node}, a row for each of the {count} points that '{tag}' had at first; it has "
                f"{counts[points]} now. Write the weights as a field of the coordinates"
            )


def refuse_unknown(tags: Sequence[PointSet], new: Mapping[str, Any]) -> None:
    """Raise if `new` points are given for a name that is not one of the tags'."""
    names = [tag.tag for tag in tags]
    for name in new:
        if names.count(name) != 1:
            present = ", ".join(f"'{tag}'" for tag in dict.fromkeys(names)) or "no points"
            why = "belongs to several domains" if name in names else "is none of its tags"
            raise ValueError(f"points={{'{name}': …}}: the expression is evaluated on {present}; '{name}' {why}")
