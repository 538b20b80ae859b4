"""Functions of nodes: jax.numpy, point by point; cosines; functions of the user's."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .node import Node, apply, as_node
from .ops import Opaque
from .tracker import Tracker


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of jax.numpy as a function of nodes: it acts on the values at each point.

    Keyword arguments are static. Called without any node, it is the jax.numpy function itself.
    """
    name = function.__name__

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


def stop_gradient(node: Any) -> Any:
    """The same value, treated as a constant by training and by parameter Jacobians."""
    if not isinstance(node, Node):
        return jax.lax.stop_gradient(node)
    return apply(jax.lax.stop_gradient, "stop_gradient", node)


def periodic(coordinate: Node, length: float) -> Node:
    """(cos 2πx/L, sin 2πx/L): a network of it is periodic in x with period L, with all its derivatives."""
    if not length > 0:
        raise ValueError(f"periodic({coordinate}, {length}): the period must be positive")
    return apply(_circle, "periodic", coordinate * (2 * math.pi / float(length)))


def _circle(angle):
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def cosine(a: Any, b: Any = None) -> Any:
    """Cosine similarity of gradients, normalised: 1 they help each other, 0 independent, -1 they conflict.

    `cosine(a, b)` of two terms of P numbers (`term.grad(net)`, `J[group].mean`) is one number;
    `cosine([a, b, c])` is the matrix of all pairs, (G, G). Larger arrays are flattened. Zero where a
    vector is zero.
    """
    vectors = list(a) if b is None else [a, b]
    if len(vectors) < 2:
        raise ValueError("cosine needs two vectors or more: cosine(a, b) or cosine([a, b, c])")
    for vector in vectors:
        if isinstance(vector, Node) and vector.points is not None:
            raise TypeError(
                f"cosine of {vector}: it has one value per point. Compare group means, J[group].mean, or "
                f"gradients of terms, term.grad(net)"
            )
    matrix = cosine_matrix if b is None else cosine_pair
    if not any(isinstance(vector, Node) for vector in vectors):
        return matrix(*map(jnp.asarray, vectors))
    return apply(matrix, "cosine", *vectors)


def cosine_pair(a: Array, b: Array) -> Float[Array, ""]:
    """Cosine of the angle between two arrays."""
    return jnp.vdot(_unit(a), _unit(b))


def cosine_matrix(*vectors: Array) -> Float[Array, "g g"]:
    """Cosines of all pairs."""
    units = jnp.stack([_unit(vector) for vector in vectors])
    return units @ units.T


def _unit(vector: Array) -> Float[Array, " p"]:
    # Scaled by the largest entry first: squares of small float32 gradients would underflow.
    flat = vector.ravel()
    largest = jnp.max(jnp.abs(flat))
    scaled = flat / jnp.where(largest > 0, largest, 1)
    norm = jnp.linalg.norm(scaled)
    return scaled / jnp.where(norm > 0, norm, 1)
