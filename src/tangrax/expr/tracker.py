"""Diagnostics evaluated during training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .foreign import Symbolic
from .kernel_request import SpectrumRequest
from .names import checked_name

if TYPE_CHECKING:
    from .node import Node


@dataclass(frozen=True, eq=False)
class Tracker:
    """`node`, a term or the request for a spectrum, watched during training.

    It is evaluated at epochs 0, `interval`, 2·`interval`, … before that epoch's update. A warning is printed each
    time the value falls below `warn_below`.
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
        if self.name is not None:
            checked_name(f"tracker of {self.node}", self.name)
        if isinstance(self.node, SpectrumRequest):
            return
        if not isinstance(self.node, Symbolic):
            raise TypeError(f"tracker of {self.node!r}: only an expression can be watched")
        if self.root.points is not None:
            raise TypeError(
                f"tracker of {self.node}: it has one value per point. Watch a term such as .mean, .max or .mse "
                f"of it, or tx.np.function of it"
            )

    @property
    def is_request(self) -> bool:
        """True if it watches a spectrum, several numbers at once; False for a term."""
        return isinstance(self.node, SpectrumRequest)

    @property
    def root(self) -> "Node":
        """The term, or the Jacobian of the spectrum."""
        return self.node.node if isinstance(self.node, SpectrumRequest) else self.node

    def named(self, name: str) -> "Tracker":
        """The same tracker under a name in the history.

        Args:
            name: printable characters, at most 200.

        Raises:
            TypeError: the name is no text.
            ValueError: the name is blank, too long or cannot be printed.
        """
        return Tracker(self.node, self.interval, name, self.warn_below)
