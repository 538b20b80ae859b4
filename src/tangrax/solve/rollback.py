"""States that training rolls back to when a loss is not finite."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .training_problem import State

STEP_SCALE = "rollback/step_scale"  # in the history: the part of a step that is taken since training went back
SHORTER = 0.5  # of the step before, each time that training goes back
GROWN = 1000.0  # times the loss of the checkpoint before: too large to go back to


@dataclass(frozen=True)
class Anchor:
    """A state to roll back to, the one before it, its epoch, and where points were."""

    state: State
    last: State
    epoch: int
    points: tuple[Any, Any]


class Anchors:
    """At most two anchors, the newest last."""

    def __init__(self, start: Anchor):
        self._anchors = [(start, np.inf)]

    def offer(self, anchor: Anchor, loss: float) -> None:
        """Add an anchor, unless its loss has grown so much that training is on its way to one that is not finite."""
        if loss < GROWN * self._anchors[-1][1]:
            self._anchors = [self._anchors[-1], (anchor, loss)]

    def before(self, failed: int) -> Anchor | None:
        """Return the newest anchor before an epoch whose loss is not finite; drop later ones."""
        self._anchors = [(anchor, loss) for anchor, loss in self._anchors if anchor.epoch < failed]
        return self._anchors[-1][0] if self._anchors else None

    def replace(self, anchor: Anchor) -> None:
        """Put an anchor with shorter steps in the place of the newest."""
        self._anchors[-1] = (anchor, self._anchors[-1][1])
