"""The same for plain JAX code: any function of (parameters, one point), without the language of expressions.

`points` are the points, one along the first axis; the function is called with one of them and returns a number or an
array. `params` is any tree, an Equinox module for one: J's columns are its arrays of floats, flattened in the order of
`jax.tree.leaves`; numbers among its leaves are part of the function. The points are split over all visible devices,
the first `mesh` of them, or those of a mesh.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from ..expr import (
    Node,
    PointSet,
    Selection,
    Trainable,
    as_array,
    as_jax,
    explanation,
    given_array,
    ops,
    parted,
    shape_of,
    succeeds,
)
from ..lower import AtPoint, Executor
from ..parallel import ShardedRows, make_transport, run_dtype
from .density import Density
from .evaluate import RESULT_LIMIT, evaluate, plan_of
from .evaluator import Evaluator
from .lanczos import pulled, pushed
from .plan import Plan
from .sharded_jacobian import ShardedJacobian, run
from .spectrum import Spectrum

Function = Callable[[Any, Any], Any]
Where = int | Mesh | None
ORDER = "the order is (function, params, points)"
MEMORY = 2**30  # bytes of temporaries on one device


def rows(
    function: Function,
    params: Any,
    points: Any,
    *,
    mesh: Where = None,
    sharded: bool = False,
    limit: int = RESULT_LIMIT,
) -> np.ndarray | ShardedRows:
    """J, (N, P), or (N, C, P) of C components; with `sharded`, its rows on their devices."""
    J, evaluator = _adopted(function, params, points, mesh)
    return evaluate(evaluator, J, {}, sharded, limit)


def means(
    function: Function, params: Any, points: Any, groups: Sequence[Bool[np.ndarray, " n"]], *, mesh: Where = None
) -> Float[np.ndarray, "g p"]:
    """The mean row of J over each group of points: one product with each group's indicator, no rows."""
    J = products(function, params, points, mesh=mesh)
    if len(J.shape) > 2:
        raise ValueError(f"means of a function with values of shape {J.shape[1:-1]}: give one that returns a number")
    found = []
    for index, group in enumerate(groups):
        inside = given_array(f"group {index}", group)
        if inside.dtype != bool or inside.shape != (len(J),) or not inside.any():
            raise ValueError(
                f"group {index} has {inside.dtype} of shape {inside.shape}: give one bool for each of the {len(J)} "
                f"points, at least one of them true"
            )
        found.append(J.T @ (inside / inside.sum()))
    return np.stack(found)


def gram(
    function: Function,
    params: Any,
    points: Any,
    *,
    other: Function | None = None,
    other_points: Any = None,
    weights: Any = None,
    mesh: Where = None,
    sharded: bool = False,
    limit: int = RESULT_LIMIT,
) -> np.ndarray | ShardedRows:
    """K = J Jᵀ, (N, N), or J_a J_bᵀ with another function of the same parameters, at the same or other points.

    C components are C rows a point. `weights` (N,), not negative: √w_i J_i in place of J_i. With `sharded`, the rows of
    K stay on their devices.
    """
    crossed = other is not None or other_points is not None
    if crossed and weights is not None:
        raise ValueError("gram(weights=…): of the kernel of one function with itself; of two, weigh what they return")
    J, evaluator = _adopted(function, params, points, mesh, weights)
    if not crossed:
        return evaluate(evaluator, J.gram(), {}, sharded, limit)
    trainable = J.op.wrt[0].trainable  # pyright: ignore[reportAttributeAccessIssue]
    B = _jacobian(other or function, trainable, params, points if other_points is None else other_points, "other")
    return evaluate(evaluator, J.gram(B), {}, sharded, limit)


def spectrum(
    function: Function,
    params: Any,
    points: Any,
    k: int | None = None,
    *,
    way: str | None = None,
    vectors: int = 0,
    mesh: Where = None,
    limit: int = RESULT_LIMIT,
) -> Spectrum | Density:
    """Eigenvalues of K, all or the largest k (see `Spectrum`); of `way="density"`, how they are distributed."""
    J, evaluator = _adopted(function, params, points, mesh)
    return evaluate(evaluator, J.spectrum(k, way=way, vectors=vectors), {}, False, limit)


