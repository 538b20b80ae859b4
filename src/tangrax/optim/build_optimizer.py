"""The optimizers of all that is trained, as one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from ..expr import Trainable
from .adaptive import AdaptiveRules
from .first_order import FirstOrder, refuse_line_search
from .optimizer_protocol import Optimizer
from .second_order import Settings

Chosen = optax.GradientTransformation | Settings


def joint_optimizer(
    optimizers: Mapping[Trainable, Chosen | None], rules: AdaptiveRules, dtype: np.dtype[Any]
) -> Optimizer:
    """One optimizer of all, from that (or None) of each.

    Raises ValueError where one is missing, or where they do not go together.
    """
    complete = _complete(optimizers)
    second_order = [o for o in complete.values() if isinstance(o, Settings)]
    if second_order:
        settings = second_order[0]
        _check_second_order(settings, complete, rules, dtype)
        return settings.build_for(rules.terms, tuple(complete))
    first_order = FirstOrder.of(complete)
    if rules.conflict is not None:
        refuse_line_search(first_order, {t: t.initial for t in complete})
    return first_order


def _complete(optimizers: Mapping[Trainable, Chosen | None]) -> dict[Trainable, Chosen]:
    """The same; raises ValueError where one is missing."""
    missing = [t.name for t, optimizer in optimizers.items() if optimizer is None]
    if missing:
        raise ValueError(
            f"no optimizer for {', '.join(missing)}: give tx.core(..., optimizer=optax.adam(1e-3)) for "
            f"everything, net.optimizer(...) for one network, or net.freeze() to leave it as it is"
        )
    return {t: optimizer for t, optimizer in optimizers.items() if optimizer is not None}


def _check_second_order(
    settings: Settings, optimizers: Mapping[Trainable, Chosen], rules: AdaptiveRules, dtype: np.dtype[Any]
) -> None:
    """Refuse a second-order optimizer beside another one, in single precision, or with conflict-free updates."""
    if any(optimizer is not settings for optimizer in optimizers.values()):
        listed = ", ".join(f"{t.name}: {type(optimizer).__name__}" for t, optimizer in optimizers.items())
        raise ValueError(
            f"{settings.name} trains all networks and parameters at once, and here there are several optimizers "
            f"({listed}): give it as tx.core(..., optimizer=...) or solver.optimizer(...) and none to networks, or "
            f"freeze what it should leave as it is"
        )
    if settings.needs_double and dtype != np.float64:
        raise ValueError(
            f"{settings.name} needs float64 and this run has {dtype}: put "
            f'tx.setup(dtype="float64") at the top of the script; networks made before it are cast'
        )
    if rules.conflict is not None:
        raise ValueError(
            f"conflict= is for gradients, and {settings.name} solves for all residuals at once: leave one of the "
            f"two out"
        )
