"""How much memory a point costs, from the program itself."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr


def chunks_within(limit: int, function: Callable[[Any], Any], rows: Any) -> int:
    """How many chunks `function` of some rows must be cut into so that its temporaries stay below `limit` bytes.

    Every array of the traced program is counted, as if none were fused away or freed early: an upper bound. What
    does not grow with the rows (parameters and their gradient) is left out where it matters.
    """

    def traced(count: int) -> int:
        structs = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), rows)
        return _bytes_of(jax.make_jaxpr(function)(structs).jaxpr)

    count = len(jax.tree.leaves(rows)[0])
    if traced(count) <= limit:
        return 1
    per_row = max(1, traced(3) - traced(2))
    return min(count, max(1, -(-count * per_row // limit)))


def _bytes_of(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [_bytes_of(sub) for value in equation.params.values() for sub in _jaxprs(value)]
        # A nested program's result is counted inside it.
        total += sum(inner) if inner else sum(_size(variable.aval) for variable in equation.outvars)
    return total


def _jaxprs(value: Any) -> list[Any]:
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    if isinstance(value, (tuple, list)):
        return [sub for entry in value for sub in _jaxprs(entry)]
    return []


def _size(aval: Any) -> int:
    if not hasattr(aval, "shape") or not hasattr(aval.dtype, "itemsize"):
        return 0
    return int(np.prod(aval.shape)) * aval.dtype.itemsize
