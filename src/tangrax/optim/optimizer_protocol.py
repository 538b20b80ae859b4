"""What a training step knows of an optimizer, whichever kind it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, PyTree

from ..expr import Selection, Trainable
from ..lower import ShardContext

Parameters = dict[Trainable, Any]
LossAndGradient = Callable[[Parameters], tuple[Any, Float[Array, " p"]]]


@dataclass(frozen=True)
class UpdateContext:
    """What an update may use besides parameters and state: the points of a shard, and the loss there.

    An update that uses none of these costs nothing for them but `gradient`, which is there already.
    """

    shard: ShardContext
    loss: Float[Array, ""]
    gradient: Float[Array, " p"]  # in the order of `wrt`; a conflict-free direction where one is asked for
    loss_and_gradient: LossAndGradient  # at other parameters
    step_scale: Float[Array, ""]  # the part of a step that is taken: 1 unless training went back


@runtime_checkable
class Optimizer(Protocol):
    """Optax transformations and second-order methods alike, for all that is trained."""

    @property
    def wrt(self) -> tuple[Selection, ...]:
        """All that is trained, in the order of the gradient vector."""
        ...

    @property
    def measures(self) -> tuple[str, ...]:
        """Names, in the history, of the numbers in an update's info."""
        ...

    def init(self, parameters: Parameters) -> PyTree:
        """The state before the first update."""
        ...

    def update(
        self, parameters: Parameters, state: PyTree, context: UpdateContext
    ) -> tuple[Parameters, Any, tuple[Any, ...]]:
        """New parameters, new state, and info: the values of `measures`."""
        ...

    def trouble(self, state: PyTree) -> str | None:
        """Why the last updates did not lower the loss, if the optimizer can tell."""
        ...
