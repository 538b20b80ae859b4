"""Memory that a point costs, counted in the traced program; chunks that stay within a limit."""

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Var, jaxpr_as_fun

SAME = ("reshape", "transpose", "squeeze", "slice")  # what moves no numbers, or that XLA can write in place


def chunks_within(limit: int, function: Callable[[Any], Any], rows: Any) -> tuple[int, Callable[[Any], Any]]:
    """How many chunks `function` of some rows must be cut into so that its temporaries stay below `limit` bytes.

    Every array of the traced program is counted, as if none were fused away or freed early: an upper bound. What
    does not grow with the rows (parameters and their gradient) is left out where it matters.

    Returns the number and a function that equals `function`: where one chunk is enough it replays the trace that was
    counted, as a second one would double the time to the first epoch.
    """

    def traced(count: int) -> tuple[ClosedJaxpr, Any]:
        structs = jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype), rows)
        return jax.make_jaxpr(function, return_shape=True)(structs)

    def temporaries(closed: ClosedJaxpr) -> int:
        return _bytes_of(closed.jaxpr, _results(closed.jaxpr))

    count = len(jax.tree.leaves(rows)[0])
    closed, shape = traced(count)
    if temporaries(closed) <= limit:
        replay, tree = jaxpr_as_fun(closed), jax.tree.structure(shape)
        # Constants of the trace, such as gradients that are zero, come out as what is no array of JAX's.
        return 1, lambda rows: tree.unflatten(map(jnp.asarray, replay(*jax.tree.leaves(rows))))
    per_row = max(1, temporaries(traced(3)[0]) - temporaries(traced(2)[0]))
    return min(count, max(1, -(-count * per_row // limit))), function


def _results(jaxpr: Any) -> set[Any]:
    """Variables that are results, or that results are made of without another copy: those are no temporaries."""
    results = {variable for variable in jaxpr.outvars if isinstance(variable, Var)}
    whole = frozenset(results)
    for equation in reversed(jaxpr.eqns):
        # XLA takes a slice of joined arrays from the array it lies in; where the joined one is wanted, it copies.
        joins = equation.primitive.name == "concatenate" and whole.isdisjoint(equation.outvars)
        if (joins or equation.primitive.name in SAME) and results.issuperset(equation.outvars):
            results.update(variable for variable in equation.invars if isinstance(variable, Var))
    return results


def _bytes_of(jaxpr: Any, results: Collection[Any] = ()) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [_bytes_of(sub) for value in equation.params.values() for sub in inner_jaxprs(value)]
        # A nested program's result is counted inside it.
        own = [variable for variable in equation.outvars if variable not in results]
        total += sum(inner) if inner else sum(_size(variable.aval) for variable in own)
    return total


def inner_jaxprs(value: object) -> list[Any]:
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    if isinstance(value, (tuple, list)):
        return [sub for entry in value for sub in inner_jaxprs(entry)]
    return []


def _size(aval: Any) -> int:
    if not hasattr(aval, "shape") or not hasattr(aval.dtype, "itemsize"):
        return 0
    return int(np.prod(aval.shape)) * aval.dtype.itemsize
