"""The parameters of a run on its devices, and why a loss is not finite there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ..expr import Node, Selection, Trainable, as_jax, ops
from ..jacobian import RESULT_LIMIT, Evaluator, evaluate
from ..optim import Parameters
from ..parallel import Transport
from .loss_terms import describe_trouble


@dataclass(frozen=True)
class DeviceParameters:
    """Parameters on every device, by network or scalar."""

    transport: Transport
    dtype: Any
    by_trainable: Parameters = field(default_factory=dict)

    def place(self, parameters: Mapping[Trainable, Any]) -> None:
        """Put parameters on all devices, as the first process has them."""
        for trainable, tree in parameters.items():
            leaves, structure = jax.tree.flatten(tree)
            cast = [np.asarray(leaf, self.dtype) for leaf in leaves]
            first = self.transport.first(f"the parameters of '{trainable.name}'", cast)
            self.by_trainable[trainable] = self.transport.replicate(structure.unflatten(map(as_jax, first)))

    def of(self, trainable: Trainable) -> Any:
        """The parameters of a network or scalar; the initial ones if no term or tracker holds it."""
        if trainable not in self.by_trainable:
            self.place({trainable: trainable.initial})
        return self.by_trainable[trainable]


def explained(
    terms: Mapping[str, Node],
    wrt: tuple[Selection, ...],
    evaluator: Evaluator,
    device_parameters: DeviceParameters,
    parameters: Parameters,
    epoch: int,
    values: np.ndarray,
    gradient_finite: bool,
) -> str:
    """Message for a loss that is not finite at `parameters`: the terms to blame, or their gradients."""
    bad = [(name, value) for name, value in zip(terms, values, strict=True) if not np.isfinite(value)]
    what = "value"
    if not bad and not gradient_finite:
        what = "gradient"
        at_parameters = Evaluator(evaluator.executor, {**device_parameters.by_trainable, **parameters}.__getitem__)
        gradients = evaluate(
            at_parameters, [Node(ops.Gradient(wrt), term) for term in terms.values()], {}, False, RESULT_LIMIT
        )
        bad = [(n, np.nan) for n, gradient in zip(terms, gradients, strict=True) if not np.isfinite(gradient).all()]
    return describe_trouble(terms, epoch, what, bad)
