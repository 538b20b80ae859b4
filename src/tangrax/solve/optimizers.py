"""The optimizers of all that is trained, as one."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..expr import Trainable
from ..optim import AdaptiveRules, SecondOrder, Settings
from .first_order import FirstOrder, refuse_line_search


def joint_optimizer(
    optimizers: Mapping[Trainable, Any], guidance: AdaptiveRules, dtype: Any
) -> FirstOrder | SecondOrder:
    """One step of all, from the optimizer (or None) of each; raises ValueError where they do not go together."""
    missing = [t.name for t, optimizer in optimizers.items() if optimizer is None]
    if missing:
        raise ValueError(
            f"no optimizer for {', '.join(missing)}: give tx.core(..., optimizer=optax.adam(1e-3)) for "
            f"everything, net.optimizer(...) for one network, or net.freeze() to leave it as it is"
        )
    seconds = [o for o in optimizers.values() if isinstance(o, Settings)]
    if not seconds:
        order = FirstOrder.of(optimizers)
        if guidance.switch is not None:
            refuse_line_search(order, {t: t.initial for t in optimizers})
        return order
    if any(o is not seconds[0] for o in optimizers.values()):
        each = ", ".join(f"{t.name}: {type(o).__name__}" for t, o in optimizers.items())
        raise ValueError(
            f"{seconds[0].name} trains all networks and parameters at once, and here there are several optimizers "
            f"({each}): give it as tx.core(..., optimizer=...) or solver.optimizer(...) and none to networks, or "
            f"freeze what it should leave as it is"
        )
    if seconds[0].needs_double and dtype != np.float64:
        raise ValueError(
            f"{seconds[0].name} needs float64 and this run has {dtype}: put "
            f'tx.setup(dtype="float64") at the top of the script; networks made before it are cast'
        )
    if guidance.switch is not None:
        raise ValueError(
            f"conflict= is for gradients, and {seconds[0].name} solves for all residuals at once: leave one of the "
            f"two out"
        )
    return seconds[0].order(guidance.terms, tuple(optimizers))
