"""A diagnostic watched during training."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tracker:
    """`node`, a term, evaluated at epochs 0, `interval`, 2·`interval`, … before that epoch's update.

    A warning is printed each time the value falls below `warn_below`.
    """

    node: Any
    interval: int = 1
    name: str | None = None
    warn_below: float | None = None

    def __post_init__(self):
        if isinstance(self.interval, bool) or not isinstance(self.interval, int) or self.interval < 1:
            raise ValueError(
                f"tracker of {self.node}: interval={self.interval!r} must be a whole number of epochs, at least 1"
            )
        if getattr(self.node, "facts", None) is None:
            raise TypeError(f"tracker of {self.node!r}: only an expression can be watched")
        if self.node.points is not None:
            raise TypeError(
                f"tracker of {self.node}: it has one value per point. Watch a term such as .mean, .max or .mse "
                f"of it, or tx.np.function of it"
            )

    def named(self, name: str) -> "Tracker":
        return Tracker(self.node, self.interval, name, self.warn_below)
