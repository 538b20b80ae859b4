"""The parameters of a run, and what is wrong with those of which a loss is not finite."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ..expr import Node, Selection, Trainable, as_jax, ops
from ..jacobian import RESULT_LIMIT, Evaluator, evaluate
from ..parallel import Transport
from .first_order import Parameters
from .terms import describe_trouble


@dataclass(frozen=True)
class Held:
    """Parameters on every device, by what they are of."""

    transport: Transport
    dtype: Any
    known: Parameters = field(default_factory=dict)

    def place(self, parameters: Mapping[Trainable, Any]) -> None:
        """Take these, as the first process has them."""
        for trainable, tree in parameters.items():
            leaves, structure = jax.tree.flatten(tree)
            cast = [np.asarray(leaf, self.dtype) for leaf in leaves]
            first = self.transport.first(f"the parameters of '{trainable.name}'", cast)
            self.known[trainable] = self.transport.replicate(structure.unflatten(map(as_jax, first)))

    def of(self, trainable: Trainable) -> Any:
        """Those of a network or scalar; of one that no term or tracker holds, as it was made."""
        if trainable not in self.known:
            self.place({trainable: trainable.initial})
        return self.known[trainable]


def explained(
    terms: Mapping[str, Node],
    wrt: tuple[Selection, ...],
    evaluator: Evaluator,
    held: Held,
    parameters: Parameters,
    epoch: int,
    values: np.ndarray,
    slope_finite: bool,
) -> str:
    """Which terms are not finite at the parameters given, or whose gradient is not."""
    bad = [(name, value) for name, value in zip(terms, values, strict=True) if not np.isfinite(value)]
    what = "value"
    if not bad and not slope_finite:
        what = "gradient"
        there = Evaluator(evaluator.executor, {**held.known, **parameters}.__getitem__)
        slopes = evaluate(there, [Node(ops.Gradient(wrt), term) for term in terms.values()], {}, False, RESULT_LIMIT)
        bad = [(n, np.nan) for n, slope in zip(terms, slopes, strict=True) if not np.isfinite(slope).all()]
    return describe_trouble(terms, epoch, what, bad)
