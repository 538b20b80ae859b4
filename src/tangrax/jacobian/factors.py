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
from jaxtyping import Array, Float

from .weight_tracing import Function, Reader, Use, Weight, read_shapes


@dataclass(frozen=True)
class Split:
    """Which leaves of J go by factors, and which biases with them; all others keep their columns of J."""

    weights: tuple[int, ...] = ()
    biases: tuple[int, ...] = ()

    def columns(self, leaves: Sequence[Any]) -> int:
        """Columns of J that are kept."""
        gone = {*self.weights, *self.biases}
        return sum(int(np.size(leaf)) for i, leaf in enumerate(leaves) if i not in gone)


class Factors(eqx.Module):
    """J at some points, C rows a point, without its matrices: Σ_s left_s right_sᵀ for each weight factored.

    `left` and `right` hold an array (…, C, S, d₀) and (…, C, S, d₁) for each of them; `rows` (…, C, P') are the columns
    of J for all other leaves. `ones` says of each weight on which side a bias adds 1 to products, and of which uses.
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
    kept = [index for index in range(len(leaves)) if index not in chosen]

    def probed(others: list[Any], probes: list[Any]) -> tuple[Any, list[Any]]:
        probing = Reader(probes)
        moved = dict(zip(kept, others, strict=True))
        values = [moved[i] if i in moved else Weight(i, leaf) for i, leaf in enumerate(leaves)]
        (value,) = probing.run(closed, [*values, *jax.tree.leaves(point)])
        return jnp.ravel(value), probing.others

    value, back, others = jax.vjp(probed, [leaves[i] for i in kept], probes, has_aux=True)
    by_leaf, cotangents = jax.vmap(back)(jnp.eye(len(value), dtype=value.dtype))
    rows = [leaf.reshape(len(value), -1) for leaf in by_leaf]
    pairs: dict[int, list[tuple[Array, Array]]] = {leaf: [] for leaf in split.weights}
    for use, other in zip(reader.uses, others, strict=True):
        pairs[use.leaf].append(_pair(use, other, cotangents[use.probe]))
    return Factors(
        tuple(jnp.concatenate([left for left, _ in pairs[leaf]], axis=1) for leaf in split.weights),
        tuple(jnp.concatenate([right for _, right in pairs[leaf]], axis=1) for leaf in split.weights),
        jnp.concatenate(rows, axis=1) if rows else None,
        tuple(_ones(reader.uses, leaf) for leaf in split.weights),
    )


def laid_out(factors: Factors) -> Factors:
    """Factors of n points as the product of tiles wants them: uses first, (S, n·C, d), and rows (n·C, P')."""

    def uses_first(array: Array) -> Array:
        n, components, uses, size = array.shape
        return jnp.moveaxis(array, 2, 0).reshape(uses, n * components, size)

    rows = None if factors.rows is None else factors.rows.reshape(-1, factors.rows.shape[-1])
    left, right = (tuple(map(uses_first, side)) for side in (factors.left, factors.right))
    return Factors(left, right, rows, factors.ones)


def kernel(p: Factors, q: Factors, dtype: Any = None) -> Float[Array, "n m"]:
    """J_p J_qᵀ from the factors of two sets of points, as `factors_at` gives them, C rows a point."""
    return product(laid_out(_several(p)), laid_out(_several(q)), dtype)


def product(p: Factors, q: Factors, dtype: Any = None) -> Float[Array, "n m"]:
    """J_p J_qᵀ of factors laid out for it, added up in `dtype`."""
    found: Any = 0
    if p.rows is not None and q.rows is not None:
        found = _dot(p.rows, q.rows, dtype)
    for index, sides in enumerate(zip(p.left, q.left, p.right, q.right, strict=True)):
        left_p, left_q, right_p, right_q = sides
        (uses, n, _), (others, m, _) = left_p.shape, left_q.shape
        # One matrix product a side, of all uses with all uses; uses first, so that sums run over whole rows.
        products = [_dot(_stacked(left_p), _stacked(left_q), dtype), _dot(_stacked(right_p), _stacked(right_q), dtype)]
        products = [side.reshape(uses, n, others, m) for side in products]
        (side, mine), (_, theirs) = p.ones[index], q.ones[index]
        if any(mine) and any(theirs):
            products[side] += np.outer(mine, theirs)[:, None, :, None].astype(products[side].dtype)
        found = found + (products[0] * products[1]).sum(axis=(0, 2))
    return found


def _dot(a: Array, b: Array, dtype: Any) -> Array:
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), preferred_element_type=dtype)


def _stacked(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


def _several(factors: Factors) -> Factors:
    """Of one set of points, whether they came as one point, along one axis or along several."""

    def points_first(array: Array, axes: int) -> Array:
        ahead = array.shape[: array.ndim - axes]
        return array.reshape(math.prod(ahead), *array.shape[array.ndim - axes :])

    left, right = (tuple(points_first(a, 3) for a in side) for side in (factors.left, factors.right))
    return Factors(left, right, None if factors.rows is None else points_first(factors.rows, 2), factors.ones)


def _ones(uses: Sequence[Use], leaf: int) -> tuple[int, tuple[bool, ...]]:
    """The side of a weight's factors on which its bias, if it has one, stands beside a 1; for each use, whether."""
    uses = [use for use in uses if use.leaf == leaf]
    side = next((use.axis for use in uses if use.bias is not None), 0)
    return side, tuple(use.bias is not None for use in uses for _ in range(use.columns))


def _pair(use: Use, other: Array, cotangent: Array) -> tuple[Array, Array]:
    """Factors (C, columns, d₀) and (C, columns, d₁) of one use, from its operand and its result's cotangent."""
    met = jnp.moveaxis(other, use.other_axis, -1)
    met = met.reshape(-1, met.shape[-1])
    came = jnp.moveaxis(cotangent, 1, -1) if use.first else cotangent
    came = came.reshape(len(cotangent), len(met), -1)
    met = jnp.broadcast_to(met, (len(cotangent), *met.shape))
    return (met, came) if use.axis == 0 else (came, met)
