"""Rows, kernels and spectra of plain JAX code: any function of (parameters, one point).

`points` are the points, one along the first axis; the function is called with one of them and returns a number or an
array. `params` is any tree, an Equinox module for one: J's columns are its arrays of floats, flattened in the order of
`jax.tree.leaves`; numbers among its leaves are part of the function. The points are split over all visible devices,
the first `mesh` of them, or those of a mesh.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, PyTree
from numpy.typing import ArrayLike

from ..expr import checked_array, spectrum_request
from ..parallel import ShardedRows
from .evaluate_and_plan import RESULT_LIMIT, evaluate, plan_of
from .jacobian_operator import Products
from .plain_function import Function, MeshLike, jacobian_of, traced
from .plan import Plan
from .sharded_jacobian import ShardedJacobian
from .spectral_density import Density
from .spectrum import Spectrum


def rows(
    function: Function,
    params: PyTree,
    points: ArrayLike,
    *,
    mesh: MeshLike = None,
    sharded: bool = False,
    limit: int = RESULT_LIMIT,
) -> np.ndarray | ShardedRows:
    """Rows of J at all points.

    Args:
        function: called with (params, one point), returns a number or an array of C numbers.
        params: a tree with P floats in arrays.
        points: N points, one along the first axis.
        mesh: devices that the points are split over: the first so many, or those of a mesh; all by default.
        sharded: leave the rows on their devices.
        limit: bytes of a result that is returned as one array.

    Returns:
        (N, P), or (N, C, P) of C components.

    Raises:
        TypeError: the arguments are in another order, or the function does not return real numbers.
        ValueError: points are not finite, or the result exceeds `limit`.
    """
    J, evaluator = traced(function, params, points, mesh)
    return evaluate(evaluator, J, {}, sharded, limit)


def means(
    function: Function,
    params: PyTree,
    points: ArrayLike,
    groups: Sequence[Bool[np.ndarray, " n"]],
    *,
    mesh: MeshLike = None,
) -> Float[np.ndarray, "g p"]:
    """Mean row of J over each group of points: one product with each group's indicator, no rows.

    Args:
        function: called with (params, one point), returns a number.
        params: a tree with P floats in arrays.
        points: N points, one along the first axis.
        groups: G arrays of one bool for each point.
        mesh: devices that the points are split over, as in `rows`.

    Returns:
        (G, P).

    Raises:
        ValueError: a group has no points, or another shape; the function returns more than one number.
    """
    J = products(function, params, points, mesh=mesh)
    if len(J.shape) > 2:
        raise ValueError(f"means of a function with values of shape {J.shape[1:-1]}: give one that returns a number")
    mean_rows = []
    for index, group in enumerate(groups):
        inside = checked_array(f"group {index}", group)
        if inside.dtype != bool or inside.shape != (len(J),) or not inside.any():
            raise ValueError(
                f"group {index} has {inside.dtype} of shape {inside.shape}: give one bool for each of the {len(J)} "
                f"points, at least one of them true"
            )
        mean_rows.append(J.T @ (inside / inside.sum()))
    return np.stack(mean_rows)


def gram(
    function: Function,
    params: PyTree,
    points: ArrayLike,
    *,
    other: Function | None = None,
    other_points: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    mesh: MeshLike = None,
    sharded: bool = False,
    limit: int = RESULT_LIMIT,
) -> np.ndarray | ShardedRows:
    """Tangent kernel K = J Jᵀ, or a block J_a J_bᵀ of two functions of the same parameters.

    Args:
        function: called with (params, one point), returns a number or an array of C numbers.
        params: a tree with P floats in arrays.
        points: N points, one along the first axis.
        other: the second function; the same one by default.
        other_points: points of the second function; the same ones by default.
        weights: (N,), not negative: √w_i J_i in place of J_i.
        mesh: devices that the points are split over, as in `rows`.
        sharded: leave the rows of K on their devices.
        limit: bytes of a result that is returned as one array.

    Returns:
        (N, N), or (N, M) of two; C components are C rows a point.

    Raises:
        ValueError: the result exceeds `limit`, or weights are given for two functions.
    """
    crossed = other is not None or other_points is not None
    if crossed and weights is not None:
        raise ValueError("gram(weights=…): of the kernel of one function with itself; of two, weigh what they return")
    J, evaluator = traced(function, params, points, mesh, weights)
    if not crossed:
        return evaluate(evaluator, J.gram(), {}, sharded, limit)
    trainable = J.op.wrt[0].trainable  # pyright: ignore[reportAttributeAccessIssue]
    B = jacobian_of(other or function, trainable, params, points if other_points is None else other_points, "other")
    return evaluate(evaluator, J.gram(B), {}, sharded, limit)


def spectrum(
    function: Function,
    params: PyTree,
    points: ArrayLike,
    k: int | None = None,
    *,
    way: str | None = None,
    vectors: int = 0,
    mesh: MeshLike = None,
    limit: int = RESULT_LIMIT,
) -> Spectrum | Density:
    """Eigenvalues of K: all of them or the largest k, or with `way="density"` their density.

    Args:
        function: called with (params, one point), returns a number or an array of C numbers.
        params: a tree with P floats in arrays.
        points: N points, one along the first axis.
        k: number of the largest eigenvalues; all min(N C, P) by default.
        way: "rows", "gram", "lanczos" or "density"; by default the first that fits `limit`.
        vectors: number of eigenvectors.
        mesh: devices that the points are split over, as in `rows`.
        limit: bytes that each device may hold.

    Returns:
        A `Spectrum`, or a `Density` with `way="density"`.

    Raises:
        NotFinite: J is not finite at some points.
        ValueError: no way fits `limit`.
    """
    J, evaluator = traced(function, params, points, mesh)
    return evaluate(evaluator, spectrum_request(J, k, way, vectors), {}, False, limit)


def plan(
    function: Function,
    params: PyTree,
    points: ArrayLike,
    what: str = "gram",
    *,
    k: int | None = None,
    mesh: MeshLike = None,
    sharded: bool = False,
    limit: int = RESULT_LIMIT,
) -> Plan:
    """Predicts memory, operations and traffic of each way to a result; nothing large is allocated.

    Args:
        function: called with (params, one point), returns a number or an array of C numbers.
        params: a tree with P floats in arrays.
        points: N points, one along the first axis.
        what: "gram", "spectrum" or "rows".
        k: number of the largest eigenvalues, of a spectrum.
        mesh: devices that the points are split over, as in `rows`.
        sharded: plan for a result that stays on its devices.
        limit: bytes of a result that is returned as one array, or that each device may hold for a spectrum.

    Returns:
        The plan, in bytes and floating-point operations a device.

    Raises:
        ValueError: `what` is another word.
    """
    J, evaluator = traced(function, params, points, mesh)
    requests: dict[str, Callable[[], Any]] = {"gram": J.gram, "spectrum": lambda: J.spectrum(k), "rows": lambda: J}
    if what not in requests:
        raise ValueError(f"plan(what={what!r}): one of {', '.join(requests)}")
    return plan_of(evaluator, requests[what](), {}, sharded, limit)


def products(function: Function, params: PyTree, points: ArrayLike, *, mesh: MeshLike = None) -> Products:
    """J as a linear operator with `J @ v`, `J.T @ w` and `J.gram(w)`; its rows are never formed.

    Args:
        function: called with (params, one point), returns a number or an array of C numbers.
        params: a tree with P floats in arrays.
        points: N points, one along the first axis.
        mesh: devices that the points are split over, as in `rows`.

    Returns:
        The operator, of shape (N, P), or (N, C, P) of C components.

    Raises:
        TypeError: the arguments are in another order, or the function does not return real numbers.
        ValueError: points are not finite.
    """
    J, evaluator = traced(function, params, points, mesh)
    return Products(ShardedJacobian.of(J, evaluator, {}), evaluator)
