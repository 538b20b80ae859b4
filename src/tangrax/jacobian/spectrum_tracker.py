"""Spectrum of K tracked during training, inside a compiled step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from ..expr import Node, PointSet, Request, Selection, Trainable, ops
from ..lower import ShardContext, expand, shared
from .expression_evaluator import Evaluator
from .gram import Choice, squares
from .lanczos import largest, steps_for
from .rewrite_rules import RULES
from .sharded_jacobian import ShardedJacobian, abstract_rows, cheapest_choice, rows_in_shard
from .spectrum import RESOLVED, eigenvalue_error

RANK = "effective_rank"


@dataclass(frozen=True, eq=False)
class SpectrumProgram:
    """Effective rank, λ_max and trace of K, and its largest `k` eigenvalues if k > 0.

    An eigenvalue that the steps of Lanczos' method have not found to 1 % is NaN; all are where J is not finite.
    """

    field: Node
    wrt: tuple[Selection, ...]
    tag: PointSet
    group: Node | None
    choice: Choice
    k: int
    steps: int
    dual: bool  # whether JᵀJ is smaller than K
    constants: tuple[Node, ...] = ()

    @property
    def tags(self) -> list[PointSet]:
        return [self.tag]

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the values of `run`."""
        return (RANK, "largest", "trace", *(("eigenvalues",) if self.k else ()))

    def run(
        self,
        shard: ShardContext,
        parameters: Mapping[Trainable, Any],
        constants: Sequence[Any] = (),
        limit: int | None = None,
    ) -> list[Any]:
        points, layout, collectives = shard.points[self.tag], shard.layouts[self.tag], shard.collectives
        rows = rows_in_shard(self.field, self.wrt, self.group, points, layout, parameters)
        moments = squares(collectives, rows, self.choice, self.dual)
        ritz = largest(collectives, rows, max(self.k, 1), self.steps)
        errors = ritz.residuals + eigenvalue_error(ritz.values.dtype) * ritz.values[0]
        values = jnp.where(errors <= RESOLVED * ritz.values, ritz.values, jnp.nan)
        trace = jnp.where(jnp.isfinite(moments.trace), moments.trace, jnp.nan)
        return [moments.effective_rank, values[0], trace, *([values] if self.k else [])]


def watched(request: Request, evaluator: Evaluator) -> SpectrumProgram:
    """Compiles a spectrum's tracker; raises ValueError where it cannot be tracked."""
    if request.option("way") or request.option("vectors"):
        raise ValueError(f"{request}.tracker(…): way= and vectors= are for solver.eval; k= alone can be watched")
    rows, group = request.node.args if isinstance(request.node.op, ops.Restrict) else (request.node, None)
    # Of all points: a group is evaluated in each step.
    jacobian = ShardedJacobian.of(rows, evaluator, {})
    conditions = expand([group], RULES) if group is not None else []
    if not jacobian.pointwise or shared(conditions):
        raise ValueError(
            f"{request}.tracker(…): the field or its group holds values of all points, and its J is known by rows "
            f"alone: watch a term of the rows, tx.np.function(f, [{rows}]), or evaluate the spectrum after training"
        )
    (side,) = abstract_rows([jacobian], evaluator)
    k = min(request.option("k") or 0, jacobian.size, jacobian.columns)
    assert rows.points is not None
    return SpectrumProgram(
        jacobian.field,
        jacobian.wrt,
        rows.points,
        conditions[0] if conditions else None,
        cheapest_choice([side], evaluator),
        k,
        steps_for(max(k, 1), jacobian.size, jacobian.columns),
        jacobian.columns < jacobian.size,
    )
