"""What a training program computes, and the state that it changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..expr import Node, PointSet, Trainable
from ..jacobian import SpectrumProgram
from ..lower import Program
from ..optim import AdaptiveRule, Conflict, Optimizer
from ..parallel import Layout


@dataclass(frozen=True)
class CompiledTracker:
    """Trackers of one interval evaluated together, or that of a spectrum."""

    interval: int
    program: Program | SpectrumProgram
    names: tuple[str, ...]  # of its values, in the history
    thresholds: tuple[float | None, ...]  # `warn_below` of each value

    def messages(self, epochs: np.ndarray, values: Sequence[np.ndarray], before: Mapping[str, Any]) -> list[str]:
        """Warnings of values recorded at some epochs that are not above their threshold."""
        messages = []
        for name, series, threshold in zip(self.names, values, self.thresholds, strict=True):
            if threshold is None:
                continue
            # NaN is not below anything, and nothing to be quiet about.
            low = [(e, float(v.min())) for e, v in zip(epochs, series, strict=True) if not v.min() >= threshold]
            if low:
                first, least = low[0]
                below = f"is below {threshold:g}"
                what = below if least < threshold else "is no number: a gradient it is made of is not finite"
                more = f" ({len(low)} times since)" if len(low) > 1 else ""
                messages.append(f"epoch {first}: {name} = {least:.3g} {what}{more}")
        return messages


@dataclass(frozen=True)
class ScheduledRule:
    """An adaptive rule, and the program of what it measures every `interval` epochs."""

    rule: AdaptiveRule
    program: Program

    @property
    def interval(self) -> int:
        return self.rule.interval

    @property
    def names(self) -> tuple[str, ...]:
        return self.rule.names

    def messages(self, epochs: np.ndarray, values: Sequence[np.ndarray], before: Mapping[str, Any]) -> list[str]:
        """What the rule says of values recorded at some epochs."""
        return self.rule.messages(epochs, values, before)


@dataclass(frozen=True)
class ConflictFree:
    """Conflict-free updates: roots are the gradients of all terms, as rules change them, then those of `loss`."""

    program: Program
    method: Conflict
    rule: int  # index of the rule whose state says whether they are on


@dataclass(frozen=True, eq=False)
class Problem:
    """The loss with its terms, adaptive rules, trackers and the optimizer, as programs for one shard."""

    loss: Program  # roots: the gradient of the loss, the loss, then the terms
    names: tuple[str, ...]  # of the terms
    rules: tuple[ScheduledRule, ...]
    conflict_free: ConflictFree | None
    trackers: tuple[CompiledTracker, ...]
    listed: tuple[str, ...]  # what listeners show: terms, a value of each tracker, the loss
    layouts: Mapping[PointSet, Layout]
    batch_layouts: Mapping[PointSet, Layout]  # of tags of which a step sees a batch
    optimizer: Optimizer
    trainables: tuple[Trainable, ...]
    constants: tuple[Node, ...]  # values that training does not change
    limit: int | None  # bytes of temporaries of a round, on one device


@dataclass(frozen=True)
class State:
    """What training changes: parameters (in the order of `Problem.trainables`), states of the optimizer and of rules.

    `rows` are the rules' numbers of each point, sharded like the points; all else is the same on all shards.
    `step_scale` is the part of an optimizer's step that is taken: 1 until training had to go back.
    """

    parameters: tuple[Any, ...]
    optimizers: Any
    rules: tuple[Any, ...] = ()
    step_scale: Any = 1.0
    rows: tuple[Any, ...] = ()


jax.tree_util.register_dataclass(State, ["parameters", "optimizers", "rules", "step_scale", "rows"], [])
