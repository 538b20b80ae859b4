"""The spectrum of K watched during training: what of it can be had inside a compiled step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from ..expr import Node, PointSet, Request, Selection, Trainable, ops
from ..lower import ShardContext, expand, shared
from .evaluator import Evaluator
from .gram import Choice, squares
from .lanczos import largest
from .rewrite_rules import RULES
from .sharded_jacobian import ShardedJacobian, choice_of, looked_at, rows_in_shard
from .spectra import resolvable, steps_for
from .spectrum import RESOLVED

RANK = "effective_rank"


@dataclass(frozen=True, eq=False)
class SpectrumProgram:
    """Effective rank, λ_max and trace of K, and its largest `k` eigenvalues if any were asked for.

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
        """What the values of `run` are."""
        return (RANK, "largest", "trace", *(("eigenvalues",) if self.k else ()))

    def run(
        self,
        here: ShardContext,
        parameters: Mapping[Trainable, Any],
        constants: Sequence[Any] = (),
        limit: int | None = None,
    ) -> list[Any]:
        points, layout, collectives = here.points[self.tag], here.layouts[self.tag], here.collectives
        rows = rows_in_shard(self.field, self.wrt, self.group, points, layout, parameters)
        found = squares(collectives, rows, self.choice, self.dual)
        ritz = largest(collectives, rows, max(self.k, 1), self.steps)
        errors = ritz.residuals + resolvable(ritz.values.dtype) * ritz.values[0]
        values = jnp.where(errors <= RESOLVED * ritz.values, ritz.values, jnp.nan)
        trace = jnp.where(jnp.isfinite(found.trace), found.trace, jnp.nan)
        return [found.effective_rank, values[0], trace, *([values] if self.k else [])]


def watched(request: Request, evaluator: Evaluator) -> SpectrumProgram:
    """The program of a spectrum's tracker; raises where it cannot be watched."""
    if request.option("way") or request.option("vectors"):
        raise ValueError(f"{request}.tracker(…): way= and vectors= are for solver.eval; k= alone can be watched")
    rows, group = request.node.args if isinstance(request.node.op, ops.Restrict) else (request.node, None)
    # Of all points: which of them a group has is found in each step.
    subject = ShardedJacobian.of(rows, evaluator, {})
    conditions = expand([group], RULES) if group is not None else []
    if not subject.pointwise or shared(conditions):
        raise ValueError(
            f"{request}.tracker(…): the field or its group holds values of all points, and its J is known by rows "
            f"alone: watch a term of the rows, tx.np.function(f, [{rows}]), or evaluate the spectrum after training"
        )
    (side,) = looked_at([subject], evaluator)
    k = min(request.option("k") or 0, subject.size, subject.columns)
    assert rows.points is not None
    return SpectrumProgram(
        subject.field,
        subject.wrt,
        rows.points,
        conditions[0] if conditions else None,
        choice_of([side], evaluator),
        k,
        steps_for(max(k, 1), subject.size, subject.columns),
        subject.columns < subject.size,
    )