def plan(
    function: Function,
    params: Any,
    points: Any,
    what: str = "gram",
    *,
    k: int | None = None,
    mesh: Where = None,
    sharded: bool = False,
    limit: int = RESULT_LIMIT,
) -> Plan:
    """What `gram`, `spectrum` or `rows` would take, way by way; nothing large is allocated."""
    J, evaluator = _adopted(function, params, points, mesh)
    asked: dict[str, Callable[[], Any]] = {"gram": J.gram, "spectrum": lambda: J.spectrum(k), "rows": lambda: J}
    if what not in asked:
        raise ValueError(f"plan(what={what!r}): one of {', '.join(asked)}")
    return plan_of(evaluator, asked[what](), {}, sharded, limit)


def products(function: Function, params: Any, points: Any, *, mesh: Where = None) -> "Products":
    """J for products alone: `J @ v`, `J.T @ w`, `J.gram(w)`; its rows are never formed."""
    J, evaluator = _adopted(function, params, points, mesh)
    return Products(ShardedJacobian.of(J, evaluator, {}), evaluator)


@dataclass(frozen=True)
class Products:
    """J as an operator; each kind of product is compiled once."""

    subject: ShardedJacobian
    evaluator: Evaluator
    __array_ufunc__ = None  # NumPy arrays leave products to this

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.subject.layout.count, *self.subject.rows.shape)

    def __len__(self) -> int:
        return self.subject.layout.count

    def __matmul__(self, vectors: Any) -> np.ndarray:
        """J v, (N,), or (N, k) of a matrix (P, k); with C components (N, C) and (N, C, k)."""
        given = given_array("J @ array", vectors, np.float64)
        if given.ndim not in (1, 2) or len(given) != self.shape[-1]:
            raise ValueError(
                f"J of shape {self.shape} @ array of shape {given.shape}: give ({self.shape[-1]},) or a matrix"
            )
        columns = as_jax(np.asarray(given.reshape(len(given), -1), self.evaluator.dtype))
        body = lambda collectives, sides, columns: ((), pushed(sides[0], columns))  # noqa: E731
        _, found = run("J V", [self.subject], self.evaluator, (), body, columns)
        found = self.evaluator.transport.fetch(found)[: len(self)]
        return found.reshape(*self.shape[:-1], *given.shape[1:])

    @property
    def T(self) -> "Transposed":
        return Transposed(self)

    def gram(self, weights: Any) -> np.ndarray:
        """K w = J (Jᵀ w), K never formed."""
        return self @ (self.T @ weights)

    @property
    def diagonal(self) -> np.ndarray:
        """The diagonal of K: |row of J|² at each point, for each component."""
        return evaluate(self.evaluator, self.subject.rows.gram().diagonal, {}, False, RESULT_LIMIT)

    @property
    def trace(self) -> float:
        """tr K."""
        return float(evaluate(self.evaluator, self.subject.rows.gram().trace, {}, False, RESULT_LIMIT))


@dataclass(frozen=True)
class Transposed:
    """Jᵀ."""

    products: Products
    __array_ufunc__ = None

    def __matmul__(self, weights: Any) -> Float[np.ndarray, " p"]:
        """Jᵀ w, of one weight for each number of each point: one all-reduce of P numbers."""
        J, given = self.products, given_array("J.T @ array", weights, np.float64)
        if given.shape != J.shape[:-1]:
            raise ValueError(f"J.T @ array of shape {given.shape}: give {J.shape[:-1]}, one for each row of J")
        evaluator, layout = J.evaluator, J.subject.layout
        body = lambda c, sides, w: (pulled(c, sides[0], layout.own(w, c.rank)), ())  # noqa: E731
        every = as_jax(np.asarray(given, evaluator.dtype))
        return np.asarray(run("Jᵀ w", [J.subject], evaluator, (), body, every)[0])


