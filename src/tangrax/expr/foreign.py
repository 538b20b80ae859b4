"""Protocols of NumPy and JAX on nodes: operators work, functions raise and name the one of `tx.np`."""

import ast
import linecache
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from .failure import is_library

REFLECTED = {
    np.add: "__radd__",
    np.subtract: "__rsub__",
    np.multiply: "__rmul__",
    np.divide: "__rtruediv__",
    np.floor_divide: "__rfloordiv__",
    np.remainder: "__rmod__",
    np.power: "__rpow__",
    np.matmul: "__rmatmul__",
    np.less: "__gt__",
    np.less_equal: "__ge__",
    np.greater: "__lt__",
    np.greater_equal: "__le__",
    np.equal: "__eq__",
    np.not_equal: "__ne__",
}
TAKERS = ("shaped_abstractify", "_arraylike", "array")  # functions of JAX that ask whether something is an array
_names: dict[str, str] = {}  # of functions in `tx.np`, and how they are reached from it


def offer(name: str, prefix: str = "") -> None:
    """Make known that `tx.np` has a function."""
    _names[name] = f"tx.np.{prefix}{name}"


class Symbolic:
    """The base of nodes, as other libraries see them."""

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        first, last = inputs[0], inputs[-1]
        if method == "__call__" and not kwargs and ufunc in REFLECTED and not isinstance(first, Symbolic):
            return getattr(last, REFLECTED[ufunc])(first)  # array * node
        raise TypeError(_refusal(self, f"np.{ufunc.__name__}"))

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(_refusal(self, f"np.{function.__name__}"))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise TypeError(
            f"{self} is symbolic, and no array: solver.eval(...) gives its values, tx.np.stack a vector of fields"
        )

    @property
    def __jax_array__(self) -> Any:
        """Looked for by operators of JAX, which then leave `array * node` to the node, and by its functions.

        These turn a TypeError into one of their own, which names neither the node nor a mend.
        """
        frame = sys._getframe(1)
        if frame.f_code.co_name in TAKERS and is_library(frame):
            while frame.f_back is not None and is_library(frame):
                frame = frame.f_back
            raise ValueError(_refusal(self, _called(frame) or "a function of jax.numpy"))
        raise AttributeError("__jax_array__")

    def __float__(self) -> float:
        called = _called(sys._getframe(1)) or ""
        if _offered(called):
            raise TypeError(_refusal(self, called))
        raise TypeError(f"{self} is symbolic: solver.eval(...) gives its value")


def _refusal(node: Any, function: str) -> str:
    known = _offered(function)
    mend = f"write {known}" if known else "tx.np has no such function; write tx.np.function(f, [field], pointwise=True)"
    return f"{function} of {node}, which is symbolic: {mend}"


def _offered(function: str) -> str | None:
    """The function of `tx.np` that does the same; NumPy has several names for some."""
    name = function.rpartition(".")[2]
    same = getattr(np, name, None)
    offered = name if name in _names else next((n for n in _names if same and getattr(np, n, None) is same), None)
    return None if offered is None else _names[offered]


def _called(frame: FrameType) -> str | None:
    """The function that a frame is calling, as its source has it, such as `jnp.linalg.norm`; None if unknown."""
    first, last, start, end = list(frame.f_code.co_positions())[frame.f_lasti // 2]
    lines = [line.encode() for line in linecache.getlines(frame.f_code.co_filename)[(first or 1) - 1 : last]]
    if not lines or start is None or end is None:
        return None
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    try:
        call = ast.parse(b"(" + b"".join(lines) + b")", mode="eval").body
    except SyntaxError:
        return None
    return ast.unparse(call.func) if isinstance(call, ast.Call) else None
