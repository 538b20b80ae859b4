"""∂r/∂W at a point as a few outer products, for any function of parameters and a point.

S (d₀ + d₁) numbers, of the S uses of a weight, stand for d₀ d₁. The kernel then follows from products of these numbers
alone, Σ_{p's uses s, q's uses t} (b_s·b_t)(a_s·a_t), and J is never formed. A bias that is added to a use's product has
b for its derivative: it adds 1 to (a_s·a_t) where both uses have it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from .weight_tracing import Function, Reader, Use, Weight, read_shapes


@dataclass(frozen=True)
class Split:
    """Leaves of J that go by factors, and biases that go with them; all others keep their columns of J."""

    weights: tuple[int, ...] = ()
    biases: tuple[int, ...] = ()

    def columns(self, leaves: Sequence[Any]) -> int:
        """Number of columns of J that are kept."""
        factored = {*self.weights, *self.biases}
        return sum(int(np.size(leaf)) for i, leaf in enumerate(leaves) if i not in factored)


class Factors(eqx.Module):
    """J at some points, C rows a point, without its matrices: Σ_s left_s right_sᵀ for each weight factored.

    `left` and `right` hold an array (…, C, S, d₀) and (…, C, S, d₁) for each of them; `rows` (…, C, P') are the columns
    of J for all other leaves. `ones` has for each weight the side on which a bias adds 1 to products,
    and for each use whether one does.
    """

    left: tuple[Array, ...]
    right: tuple[Array, ...]
    rows: Array | None
    ones: tuple[tuple[int, tuple[bool, ...]], ...] = eqx.field(static=True)


def factors_at(function: Function, leaves: Sequence[Any], point: Any, split: Split) -> Factors:
    """∂function/∂leaves at a point."""
    chosen = {*split.weights, *split.biases}
    reader = Reader()
    closed = read_shapes(reader, function, leaves, point, sorted(chosen))
    probes = [jnp.zeros(shape.shape, shape.dtype) for shape in reader.shapes]
    others = [index for index in range(len(leaves)) if index not in chosen]

    def probed(other_leaves: list[Any], probes: list[Any]) -> tuple[Any, list[Any]]:
        probing = Reader(probes)
        by_index = dict(zip(others, other_leaves, strict=True))
        values = [by_index[i] if i in by_index else Weight(i, leaf) for i, leaf in enumerate(leaves)]
        (value,) = probing.run(closed, [*values, *jax.tree.leaves(point)])
        return jnp.ravel(value), probing.others

    value, back, operands = jax.vjp(probed, [leaves[i] for i in others], probes, has_aux=True)
    by_leaf, cotangents = jax.vmap(back)(jnp.eye(len(value), dtype=value.dtype))
    rows = [leaf.reshape(len(value), -1) for leaf in by_leaf]
    pairs: dict[int, list[tuple[Array, Array]]] = {leaf: [] for leaf in split.weights}
    for use, operand in zip(reader.uses, operands, strict=True):
        pairs[use.leaf].append(_pair(use, operand, cotangents[use.probe]))
    return Factors(
        tuple(jnp.concatenate([left for left, _ in pairs[leaf]], axis=1) for leaf in split.weights),
        tuple(jnp.concatenate([right for _, right in pairs[leaf]], axis=1) for leaf in split.weights),
        jnp.concatenate(rows, axis=1) if rows else None,
        tuple(_ones(reader.uses, leaf) for leaf in split.weights),
    )


def laid_out(factors: Factors) -> Factors:
    """Factors of n points laid out for products of tiles: uses first, (S, n·C, d), and rows (n·C, P')."""

    def uses_first(array: Array) -> Array:
        n, components, uses, size = array.shape
        return jnp.moveaxis(array, 2, 0).reshape(uses, n * components, size)

    rows = None if factors.rows is None else factors.rows.reshape(-1, factors.rows.shape[-1])
    left, right = (tuple(map(uses_first, side)) for side in (factors.left, factors.right))
    return Factors(left, right, rows, factors.ones)


def kernel(p: Factors, q: Factors, dtype: DTypeLike | None = None) -> Float[Array, "n m"]:
    """J_p J_qᵀ from the factors of two sets of points, as `factors_at` gives them, C rows a point."""
    return product(laid_out(_one_axis(p)), laid_out(_one_axis(q)), dtype)


def product(p: Factors, q: Factors, dtype: DTypeLike | None = None) -> Float[Array, "n m"]:
    """J_p J_qᵀ of factors that are laid out, added up in `dtype`."""
    total: Any = 0
    if p.rows is not None and q.rows is not None:
        total = _dot(p.rows, q.rows, dtype)
    for index, sides in enumerate(zip(p.left, q.left, p.right, q.right, strict=True)):
        left_p, left_q, right_p, right_q = sides
        (uses, n, _), (others, m, _) = left_p.shape, left_q.shape
        # One matrix product a side, of all uses with all uses; uses first, so that sums run over whole rows.
        products = [_dot(_stacked(left_p), _stacked(left_q), dtype), _dot(_stacked(right_p), _stacked(right_q), dtype)]
        products = [side.reshape(uses, n, others, m) for side in products]
        (side, ones_p), (_, ones_q) = p.ones[index], q.ones[index]
        if any(ones_p) and any(ones_q):
            products[side] += np.outer(ones_p, ones_q)[:, None, :, None].astype(products[side].dtype)
        total = total + (products[0] * products[1]).sum(axis=(0, 2))
    return total


def _dot(a: Array, b: Array, dtype: Any) -> Array:
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), preferred_element_type=dtype)


def _stacked(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


def _one_axis(factors: Factors) -> Factors:
    """Factors with one axis of points, given with none, one or several."""

    def points_first(array: Array, axes: int) -> Array:
        ahead = array.shape[: array.ndim - axes]
        return array.reshape(math.prod(ahead), *array.shape[array.ndim - axes :])

    left, right = (tuple(points_first(a, 3) for a in side) for side in (factors.left, factors.right))
    return Factors(left, right, None if factors.rows is None else points_first(factors.rows, 2), factors.ones)


def _ones(uses: Sequence[Use], leaf: int) -> tuple[int, tuple[bool, ...]]:
    """The side of a weight's factors on which its bias adds 1, and for each use whether it does."""
    uses = [use for use in uses if use.leaf == leaf]
    side = next((use.axis for use in uses if use.bias is not None), 0)
    return side, tuple(use.bias is not None for use in uses for _ in range(use.columns))


def _pair(use: Use, other: Array, cotangent: Array) -> tuple[Array, Array]:
    """Factors (C, columns, d₀) and (C, columns, d₁) of one use, from its operand and its result's cotangent."""
    vectors = jnp.moveaxis(other, use.other_axis, -1)
    vectors = vectors.reshape(-1, vectors.shape[-1])
    cotangents = jnp.moveaxis(cotangent, 1, -1) if use.first else cotangent
    cotangents = cotangents.reshape(len(cotangent), len(vectors), -1)
    vectors = jnp.broadcast_to(vectors, (len(cotangent), *vectors.shape))
    return (vectors, cotangents) if use.axis == 0 else (cotangents, vectors)
