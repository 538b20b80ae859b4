"""Trainable numbers of the problem itself: an unknown coefficient, a learned scale."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ..expr import Node, Selection, Trainable, checked_array, ops
from .network import check_optimizer


class Parameter(Node):
    """A trainable number or array, a term. Its methods return new handles of the same number."""

    __slots__ = ()

    @property
    def _call(self) -> ops.Call:
        assert isinstance(self.op, ops.Call)
        return self.op

    def optimizer(self, optimizer: Any) -> "Parameter":
        """The same number with its own optimizer.

        Args:
            optimizer: an optax optimizer; handles with the same object are updated jointly.

        Raises:
            TypeError: it is no optax optimizer, or trains everything of a problem at once.
        """
        check_optimizer(optimizer, self._call.trainable.name)
        return Parameter(ops.Call(self._call.trainable, optimizer, self._call.frozen))

    def freeze(self) -> "Parameter":
        """The same number, excluded from training."""
        return Parameter(ops.Call(self._call.trainable, self._call.optimizer, True))

    @property
    def trainable(self) -> Trainable:
        return self._call.trainable

    @property
    def selection(self) -> Selection:
        return Selection(self._call.trainable)


def parameter(init: ArrayLike, *, name: str | None = None) -> Parameter:
    """A trainable number or array.

    Args:
        init: initial value.
        name: in messages, the history and files.

    Raises:
        TypeError: the initial value is complex.
        ValueError: the initial value is not finite, or no number.
    """
    value = checked_array(f"parameter({init!r})", init)
    if value.dtype.kind not in "fi" or not np.all(np.isfinite(value)):
        raise ValueError(f"parameter({init!r}): give a finite number, or an array of finite numbers, to start from")

    def apply(current: Any, arguments: Any) -> Any:
        return current

    initial = jnp.asarray(value, dtype=float)
    return Parameter(ops.Call(Trainable(name or "parameter", initial, apply, initial)))
