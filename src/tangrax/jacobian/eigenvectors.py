"""Eigenvectors of K in the shape of the field."""

from typing import Any

import numpy as np

from .lanczos import jacobian_product
from .request_context import RequestContext
from .sharded_jacobian import ShardedJacobian


def left_singular_vectors(context: RequestContext, right: Any, singular_values: Any) -> np.ndarray:
    """u = J v / σ, from right singular vectors (P, k): (N, k), or (N, C, k) of a field with components."""
    jacobian, evaluator = context.jacobian, context.evaluator

    def body(collectives: Any, sides: Any, right: Any) -> tuple[Any, Any]:
        return (), jacobian_product(sides[0], right)

    _, products = context.run("J V", (), body, np.asarray(right, evaluator.dtype))
    rows = evaluator.transport.fetch(products)[: jacobian.layout.count].astype(np.float64)
    divisors = singular_values[: right.shape[1]]
    return by_component(rows.reshape(jacobian.size, -1) / np.where(divisors == 0, 1, divisors), jacobian)


def by_component(vectors: Any, jacobian: ShardedJacobian) -> np.ndarray:
    """Vectors (N C, k) as (N, k), or (N, C, k) of a field with components."""
    return np.asarray(vectors).reshape(-1, *jacobian.rows.shape[:-1], vectors.shape[1])
