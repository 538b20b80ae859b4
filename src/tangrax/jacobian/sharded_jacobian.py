"""J of an expression as shards hold it, and programs that run on it."""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..expr import Node, Selection, Trainable, ops
from ..lower import at_point, expand, shared, trainables_of
from ..parallel import Collectives, Layout
from .cost_model import rates
from .expression_evaluator import Evaluator
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

    def in_shard(self, points: Any, parameters: Mapping[Trainable, Any]) -> Rows:
        return rows_in_shard(self.field, self.wrt, None, points, self.layout, parameters)


def rows_in_shard(
    field: Node,
    wrt: Sequence[Selection],
    group: Node | None,
    points: Any,
    layout: Layout,
    parameters: Mapping[Trainable, Any],
) -> Rows:
    """`Rows` of a field in primitives at a shard's points, or at those in the group.

    The field may be singular outside of a group, and zero times an infinite derivative is NaN: other points are
    replaced by one of the group. A shard may have none: products with J are masked where no point counts.
    """
    leaves = [leaf for selection in wrt for leaf in selection.take(parameters[selection.trainable])]
    in_group = None
    if group is not None:
        inside = at_point(group, (), parameters)
        in_group = jax.vmap(lambda point: inside([], point))(points)
        points = jnp.where(in_group[:, None], points, points[jnp.argmax(in_group)])
    return Rows(at_point(field, wrt, parameters), leaves, points, layout, in_group)


Body = Callable[..., tuple[Any, Any]]


def run_in_shards(
    name: str, jacobians: Sequence[ShardedJacobian], evaluator: Evaluator, key: Hashable, body: Body, *arrays: Any
) -> tuple[Any, Any]:
    """Runs `body(collectives, sides, *arrays)` on every shard; returns (a value the same on all, rows of each).

    `sides` are the Jacobians' `Rows` in the shard, `arrays` are replicated. Compiled once for each name and `key`.
    """
    trainables = list(dict.fromkeys(t for jacobian in jacobians for t in jacobian.trainables))

    def program(collectives: Collectives, points: Any, replicated: Any) -> tuple[Any, Any]:
        parameters, arrays = replicated
        by_trainable = dict(zip(trainables, parameters, strict=True))
        sides = [J.in_shard(p, by_trainable) for J, p in zip(jacobians, points, strict=True)]
        return body(collectives, sides, *arrays)

    program_key = (name, key, tuple((J.field, J.wrt, J.layout) for J in jacobians))
    programs = evaluator.executor.programs
    if program_key not in programs:
        programs[program_key] = evaluator.transport.spmd(program, name)
    parameters = [evaluator.parameters(t) for t in trainables]
    replicated = parameters, evaluator.transport.replicate(list(arrays))
    return programs[program_key](tuple(J.placed for J in jacobians), replicated)


def abstract_rows(jacobians: Sequence[ShardedJacobian], evaluator: Evaluator) -> list[Rows]:
    """Abstract (ShapeDtypeStruct) version of each J in a shard."""
    parameters = {t: evaluator.parameters(t) for J in jacobians for t in J.trainables}
    return [
        J.in_shard(jax.ShapeDtypeStruct((J.layout.rows, *J.placed.shape[1:]), J.placed.dtype), parameters)
        for J in jacobians
    ]


def cheapest_choice(sides: Sequence[Rows], evaluator: Evaluator) -> Choice:
    """Factors or rows for each leaf of a kernel, by the speed of the device, which is measured once."""
    return choose(sides, rates(evaluator.transport, evaluator.dtype))
