"""Functions of nodes: jax.numpy, point by point; functions of the user's."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .foreign import offer
from .groups import split, within
from .node import Node, apply, as_node
from .ops import Opaque
from .tracker import Tracker


def lift(function: Callable[..., Any], prefix: str = "") -> Callable[..., Any]:
    """`function` of jax.numpy as a function of nodes: it acts on the values at each point.

    Keyword arguments are static. Called without any node, it is the jax.numpy function itself. `prefix` is how it is
    reached from `tx.np`.
    """
    name = function.__name__
    offer(name, prefix)

    @functools.wraps(function, updated=())
    def lifted(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(arg, Node) for arg in args):
            return function(*args, **kwargs)
        return apply(function, name, *args, **kwargs)

    lifted.__doc__ = f"`jax.numpy.{name}` of the values at each point (of a term: of its value)."
    return lifted


def lift_sequence(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same for functions that take a list of arrays, such as `stack`."""
    name = function.__name__
    offer(name)
    spread = _Spread(function)

    def lifted(arrays: Sequence[Any], axis: int = 0) -> Any:
        if not any(isinstance(array, Node) for array in arrays):
            return function(arrays, axis=axis)
        return apply(spread, name, *arrays, axis=axis)

    lifted.__name__ = name
    lifted.__doc__ = f"`jax.numpy.{name}` of the values at each point: component axes are counted from 0."
    return lifted


class _Spread:
    """A function of a list as a function of its entries."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *arrays: Any, axis: int) -> Any:
        return self.function(arrays, axis=axis)


def lift_reduction(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """`np.mean(field)` is `field.mean`, over points and components; with `axis`, over components at each point."""
    offer(kind)

    def lifted(value: Any, axis: int | tuple[int, ...] | None = None) -> Any:
        if not isinstance(value, Node):
            return function(value, axis=axis)
        if axis is None and value.points is not None:
            return getattr(value, kind)
        return apply(function, kind, value, axis=axis)

    lifted.__name__ = kind
    lifted.__doc__ = lift_reduction.__doc__
    return lifted


def function(
    f: Callable[..., Any], args: Sequence[Any], *, returns: str | None = None, pointwise: bool = False
) -> Node:
    """Any JAX function of the values of `args`.

    f receives each field as one array of all N points (N, …), in the user's order and without padding, each
    term as its value, each Jacobian as its rows. What it returns is a term, or a field if its first axis has
    the N points; `returns="term" | "field"` settles it where that is ambiguous. Since f sees all points, every
    device computes it on all of them, and it cannot be differentiated in space.

    With `pointwise=True`, f sees the values at one point: it is sharded and differentiated like any field.
    """
    if returns not in (None, "term", "field"):
        raise ValueError(f"tx.np.function(..., returns={returns!r}): say 'term' or 'field', or leave it out")
    if not isinstance(args, (list, tuple)) or not args:
        raise TypeError(f"tx.np.function({f}, {args!r}): give the arguments as a list, such as [u, x]")
    if pointwise:
        return apply(f, getattr(f, "__name__", type(f).__name__), *args)
    return Node(Opaque(f, returns), *map(as_node, args))


def tracker(node: Node, interval: int = 1, name: str | None = None, warn_below: float | None = None) -> Tracker:
    """Evaluate `node` every `interval` epochs during training, without touching the loss."""
    return Tracker(node, interval, name, warn_below)


def relative_l2(u: Any, exact: Any) -> Node:
    """‖u - exact‖ / ‖exact‖ over points and components, a term: √(mean (u - exact)² / mean exact²).

    Of groups, `relative_l2(u[left], exact[left])`, over the points of the group.
    """
    for name, field in (("u", u), ("exact", exact)):
        if not isinstance(field, Node) or field.points is None:
            raise TypeError(f"tx.np.relative_l2(u, exact): {name} = {field} has no value at each point: give a field")
    (field, *group), (reference, *other) = split(u), split(exact)
    if group != other:
        raise ValueError(
            f"tx.np.relative_l2({u}, {exact}): the two must be on the same group, as in "
            f"relative_l2(u[left], exact[left])"
        )
    if field.shape != reference.shape:
        raise ValueError(
            f"tx.np.relative_l2({u}, {exact}): shapes {field.shape} and {reference.shape} per point must be the same"
        )
    return apply(jnp.sqrt, "sqrt", within(field - reference, *group).mse / exact.mse)


def stop_gradient(node: Any) -> Node:
    """The same value, treated as a constant by training and by parameter Jacobians."""
    if not isinstance(node, Node):
        return jax.lax.stop_gradient(node)
    return apply(jax.lax.stop_gradient, "stop_gradient", node)


def periodic(coordinate: Node, length: float) -> Node:
    """(cos 2πx/L, sin 2πx/L): a network of it is periodic in x with period L, with all its derivatives.

    Dong and Ni, arXiv 2007.07442.
    """
    if not length > 0:
        raise ValueError(f"periodic({coordinate}, {length}): the period must be positive")
    return apply(_circle, "periodic", coordinate * (2 * math.pi / float(length)))


def _circle(angle):
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])
