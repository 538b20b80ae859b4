"""Python's operators on nodes. `node.py` builds on this module."""

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp

from .foreign import Symbolic

if TYPE_CHECKING:
    from .node import Node


class Arithmetic(Symbolic):
    """Operators as functions of the values at one point, written out so that editors and type checkers see them."""

    __slots__ = ()
    __hash__ = object.__hash__  # by identity: == is an expression

    if TYPE_CHECKING:

        @staticmethod
        def applied(function: Callable[..., Any], name: str, *args: Any) -> "Node": ...

    def __add__(self, other: Any) -> "Node":
        return self.applied(operator.add, "+", self, other)

    def __radd__(self, other: Any) -> "Node":
        return self.applied(operator.add, "+", other, self)

    def __sub__(self, other: Any) -> "Node":
        return self.applied(operator.sub, "-", self, other)

    def __rsub__(self, other: Any) -> "Node":
        return self.applied(operator.sub, "-", other, self)

    def __mul__(self, other: Any) -> "Node":
        return self.applied(operator.mul, "*", self, other)

    def __rmul__(self, other: Any) -> "Node":
        return self.applied(operator.mul, "*", other, self)

    def __truediv__(self, other: Any) -> "Node":
        return self.applied(operator.truediv, "/", self, other)

    def __rtruediv__(self, other: Any) -> "Node":
        return self.applied(operator.truediv, "/", other, self)

    def __floordiv__(self, other: Any) -> "Node":
        return self.applied(operator.floordiv, "//", self, other)

    def __rfloordiv__(self, other: Any) -> "Node":
        return self.applied(operator.floordiv, "//", other, self)

    def __rmod__(self, other: Any) -> "Node":
        return self.applied(operator.mod, "%", other, self)

    def __mod__(self, other: Any) -> "Node":
        return self.applied(operator.mod, "%", self, other)

    def __pow__(self, other: Any) -> "Node":
        return self.applied(operator.pow, "**", self, other)

    def __rpow__(self, other: Any) -> "Node":
        return self.applied(operator.pow, "**", other, self)

    def __rmatmul__(self, other: Any) -> "Node":
        return self.applied(jnp.matmul, "@", other, self)

    def __neg__(self) -> "Node":
        return self.applied(operator.neg, "-", self)

    def __abs__(self) -> "Node":
        return self.applied(jnp.abs, "abs", self)

    def __invert__(self) -> "Node":
        return self.applied(jnp.logical_not, "~", self)

    def __and__(self, other: Any) -> "Node":
        return self.applied(jnp.logical_and, "&", self, other)

    def __or__(self, other: Any) -> "Node":
        return self.applied(jnp.logical_or, "|", self, other)

    def __lt__(self, other: Any) -> "Node":
        return self.applied(operator.lt, "<", self, other)

    def __le__(self, other: Any) -> "Node":
        return self.applied(operator.le, "<=", self, other)

    def __gt__(self, other: Any) -> "Node":
        return self.applied(operator.gt, ">", self, other)

    def __ge__(self, other: Any) -> "Node":
        return self.applied(operator.ge, ">=", self, other)

    def __eq__(self, other: Any) -> "Node":  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.applied(jnp.equal, "==", self, other)

    def __ne__(self, other: Any) -> "Node":  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.applied(jnp.not_equal, "!=", self, other)
