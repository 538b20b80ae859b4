"""A loss as a sum of squares: the weighted residuals that its terms are made of."""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..expr import Node, PointSet, Selection, Trainable, ops
from ..jacobian import RULES
from ..jacobian.gram import Chunk, Rows
from ..jacobian.subject import rows_in_shard
from ..lower import expand, shared
from ..parallel import Collectives, Layout


@dataclass(frozen=True)
class Residual:
    """`factor` times the mean square of a field over its points, or over a group of them; in primitives."""

    factor: float
    field: Node
    group: Node | None = None

    @property
    def points(self) -> PointSet:
        found = self.field.points
        assert found is not None
        return found

    @property
    def components(self) -> int:
        """C, residuals of a point."""
        return math.prod(self.field.shape)

    @property
    def size(self) -> int:
        """N C, residuals of all points."""
        return len(self.points) * self.components


@dataclass(frozen=True)
class Part:
    """One residual's share of the least-squares problem in one shard: rows of J, and what they count."""

    rows: Rows
    scale: Any  # of each residual, so that the loss is the sum of their squares

    def values(self, leaves: Any, points: Any) -> Float[Array, " n"]:
        """Residuals at some points, unscaled, one after the other."""
        return jax.vmap(lambda point: jnp.ravel(self.rows.function(leaves, point)))(points).reshape(-1)

    def first(self, chunk: Chunk, rank: Any) -> Any:
        """Where a chunk's rows begin among the shard's."""
        return (chunk.index[0] - rank * self.rows.layout.rows) * self.rows.components


def residuals_of(terms: Mapping[str, Node]) -> tuple[Residual, ...]:
    """All terms as weighted residuals.

    Raises ValueError, naming the term, for one that is no sum of squares, or whose squares are not of one point each.
    """
    found: list[Residual] = []
    for name, term in terms.items():
        found += _split(name, term, term, 1.0)
    return tuple(found)


def in_shard(
    residual: Residual,
    wrt: tuple[Selection, ...],
    collectives: Collectives,
    layout: Layout,
    points: Any,
    known: Mapping[Trainable, Any],
) -> Part:
    """A residual at a shard's points."""
    rows = rows_in_shard(residual.field, wrt, residual.group, points, layout, known)
    count = layout.count if rows.kept is None else collectives.sum(jnp.sum(rows.counted(collectives.rank)))
    return Part(rows, jnp.sqrt(residual.factor / (count * residual.components)))


def _split(name: str, term: Node, part: Node, factor: float) -> list[Residual]:
    op = part.op
    if isinstance(op, ops.Label):
        return _split(name, term, part.args[0], factor)
    if isinstance(op, ops.Apply) and op.function is operator.add:
        return [found for arg in part.args for found in _split(name, term, arg, factor)]
    if isinstance(op, ops.Apply) and op.function in (operator.mul, operator.truediv):
        first, last = part.args
        number = _number(last)
        if number is not None and number > 0:
            scaled = factor * number if op.function is operator.mul else factor / number
            return _split(name, term, first, scaled)
        number = _number(first)
        if number is not None and number > 0 and op.function is operator.mul:
            return _split(name, term, last, factor * number)
    if isinstance(op, ops.Reduce) and op.kind == "mse":
        return [_residual(name, part, part.args[0], factor)]
    if isinstance(op, ops.Reduce) and op.kind == "mean" and (squared := _squared(part.args[0])) is not None:
        return [_residual(name, part, squared, factor)]
    raise ValueError(
        f"gauss_newton: term '{name}' = {term} holds {part}, which is no sum of squares: give terms such as pde.mse, "
        f"(r**2).mean or 10 * ic.mse + bc.mse, with positive numbers as weights, or train with an optax optimizer"
    )


def _residual(name: str, part: Node, field: Node, factor: float) -> Residual:
    inner, *group = field.args if isinstance(field.op, ops.Restrict) else (field,)
    found = expand([inner, *group], RULES)
    for node in shared(found):
        raise ValueError(
            f"gauss_newton: {part} of term '{name}' holds {node}, a value of all points, so that a residual is not of "
            f"one point alone: train with an optax optimizer"
        )
    if inner.facts.kind != "f":
        raise ValueError(f"gauss_newton: {part} of term '{name}' is the square of no real field")
    return Residual(factor, *found)


def _number(node: Node) -> float | None:
    return float(node.op.value) if isinstance(node.op, ops.Constant) and not node.op.shape else None


def _squared(field: Node) -> Node | None:
    """r of r ** 2 or r * r, inside a group if there is one."""
    inner, *group = field.args if isinstance(field.op, ops.Restrict) else (field,)
    if not isinstance(inner.op, ops.Apply) or len(inner.args) != 2:
        return None
    base, other = inner.args
    power = inner.op.function is operator.pow and _number(other) == 2
    if not power and not (inner.op.function is operator.mul and base is other):
        return None
    return Node(ops.Restrict(), base, *group) if group else base
