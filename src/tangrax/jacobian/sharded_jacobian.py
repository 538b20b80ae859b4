"""J of an expression as shards hold it, and programs that run on it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..expr import Node, Selection, Trainable, ops
from ..lower import at_point, expand, shared, trainables_of
from ..parallel import Collectives, Layout
from .cost import rates
from .evaluator import Evaluator
from .gram import Choice, Rows, choose
from .rewrite_rules import RULES


@dataclass(frozen=True, eq=False)
class ShardedJacobian:
    """J of an expression, of all points of a tag or of a group of them."""

    rows: Node
    field: Node  # in primitives
    wrt: tuple[Selection, ...]
    group: Node | None
    placed: Any  # the points on their devices
    layout: Layout

    @classmethod
    def of(cls, node: Node, evaluator: Evaluator, points: Any) -> "ShardedJacobian":
        rows, group = node.args if isinstance(node.op, ops.Restrict) else (node, None)
        assert isinstance(rows.op, ops.Jacobian) and rows.points is not None
        (field,) = expand([rows.args[0]], RULES)
        # Rows of a field that holds values of all points are formed of all of them.
        alone = not shared([field])
        placed, layout = evaluator.place(rows.points, points, group if alone else None)
        return cls(rows, field, rows.op.wrt, group, placed, layout)

    @property
    def pointwise(self) -> bool:
        """Whether the field is a function of one point."""
        return not shared([self.field])

    @property
    def components(self) -> int:
        """C, the rows of J of a point."""
        return math.prod(self.rows.shape[:-1])

    @property
    def size(self) -> int:
        """N C, the rows of J."""
        return self.layout.count * self.components

    @property
    def columns(self) -> int:
        """P."""
        return self.rows.shape[-1]

    @property
    def trainables(self) -> list[Trainable]:
        return list(dict.fromkeys([*trainables_of([self.field]), *(s.trainable for s in self.wrt)]))

    def in_shard(self, points: Any, known: Mapping[Trainable, Any]) -> Rows:
        return rows_in_shard(self.field, self.wrt, None, points, self.layout, known)


def rows_in_shard(
    field: Node,
    wrt: Sequence[Selection],
    group: Node | None,
    points: Any,
    layout: Layout,
    known: Mapping[Trainable, Any],
) -> Rows:
    """J of a field, in primitives, at a shard's points; of those in the group alone, if there is one.

    The field may be singular outside of a group, and zero times an infinite slope is NaN: other points are replaced by
    one of the group. A shard may have none: products with J are masked where no point counts.
    """
    leaves = [leaf for selection in wrt for leaf in selection.take(known[selection.trainable])]
    kept = None
    if group is not None:
        inside = at_point(group, (), known)
        kept = jax.vmap(lambda point: inside([], point))(points)
        points = jnp.where(kept[:, None], points, points[jnp.argmax(kept)])
    return Rows(at_point(field, wrt, known), leaves, points, layout, kept)


Body = Callable[..., tuple[Any, Any]]


def run(
    name: str, subjects: Sequence[ShardedJacobian], evaluator: Evaluator, key: Any, body: Body, *more: Any
) -> tuple[Any, Any]:
    """What `body(collectives, sides, *more)` gives on every shard: (the same on all, rows of each).

    Compiled once for each name and `key`; `more` are arrays that every shard has.
    """
    wanted = list(dict.fromkeys(t for subject in subjects for t in subject.trainables))

    def program(collectives: Collectives, points: Any, replicated: Any) -> tuple[Any, Any]:
        parameters, more = replicated
        known = dict(zip(wanted, parameters, strict=True))
        sides = [s.in_shard(p, known) for s, p in zip(subjects, points, strict=True)]
        return body(collectives, sides, *more)

    whole = (name, key, tuple((s.field, s.wrt, s.layout) for s in subjects))
    programs = evaluator.executor.programs
    if whole not in programs:
        programs[whole] = evaluator.transport.spmd(program, name)
    known = [evaluator.parameters(t) for t in wanted]
    return programs[whole](tuple(s.placed for s in subjects), (known, evaluator.transport.replicate(list(more))))


def looked_at(subjects: Sequence[ShardedJacobian], evaluator: Evaluator) -> list[Rows]:
    """What a shard will have, in shapes alone."""
    known = {t: evaluator.parameters(t) for s in subjects for t in s.trainables}
    return [
        s.in_shard(jax.ShapeDtypeStruct((s.layout.rows, *s.placed.shape[1:]), s.placed.dtype), known) for s in subjects
    ]


def choice_of(sides: Sequence[Rows], evaluator: Evaluator) -> Choice:
    """How the kernel of some sides is computed; nothing is computed for that but the speed of the device, once."""
    return choose(sides, rates(evaluator.transport, evaluator.dtype))
