"""Conflict between gradients: cosines, norms and projections."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .masks import Selection
from .node import Node, apply
from .ops import Apply, Gradient, Jacobian, Label, RowMean


def cosine(a: Any, b: Any = None, *, per_leaf: bool = False) -> Node:
    """Cosine similarity of gradients, normalised: 1 they help each other, 0 independent, -1 they conflict.

    Args:
        a: a term of P numbers (`term.grad(net)`, `J[group].mean`), or a list of G of them. Larger arrays are flattened.
        b: the second of a pair.
        per_leaf: the same for each of the L parameter leaves that the gradients are by, in the order of
            `net.leaf_names`.

    Returns:
        A term: one number of a pair, the matrix (G, G) of a list; (L,) and (L, G, G) with `per_leaf`. Zero where a
        vector is zero.

    Raises:
        TypeError: one of them is a field, or one number.
        ValueError: there are fewer than two, or with `per_leaf` they are by other parameters.
    """
    vectors = _vectors("cosine", a if b is None else [a, b], least=2)
    function = _matrix if b is None else _pair
    if per_leaf:
        # The keyword does nothing but stand in the text of the node, as a person would write it.
        return apply(_LeafByLeaf(function, _leaf_sizes(vectors)), "cosine", *vectors, per_leaf=True)
    return _applied(function, "cosine", vectors)


def is_cosine(node: Node) -> bool:
    """True for what `cosine` returns."""
    function = node.op.function if isinstance(node.op, Apply) else None
    return function in (_pair, _matrix) or isinstance(function, _LeafByLeaf)


def norms(vectors: Any) -> Node:
    """Euclidean norms of gradients.

    Args:
        vectors: a list of G terms (`term.grad(net)`, `J[group].mean`). Larger arrays are flattened.

    Returns:
        A term (G,).

    Raises:
        TypeError: one of them is a field, or one number.
    """
    return _applied(_lengths, "norms", _vectors("norms", vectors, least=1))


def projections(vectors: Any) -> Node:
    """How far each gradient goes along each other: entry [i, j] is aᵢ·aⱼ/|aⱼ|.

    Negative where aᵢ goes against aⱼ; |aᵢ| on the diagonal; zero where aⱼ is zero.

    Args:
        vectors: a list of G terms (`term.grad(net)`, `J[group].mean`), two or more. Larger arrays are flattened.

    Returns:
        A term (G, G).

    Raises:
        TypeError: one of them is a field, or one number.
        ValueError: there are fewer than two.
    """
    return _applied(_shares, "projections", _vectors("projections", vectors, least=2))


def _vectors(what: str, gradients: Any, least: int) -> list[Any]:
    """Gradients as a list; raises for fewer than `least`, and for what is no gradient."""
    if isinstance(gradients, Node) and gradients.points is None and len(gradients.shape) < 2:
        raise TypeError(f"{what} of {gradients}: it is one vector. Give a list of them, {what}([a, b, c])")
    vectors = [gradients] if isinstance(gradients, Node) and gradients.points is not None else list(gradients)
    for vector in vectors:
        if not isinstance(vector, Node):
            continue
        if vector.points is not None:
            raise TypeError(
                f"{what} of {vector}: it has one value per point. Compare group means, J[group].mean, or "
                f"gradients of terms, term.grad(net)"
            )
        if not vector.shape:
            raise TypeError(
                f"{what} of {vector}: it is one number, with no direction. Take the gradient of the term, "
                f"term.grad(net)"
            )
    if len(vectors) < least:
        example = "cosine(a, b) or cosine([a, b, c])" if what == "cosine" else f"{what}([a, b, c])"
        raise ValueError(f"{what} needs {('', 'one vector', 'two vectors')[least]} or more: {example}")
    return vectors


def _applied(function: Callable[..., Any], name: str, vectors: Sequence[Any]) -> Any:
    if not any(isinstance(vector, Node) for vector in vectors):
        return function(*map(jnp.asarray, vectors))
    return apply(function, name, *vectors)


def _leaf_sizes(vectors: Sequence[Any]) -> tuple[int, ...]:
    """Sizes of the parameter leaves that all vectors are gradients by; raises where they are not."""
    first, *rest = [_wrt(vector) for vector in vectors]
    for vector, wrt in zip(vectors[1:], rest, strict=True):
        if [(s.trainable, s.flags) for s in wrt] != [(s.trainable, s.flags) for s in first]:
            raise ValueError(
                f"cosine(…, per_leaf=True) of {vectors[0]} and {vector}: the one is by {_text(first)} and the "
                f"other by {_text(wrt)}. Take both by the same networks, in one order and with the same mask"
            )
    return tuple(size for selection in first for size in selection.leaf_sizes)


def _wrt(vector: Any) -> tuple[Selection, ...]:
    """Parameters that a gradient is by; raises TypeError where that is not known."""
    node = vector
    while isinstance(node, Node) and isinstance(node.op, Label):
        node = node.args[0]
    if isinstance(node, Node) and isinstance(node.op, Gradient):
        return node.op.wrt
    if isinstance(node, Node) and isinstance(node.op, RowMean):
        rows = node.args[0] if isinstance(node.args[0].op, Jacobian) else node.args[0].args[0]
        assert isinstance(rows.op, Jacobian)
        return rows.op.wrt
    raise TypeError(
        f"cosine(…, per_leaf=True) of {vector}: only the gradient of a term, term.grad(net), or the mean of "
        f"Jacobian rows, J[group].mean, is known to have one part a leaf. Put factors and sums into the term: "
        f"(2 * a + b).grad(net)"
    )


def _text(wrt: Sequence[Selection]) -> str:
    return ", ".join(str(s.trainable) if all(s.flags) else ", ".join(s.leaf_names) for s in wrt)


@dataclass(frozen=True)
class _LeafByLeaf:
    """A function of vectors, applied to each leaf's part of them and stacked."""

    function: Callable[..., Any]
    sizes: tuple[int, ...]

    def __call__(self, *vectors: Array, per_leaf: bool) -> Float[Array, "leaves ..."]:
        results, start = [], 0
        for size in self.sizes:
            results.append(self.function(*[vector[..., start : start + size] for vector in vectors]))
            start += size
        return jnp.stack(results)


def _pair(a: Array, b: Array) -> Float[Array, ""]:
    return jnp.vdot(_polar(a)[1], _polar(b)[1])


def _matrix(*vectors: Array) -> Float[Array, "g g"]:
    units = jnp.stack([_polar(vector)[1] for vector in vectors])
    return units @ units.T


def _lengths(*vectors: Array) -> Float[Array, " g"]:
    return jnp.stack([_polar(vector)[0] for vector in vectors])


def _shares(*vectors: Array) -> Float[Array, "g g"]:
    return _lengths(*vectors)[:, None] * _matrix(*vectors)


def _polar(vector: Array) -> tuple[Float[Array, ""], Float[Array, " p"]]:
    """Length and direction, which is zero for a zero vector."""
    # Scaled by the largest entry first: squares of small float32 gradients would underflow.
    flat = vector.ravel()
    largest = jnp.max(jnp.abs(flat))
    scaled = flat / jnp.where(largest > 0, largest, 1)
    norm = jnp.linalg.norm(scaled)
    return largest * norm, scaled / jnp.where(norm > 0, norm, 1)
