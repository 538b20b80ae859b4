"""Jacobians of plain functions of (parameters, one point) as expressions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree
from numpy.typing import ArrayLike

from ..expr import (
    Node,
    PointSet,
    Selection,
    Trainable,
    as_array,
    as_jax,
    checked_array,
    explanation,
    ops,
    parted,
    shape_of,
    succeeds,
)
from ..lower import AtPoint, Executor
from ..parallel import make_transport, run_dtype
from .expression_evaluator import Evaluator

Function = Callable[[Any, Any], Any]  # (params, one point) to a number or an array
MeshLike = int | Mesh | None
ORDER = "the order is (function, params, points)"
MEMORY = 2**30  # bytes of temporaries on one device


def traced(
    function: Function, params: PyTree, points: ArrayLike, mesh: MeshLike, weights: ArrayLike | None = None
) -> tuple[Node, Evaluator]:
    """J of a plain function as an expression, and its evaluator."""
    initial, _ = parted("params", params)
    leaves = jax.tree.leaves(initial)
    if not callable(function) or not leaves:
        raise TypeError(
            f"{ORDER}: give a function of (params, point), here {_kind(function)}, and params with arrays of floats, "
            f"here {_kind(params)}"
        )
    trainable = Trainable(getattr(function, "__name__", "function"), initial, lambda p, arguments: None, params)
    J = jacobian_of(function, trainable, params, points, "points", weights)
    dtype = jnp.dtype(run_dtype(None, jnp.result_type(*leaves).name))
    transport = make_transport(mesh)
    cast = [np.asarray(leaf, dtype) for leaf in leaves]
    first = transport.first("the parameters", cast)
    replicated = transport.replicate(jax.tree.structure(initial).unflatten(map(as_jax, first)))
    return J, Evaluator(Executor(transport, dtype, MEMORY), lambda _: replicated)


def jacobian_of(
    function: Function,
    trainable: Trainable,
    params: PyTree,
    points: ArrayLike,
    tag: str,
    weights: ArrayLike | None = None,
) -> Node:
    """J of a function at points of any shape, by the parameters of a trainable; weights are one more column."""
    if np.asarray(points).dtype.kind in "OSU":
        raise TypeError(f"{ORDER}: points are {_kind(points)}; give an array, one point along its first axis")
    points = checked_array("points", points, np.float64)
    if points.ndim < 1 or len(points) == 0 or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}: give finite points, one along the first axis, at least one")
    _, static = parted("params", params)
    columns = points.reshape(len(points), -1)
    if weights is not None:
        array = checked_array("weights", weights, np.float64)
        if array.shape != (len(points),) or not (np.isfinite(array).all() and (array >= 0).all()):
            raise ValueError(f"weights of shape {array.shape}: one for each of the {len(points)} points, none negative")
        columns = np.column_stack([columns, np.sqrt(array)])
    names = tuple(f"x{i}" for i in range(columns.shape[1]))
    # Weights are no coordinates: two that are nearly the same need not be distinguishable.
    spans = [0.0] * columns.shape[1] if weights is None else [*[0.0] * (columns.shape[1] - 1), np.inf]
    point_set = PointSet(tag, columns, names, False, "the points given", spans=spans)
    shape, size = points.shape[1:], int(np.prod(points.shape[1:]))
    coordinates = [Node(ops.Coordinate(point_set, axis)) for axis in range(columns.shape[1])]

    def value(parameters: Any, point: Any) -> Any:
        output = as_array(function(eqx.combine(parameters, static), point[:size].reshape(shape)))
        output = output[0] if output.shape == (1,) else output
        return output if weights is None else point[size] * output

    like = jax.ShapeDtypeStruct((columns.shape[1],), jnp.result_type(*jax.tree.leaves(trainable.initial)))

    def refusal(error: Exception) -> str:
        cause = _misread(function, params, jax.ShapeDtypeStruct(points.shape, like.dtype))
        return f"'{trainable.name}' failed at a point of shape {shape}{cause}. {explanation(error, function)}"

    result = shape_of(value, (trainable.initial, like), refusal)
    if not jnp.issubdtype(result.dtype, jnp.floating):
        raise TypeError(f"{function!r} returns {result.dtype} of shape {result.shape} at a point: give real numbers")
    return Node(ops.Jacobian((Selection(trainable),)), Node(_Called(trainable, value, result.shape), *coordinates))


def _kind(value: Any) -> str:
    """A function's name, or a value's type, for messages."""
    return f"the function '{value.__name__}'" if hasattr(value, "__name__") else f"of type {type(value).__name__}"


def _misread(function: Function, params: Any, points: jax.ShapeDtypeStruct) -> str:
    """The cause of a failure, where the function takes something else than params and one point; else empty."""
    point = jax.ShapeDtypeStruct(points.shape[1:], points.dtype)
    rows: Any = params if isinstance(params, (jax.Array, np.ndarray)) and params.ndim else ()

    def of_all(z: Any) -> Any:
        output = as_array(function(params, z))
        return output.reshape(points.shape[0], *output.shape[1:])

    if succeeds(of_all, points):
        return ": it takes all points at once; give a function of one, such as lambda p, z: f(p, z[None])[0]"
    if succeeds(lambda z: as_array(function(z, params)), point):
        return ": it takes (point, params); give lambda p, z: f(z, p)"
    if len(rows) and succeeds(lambda z: as_array(function(z, rows[0])), points):
        return f": it takes params as points and points as params; {ORDER}"
    return ""


@dataclass(frozen=True)
class _Called(AtPoint):
    """A function of a trainable's parameters and a point."""

    trainable: Trainable
    function: Callable[[Any, Any], Any]
    shape: tuple[int, ...]

    def infer(self, args: Any, texts: Any) -> ops.Facts:
        return ops.Facts(args[0].points, self.shape)

    def text(self, args: Any) -> str:
        return self.trainable.name

    def at(self, node: Node, values: Any, point: Any) -> Any:
        return self.function(values.parameters[self.trainable], point)
