"""The Jacobian of a plain function as a linear operator."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ..expr import as_jax, checked_array
from .evaluate_and_plan import RESULT_LIMIT, evaluate
from .expression_evaluator import Evaluator
from .lanczos import jacobian_product, transposed_product
from .sharded_jacobian import ShardedJacobian, run_in_shards


@dataclass(frozen=True)
class Products:
    """J as an operator; each kind of product is compiled once."""

    jacobian: ShardedJacobian
    evaluator: Evaluator
    __array_ufunc__ = None  # NumPy arrays leave products to this

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.jacobian.layout.count, *self.jacobian.rows.shape)

    def __len__(self) -> int:
        return self.jacobian.layout.count

    def __matmul__(self, vectors: ArrayLike) -> np.ndarray:
        """J v.

        Args:
            vectors: (P,), or a matrix (P, k).

        Returns:
            (N,) or (N, k); with C components (N, C) or (N, C, k).

        Raises:
            ValueError: the shape is another.
        """
        array = checked_array("J @ array", vectors, np.float64)
        if array.ndim not in (1, 2) or len(array) != self.shape[-1]:
            raise ValueError(
                f"J of shape {self.shape} @ array of shape {array.shape}: give ({self.shape[-1]},) or a matrix"
            )
        columns = as_jax(np.asarray(array.reshape(len(array), -1), self.evaluator.dtype))
        body = lambda collectives, sides, columns: ((), jacobian_product(sides[0], columns))  # noqa: E731
        _, product = run_in_shards("J V", [self.jacobian], self.evaluator, (), body, columns)
        product = self.evaluator.transport.fetch(product)[: len(self)]
        return product.reshape(*self.shape[:-1], *array.shape[1:])

    @property
    def T(self) -> "Transposed":
        return Transposed(self)

    def gram(self, weights: ArrayLike) -> np.ndarray:
        """K w = J (Jᵀ w), K never formed.

        Args:
            weights: (N,), or (N, C) with C components.

        Returns:
            An array of the same shape.

        Raises:
            ValueError: the shape is another.
        """
        return self @ (self.T @ weights)

    @property
    def diagonal(self) -> np.ndarray:
        """The diagonal of K: |row of J|² at each point, for each component."""
        return evaluate(self.evaluator, self.jacobian.rows.gram().diagonal, {}, False, RESULT_LIMIT)

    @property
    def trace(self) -> float:
        """tr K."""
        return float(evaluate(self.evaluator, self.jacobian.rows.gram().trace, {}, False, RESULT_LIMIT))


@dataclass(frozen=True)
class Transposed:
    """Jᵀ."""

    products: Products
    __array_ufunc__ = None

    def __matmul__(self, weights: ArrayLike) -> Float[np.ndarray, " p"]:
        """Jᵀ w: one all-reduce of P numbers.

        Args:
            weights: (N,), or (N, C) with C components.

        Raises:
            ValueError: the shape is another.
        """
        J, array = self.products, checked_array("J.T @ array", weights, np.float64)
        if array.shape != J.shape[:-1]:
            raise ValueError(f"J.T @ array of shape {array.shape}: give {J.shape[:-1]}, one for each row of J")
        evaluator, layout = J.evaluator, J.jacobian.layout
        body = lambda c, sides, w: (transposed_product(c, sides[0], layout.own(w, c.rank)), ())  # noqa: E731
        replicated = as_jax(np.asarray(array, evaluator.dtype))
        return np.asarray(run_in_shards("Jᵀ w", [J.jacobian], evaluator, (), body, replicated)[0])