def _adopted(function: Function, params: Any, points: Any, mesh: Where, weights: Any = None) -> tuple[Node, Evaluator]:
    """J of a plain function as an expression, and what evaluates it."""
    initial, _ = parted("params", params)
    leaves = jax.tree.leaves(initial)
    if not callable(function) or not leaves:
        raise TypeError(
            f"{ORDER}: give a function of (params, point), here {_kind(function)}, and params with arrays of floats, "
            f"here {_kind(params)}"
        )
    trainable = Trainable(getattr(function, "__name__", "function"), initial, lambda p, arguments: None, params)
    J = _jacobian(function, trainable, params, points, "points", weights)
    dtype = jnp.dtype(run_dtype(None, jnp.result_type(*leaves).name))
    transport = make_transport(mesh)
    cast = [np.asarray(leaf, dtype) for leaf in leaves]
    first = transport.first("the parameters", cast)
    known = transport.replicate(jax.tree.structure(initial).unflatten(map(as_jax, first)))
    return J, Evaluator(Executor(transport, dtype, MEMORY), lambda _: known)


def _jacobian(
    function: Function, trainable: Trainable, params: Any, points: Any, tag: str, weights: Any = None
) -> Node:
    """J of a function at points of any shape, by the parameters of a trainable; weights are one more column."""
    if np.asarray(points).dtype.kind in "OSU":
        raise TypeError(f"{ORDER}: points are {_kind(points)}; give an array, one point along its first axis")
    points = given_array("points", points, np.float64)
    if points.ndim < 1 or len(points) == 0 or not np.isfinite(points).all():
        raise ValueError(f"points of shape {points.shape}: give finite points, one along the first axis, at least one")
    _, static = parted("params", params)
    columns = points.reshape(len(points), -1)
    if weights is not None:
        given = given_array("weights", weights, np.float64)
        if given.shape != (len(points),) or not (np.isfinite(given).all() and (given >= 0).all()):
            raise ValueError(f"weights of shape {given.shape}: one for each of the {len(points)} points, none negative")
        columns = np.column_stack([columns, np.sqrt(given)])
    names = tuple(f"x{i}" for i in range(columns.shape[1]))
    # Weights are no coordinates: two that are nearly the same need not be told apart.
    spans = [0.0] * columns.shape[1] if weights is None else [*[0.0] * (columns.shape[1] - 1), np.inf]
    where = PointSet(tag, columns, names, False, "the points given", spans=spans)
    shape, size = points.shape[1:], int(np.prod(points.shape[1:]))
    coordinates = [Node(ops.Coordinate(where, axis)) for axis in range(columns.shape[1])]

    def value(parameters: Any, point: Any) -> Any:
        found = as_array(function(eqx.combine(parameters, static), point[:size].reshape(shape)))
        found = found[0] if found.shape == (1,) else found
        return found if weights is None else point[size] * found

    like = jax.ShapeDtypeStruct((columns.shape[1],), jnp.result_type(*jax.tree.leaves(trainable.initial)))

    def refusal(error: Exception) -> str:
        why = _misread(function, params, jax.ShapeDtypeStruct(points.shape, like.dtype))
        return f"'{trainable.name}' failed at a point of shape {shape}{why}. {explanation(error, function)}"

    result = shape_of(value, (trainable.initial, like), refusal)
    if not jnp.issubdtype(result.dtype, jnp.floating):
        raise TypeError(f"{function!r} returns {result.dtype} of shape {result.shape} at a point: give real numbers")
    return Node(ops.Jacobian((Selection(trainable),)), Node(_Called(trainable, value, result.shape), *coordinates))


def _kind(given: Any) -> str:
    """What something is, in a word or two."""
    return f"the function '{given.__name__}'" if hasattr(given, "__name__") else f"of type {type(given).__name__}"


def _misread(function: Function, params: Any, points: jax.ShapeDtypeStruct) -> str:
    """Why a function does not take params and one point, where it takes something else."""
    point = jax.ShapeDtypeStruct(points.shape[1:], points.dtype)
    rows: Any = params if isinstance(params, (jax.Array, np.ndarray)) and params.ndim else ()

    def of_all(z: Any) -> Any:
        found = as_array(function(params, z))
        return found.reshape(points.shape[0], *found.shape[1:])

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
