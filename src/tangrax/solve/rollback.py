"""Where training goes back to when a loss is not finite."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .training_problem import State

STEP_SCALE = "rollback/step_scale"  # in the history: the part of a step that is taken since training went back
SHORTER = 0.5  # of the step before, each time that training goes back
GROWN = 1000.0  # times the loss of the checkpoint before: too large to go back to


@dataclass(frozen=True)
class Anchor:
    """A place to go back to: states, epoch, and where points were."""

    state: State
    last: State
    epoch: int
    points: tuple[Any, Any]


class Anchors:
    """Places to go back to, at most two, the newest last."""

    def __init__(self, start: Anchor):
        self._known = [(start, np.inf)]

    def offer(self, anchor: Anchor, loss: float) -> None:
        """A new one, unless its loss has grown so much that training is on its way to where it is not finite."""
        if loss < GROWN * self._known[-1][1]:
            self._known = [self._known[-1], (anchor, loss)]

    def before(self, failed: int) -> Anchor | None:
        """The newest before an epoch whose loss is not finite; later ones are forgotten."""
        self._known = [each for each in self._known if each[0].epoch < failed]
        return self._known[-1][0] if self._known else None

    def replace(self, anchor: Anchor) -> None:
        """The newest, from where steps are shorter now."""
        self._known[-1] = (anchor, self._known[-1][1])
