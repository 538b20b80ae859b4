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

    Called without any node, it is the jax.numpy function itself.

    Args:
        function: positional arguments may be nodes, keyword arguments are static.
        prefix: how it is reached from `tx.np`, such as "linalg.".
    """
    name = function.__name__
    offer(name, prefix)

    @functools.wraps(function, updated=())
    def lifted(*args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(arg, Node) for arg in args):
            return function(*args, **kwargs)
        return apply(function, name, *args, **kwargs)

    lifted.__doc__ = f"""`jax.numpy.{name}` of the values at each point (of a term: of its value).

    Args:
        *args: fields, terms, arrays and numbers; an array is the same at every point, its axes are those of components.
        **kwargs: static arguments of `jax.numpy.{name}`; axes are counted from 0 without that of points.

    Returns:
        A field if an argument is one, else a term; without any node what `jax.numpy.{name}` returns.

    Raises:
        TypeError: an argument is a group of points that is not reduced.
        ValueError: fields are on different points, shapes at a point do not fit, or an array has an entry for each
            point.
    """
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
    lifted.__doc__ = f"""`jax.numpy.{name}` of the values at each point.

    Args:
        arrays: a list of fields, terms, arrays and numbers.
        axis: axis of components, counted from 0 without that of points.

    Returns:
        A field if an entry is one, else a term; without any node what `jax.numpy.{name}` returns.
    """
    return lifted


class _Spread:
    """A function of a list as a function of its entries."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *arrays: Any, axis: int) -> Any:
        return self.function(arrays, axis=axis)


def lift_reduction(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """`function` of jax.numpy as a reduction of nodes: `np.mean(field)` is `field.mean`."""
    offer(kind)

    def lifted(value: Any, axis: int | tuple[int, ...] | None = None) -> Any:
        if not isinstance(value, Node):
            return function(value, axis=axis)
        if axis is None and value.points is not None:
            return getattr(value, kind)
        return apply(function, kind, value, axis=axis)

    lifted.__name__ = kind
    lifted.__doc__ = f"""`jax.numpy.{kind}` over points and components; with `axis`, over components at each point.

    Args:
        value: a field or term, or an array.
        axis: axes of components, counted from 0 without that of points.
    """
    return lifted


def function(
    f: Callable[..., Any], args: Sequence[Any], *, returns: str | None = None, pointwise: bool = False
) -> Node:
    """Any JAX function of the values of `args`.

    Since f sees all points, every device computes it on all of them, and it cannot be differentiated in space. With
    `pointwise`, f sees the values at one point: it is sharded and differentiated like any field.

    Args:
        f: receives each field as one array of all N points (N, …), in the user's order and without padding, each term
            as its value, each Jacobian as its rows (N, P).
        args: a list of expressions and numbers.
        returns: "term" or "field", where the first axis of a result could be that of points or not.
        pointwise: whether f is a function of the values at one point.

    Returns:
        A term, or a field if the first axis of what f returns has the N points.

    Raises:
        TypeError: the arguments are no list, or f does not return one array.
        ValueError: `returns` is another word, or f fails on arrays of these shapes.
    """
    if returns not in (None, "term", "field"):
        raise ValueError(f"tx.np.function(..., returns={returns!r}): say 'term' or 'field', or leave it out")
    if not isinstance(args, (list, tuple)) or not args:
        raise TypeError(f"tx.np.function({f}, {args!r}): give the arguments as a list, such as [u, x]")
    if pointwise:
        return apply(f, getattr(f, "__name__", type(f).__name__), *args)
    return Node(Opaque(f, returns), *map(as_node, args))


def tracker(node: Node, interval: int = 1, name: str | None = None, warn_below: float | None = None) -> Tracker:
    """Evaluate `node` every `interval` epochs during training, without touching the loss.

    Args:
        node: a term, or the request for a spectrum.
        interval: epochs between values: 0, `interval`, 2·`interval`, …
        name: in the history; by default that of `tx.core`.
        warn_below: threshold below which a warning is shown.

    Raises:
        TypeError: `node` is a field, or no expression.
        ValueError: the interval is no whole number from 1 on, or the name cannot be printed.
    """
    return Tracker(node, interval, name, warn_below)


def relative_l2(u: Any, exact: Any) -> Node:
    """‖u - exact‖ / ‖exact‖ over points and components, a term: √(mean (u - exact)² / mean exact²).

    Args:
        u: a field; on a group, `u[left]`, over the points of the group.
        exact: a field of the same shape, on the same group.

    Raises:
        TypeError: one of the two is no field.
        ValueError: groups or shapes differ.
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
    """The same value, treated as a constant by training and by parameter Jacobians.

    Args:
        node: an expression; an array or number is passed to `jax.lax.stop_gradient`.
    """
    if not isinstance(node, Node):
        return jax.lax.stop_gradient(node)
    return apply(jax.lax.stop_gradient, "stop_gradient", node)


def periodic(coordinate: Node, length: float) -> Node:
    """(cos 2πx/L, sin 2πx/L): a network of it is periodic in x with period L, with all its derivatives.

    Dong and Ni, arXiv 2007.07442.

    Args:
        coordinate: x, a field of one number per point.
        length: the period L, positive, in the units of x.

    Returns:
        A field of shape (2,).

    Raises:
        ValueError: the period is not positive.
    """
    if not length > 0:
        raise ValueError(f"periodic({coordinate}, {length}): the period must be positive")
    return apply(_circle, "periodic", coordinate * (2 * math.pi / float(length)))


def _circle(angle):
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])
