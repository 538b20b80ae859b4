"""A loss as a sum of squares: the weighted residuals that its terms are made of."""

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..expr import Node, PointSet, Selection, Trainable, all_nodes, ops, split, within
from ..jacobian import RULES
from ..jacobian.gram import Chunk, Rows
from ..jacobian.sharded_jacobian import rows_in_shard
from ..lower import Values, evaluate, expand, shared
from ..parallel import Collectives, Layout
from .adaptive.adaptive_rule import AdaptiveWeight


@dataclass(frozen=True, eq=False)
class MeanSquare:
    """`factor`, times `weights` that adaptive rules set, times the mean square of a field or of `field[group]`."""

    factor: float
    weights: tuple[Node, ...]
    field: Node
    part: Node  # of the term, as the user wrote it

    @property
    def inside(self) -> tuple[Node, ...]:
        """(field,) or (field, group)."""
        return split(self.field)

    @property
    def scale(self) -> Any:
        """The factor of the mean square, as a number or node."""
        return math.prod(self.weights, start=self.factor)


@dataclass(frozen=True, eq=False)
class Residual:
    """A weighted mean square in primitives, its group separate."""

    factor: float
    weights: tuple[Node, ...]
    field: Node
    group: Node | None = None

    @property
    def points(self) -> PointSet:
        points = self.field.points
        assert points is not None
        return points

    @property
    def components(self) -> int:
        """C, residuals per point."""
        return math.prod(self.field.shape)

    @property
    def size(self) -> int:
        """N C, residuals of all points."""
        return len(self.points) * self.components


@dataclass(frozen=True)
class ShardResidual:
    """A residual in one shard: its rows of J, and their weight in the least-squares problem."""

    rows: Rows
    scale: Any  # of each residual, so that the loss is the sum of their squares

    def values(self, leaves: PyTree, points: Any) -> Float[Array, " n"]:
        """Residuals at some points, unscaled, one after the other."""
        return jax.vmap(lambda point: jnp.ravel(self.rows.function(leaves, point)))(points).reshape(-1)

    def first(self, chunk: Chunk, rank: int | Array) -> Any:
        """The offset of a chunk's rows among the shard's."""
        return (chunk.index[0] - rank * self.rows.layout.rows) * self.rows.components


def residuals_of(terms: Mapping[str, Node], by: str) -> tuple[Residual, ...]:
    """All terms as weighted residuals, for the optimizer of the name `by`.

    Raises ValueError, naming the term, for one that is no sum of squares, or whose squares are not of one point each.
    """
    return tuple(_residual(by, name, square) for name, term in terms.items() for square in squares_of(by, name, term))


def residual_in_shard(
    residual: Residual,
    wrt: tuple[Selection, ...],
    collectives: Collectives,
    layout: Layout,
    points: Any,
    parameters: Mapping[Trainable, Any],
) -> ShardResidual:
    """A residual at a shard's points."""
    rows = rows_in_shard(residual.field, wrt, residual.group, points, layout, parameters)
    count = layout.count if rows.in_group is None else collectives.sum(jnp.sum(rows.counted(collectives.rank)))
    values = Values(parameters, {}, {}, jnp.result_type(*rows.leaves))
    weight = math.prod(evaluate(residual.weights, values), start=residual.factor)
    return ShardResidual(rows, jnp.sqrt(weight / (count * residual.components)))


def squares_of(by: str, name: str, term: Node) -> list[MeanSquare]:
    """A term as weighted mean squares of fields; ValueError, on behalf of `by`, if it is none."""
    return list(_split(by, name, term, term, 1.0, ()))


def _split(
    by: str, name: str, term: Node, part: Node, factor: float, weights: tuple[Node, ...]
) -> Iterator[MeanSquare]:
    op = part.op
    if isinstance(op, ops.Label):
        yield from _split(by, name, term, part.args[0], factor, weights)
        return
    if isinstance(op, ops.Apply) and op.function is operator.add:
        for arg in part.args:
            yield from _split(by, name, term, arg, factor, weights)
        return
    if isinstance(op, ops.Apply) and op.function is operator.mul:
        for one, other in (part.args, part.args[::-1]):
            number = _number(one)
            if number is not None and number > 0:
                yield from _split(by, name, term, other, factor * number, weights)
                return
            if _set_by_rule(one):
                yield from _split(by, name, term, other, factor, (*weights, one))
                return
    if isinstance(op, ops.Apply) and op.function is operator.truediv:
        number = _number(part.args[1])
        if number is not None and number > 0:
            yield from _split(by, name, term, part.args[0], factor / number, weights)
            return
    if isinstance(op, ops.Reduce) and op.kind == "mse":
        yield MeanSquare(factor, weights, part.args[0], part)
        return
    if isinstance(op, ops.Reduce) and op.kind == "mean" and (squared := _squared(part.args[0])) is not None:
        yield MeanSquare(factor, weights, squared, part)
        return
    raise ValueError(
        f"{by}: term '{name}' = {term} holds {part}, which is no sum of squares: give terms such as pde.mse, "
        f"(r**2).mean or 10 * ic.mse + bc.mse, with positive numbers as weights, or go without {by}"
    )


def _residual(by: str, name: str, square: MeanSquare) -> Residual:
    inner, *group = square.inside
    expanded = expand([inner, *group], RULES)
    for node in shared(expanded):
        raise ValueError(
            f"{by}: {square.part} of term '{name}' holds {node}, a value of all points, so that a residual is "
            f"not of one point alone: train with an optax optimizer"
        )
    if inner.facts.kind != "f":
        raise ValueError(f"{by}: {square.part} of term '{name}' is the square of no real field")
    return Residual(square.factor, square.weights, *expanded)


def _set_by_rule(node: Node) -> bool:
    """Whether a number is set by an adaptive rule, such as the weight of a term."""
    calls = [n.op for n in all_nodes([node]) if isinstance(n.op, ops.Call)]
    return bool(calls) and all(isinstance(op.trainable, AdaptiveWeight) for op in calls)


def _number(node: Node) -> float | None:
    return float(node.op.value) if isinstance(node.op, ops.Constant) and not node.op.shape else None


def _squared(field: Node) -> Node | None:
    """r of r ** 2 or r * r, inside a group if there is one."""
    inner, *group = split(field)
    if not isinstance(inner.op, ops.Apply) or len(inner.args) != 2:
        return None
    base, other = inner.args
    power = inner.op.function is operator.pow and _number(other) == 2
    if not power and not (inner.op.function is operator.mul and base is other):
        return None
    return within(base, *group)
