"""∂r/∂W at a point as a few outer products, found in the trace of any function of parameters and a point.

Where a weight matrix W meets a vector a, and b is the cotangent of their product, ∂r/∂W gains b aᵀ. A residual with
derivatives uses each weight a handful of times, S, so that S (d₀ + d₁) numbers stand for d₀ d₁. The kernel then follows
from products of these numbers alone:  Σ_{p's uses s, q's uses t} (b_s·b_t)(a_s·a_t),  and J is never formed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array, Float

# Calls that are entered when a weight goes into them: what they hold gives the same values outside.
CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2", "remat")
INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")
# What a multiplication of factors costs, in those of rows: small matrices multiply at a lower rate. With 2, nets of
# width 32 keep rows for residuals and take factors for values, which is where measured times cross.
PRICE = 2.0
# What multiplying and adding up one pair of uses costs besides, in the same unit: it is bound by memory.
PAIR = 200.0


class Factors(NamedTuple):
    """J at some points, C rows a point, without its matrices: Σ_s left_s right_sᵀ for each weight factored.

    `left` and `right` hold an array (…, C, S, d₀) and (…, C, S, d₁) for each of them; `rows` (…, C, P') are the columns
    of J for all other leaves.
    """

    left: tuple[Array, ...]
    right: tuple[Array, ...]
    rows: Array


@dataclass(frozen=True)
class Weight:
    """A leaf as an operation in the trace sees it: reshaped or cast by `chain`, then transposed or not."""

    leaf: int
    value: Array
    chain: tuple[Any, ...] = ()
    turned: bool = False


@dataclass(frozen=True)
class Use:
    """A product of a weight with `other`: which axes of both are summed over, and the shape of the result."""

    leaf: int
    chain: tuple[Any, ...]
    axis: int  # of the leaf as its chain leaves it
    first: bool  # whether the weight is the first operand
    other_axis: int
    columns: int  # vectors of `other`
    probe: int  # which probe stands at the result
    shape: tuple[int, int]


class _Reader:
    """Computes a traced function, looking at what becomes of its weights."""

    def __init__(self, probes: Sequence[Any] | None = None):
        self.probes = probes
        self.uses: list[Use] = []
        self.others: list[Array] = []
        self.shapes: list[jax.ShapeDtypeStruct] = []
        self.unfit: set[int] = set()

    def run(self, closed: ClosedJaxpr, arguments: Sequence[Any]) -> list[Any]:
        return [self._plain(value) for value in self._run(closed.jaxpr, closed.consts, arguments)]

    def _run(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        known: dict[Any, Any] = {}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else known[atom]

        known.update(zip(jaxpr.constvars, constants, strict=True))
        known.update(zip(jaxpr.invars, arguments, strict=True))
        for equation in jaxpr.eqns:
            values = [read(atom) for atom in equation.invars]
            found = self._apply(jaxpr, equation, values)
            known.update(zip(equation.outvars, found, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _plain(self, value: Any) -> Any:
        """A weight that is used as nothing but numbers: it has no factors."""
        if isinstance(value, Weight):
            self.unfit.add(value.leaf)
            return value.value
        return value

    def _apply(self, jaxpr: Jaxpr, equation: Any, values: list[Any]) -> list[Any]:
        if not any(isinstance(value, Weight) for value in values):
            return _bound(jaxpr, equation, values)
        name = equation.primitive.name
        inner = next((equation.params[key] for key in INSIDE if key in equation.params), None)
        if name in CALLS and inner is not None:
            if isinstance(inner, ClosedJaxpr):
                return self._run(inner.jaxpr, inner.consts, values)
            return self._run(inner, (), values)
        if name == "dot_general":
            found = self._product(jaxpr, equation, values)
            if found is not None:
                return [found]
        if len(values) == 1 and isinstance(values[0], Weight):
            seen = self._seen(jaxpr, equation, values[0])
            if seen is not None:
                return [seen]
        return _bound(jaxpr, equation, [self._plain(value) for value in values])

    def _seen(self, jaxpr: Jaxpr, equation: Any, weight: Weight) -> Weight | None:
        """The weight after an operation that only arranges its entries, or casts them."""
        (value,) = _bound(jaxpr, equation, [weight.value])
        name, params = equation.primitive.name, equation.params
        if name == "transpose" and params["permutation"] == (1, 0):
            return Weight(weight.leaf, value, weight.chain, not weight.turned)
        if name == "convert_element_type" and jnp.issubdtype(value.dtype, jnp.floating):
            return Weight(weight.leaf, value, weight.chain, weight.turned)
        if name in ("reshape", "squeeze", "transpose") and not weight.turned:
            step = (name, value.shape, params.get("permutation"))
            return Weight(weight.leaf, value, (*weight.chain, step))
        return None

    def _product(self, jaxpr: Jaxpr, equation: Any, values: list[Any]) -> Array | None:
        """A product with a probe added, whose cotangent is the one factor; the other operand is the other."""
        contracted, batch = equation.params["dimension_numbers"]
        if any(batch) or len(contracted[0]) != 1:
            return None
        place = len(self.shapes)
        plain = [value.value if isinstance(value, Weight) else value for value in values]
        uses = []
        for operand, value in enumerate(values):
            if not isinstance(value, Weight):
                continue
            if value.value.ndim != 2:
                self.unfit.add(value.leaf)
                continue
            axis, other = contracted[operand][0], plain[1 - operand]
            other_axis = contracted[1 - operand][0]
            uses.append(
                Use(
                    value.leaf,
                    value.chain,
                    1 - axis if value.turned else axis,
                    operand == 0,
                    other_axis,
                    int(other.size // other.shape[other_axis]),
                    place,
                    (value.value.shape[value.turned], value.value.shape[not value.turned]),
                )
            )
            self.others.append(other)
        (result,) = _bound(jaxpr, equation, plain)
        self.uses += uses
        self.shapes.append(jax.ShapeDtypeStruct(result.shape, result.dtype))
        return result if self.probes is None else result + self.probes[place]


def _bound(like: Jaxpr, equation: Any, values: Sequence[Any]) -> list[Any]:
    """The results of one operation of the program `like`."""
    pairs = {a: v for a, v in zip(equation.invars, values, strict=True) if not isinstance(a, Literal)}
    about = like.debug_info._replace(arg_names=None, result_paths=None)
    alone = like.replace(
        constvars=[],
        invars=list(pairs),
        outvars=equation.outvars,
        eqns=[equation],
        effects=equation.effects,
        debug_info=about,
    )
    return jaxpr_as_fun(ClosedJaxpr(alone, ()))(*pairs.values())


@dataclass(frozen=True)
class Found:
    """What a trace tells of each leaf: its uses, and whether they are all that becomes of it."""

    uses: tuple[Use, ...]
    unfit: frozenset[int]

    def chains(self, leaf: int) -> set[tuple[Any, ...]]:
        return {use.chain for use in self.uses if use.leaf == leaf}

    def worth(self, leaf: int) -> bool:
        """Whether factors of a leaf exist and are cheaper than its columns of J."""
        mine = [use for use in self.uses if use.leaf == leaf]
        if not mine or leaf in self.unfit or len(self.chains(leaf)) > 1:
            return False
        count, (first, second) = sum(use.columns for use in mine), mine[0].shape
        return PRICE * count**2 * (first + second + PAIR) < first * second


Function = Callable[[list[Any], Any], Any]


def look(function: Function, leaves: Sequence[Any], point: Any) -> Found:
    """What becomes of each leaf in `function(leaves, point)`; nothing is computed."""
    reader = _Reader()
    _shapes_read(reader, function, leaves, point, range(len(leaves)))
    return Found(tuple(reader.uses), frozenset(reader.unfit))


def factors_at(function: Function, leaves: Sequence[Any], point: Any, chosen: Sequence[int]) -> Factors:
    """∂function/∂leaves at a point: `chosen` leaves by factors, all others by rows."""
    reader = _Reader()
    closed = _shapes_read(reader, function, leaves, point, chosen)
    probes = [jnp.zeros(shape.shape, shape.dtype) for shape in reader.shapes]
    kept = [index for index in range(len(leaves)) if index not in chosen]

    def probed(others: list[Any], probes: list[Any]) -> tuple[Any, list[Any]]:
        reader = _Reader(probes)
        moved = dict(zip(kept, others, strict=True))
        values = [moved[i] if i in moved else Weight(i, leaf) for i, leaf in enumerate(leaves)]
        (value,) = reader.run(closed, [*values, point])
        return jnp.ravel(value), reader.others

    value, back, others = jax.vjp(probed, [leaves[i] for i in kept], probes, has_aux=True)
    by_leaf, cotangents = jax.vmap(back)(jnp.eye(len(value), dtype=value.dtype))
    rows = [leaf.reshape(len(value), -1) for leaf in by_leaf]
    pairs: dict[int, list[tuple[Array, Array]]] = {leaf: [] for leaf in chosen}
    for use, other in zip(reader.uses, others, strict=True):
        pairs[use.leaf].append(_pair(use, other, cotangents[use.probe]))
    return Factors(
        tuple(jnp.concatenate([left for left, _ in pairs[leaf]], axis=1) for leaf in chosen),
        tuple(jnp.concatenate([right for _, right in pairs[leaf]], axis=1) for leaf in chosen),
        jnp.concatenate(rows, axis=1) if rows else jnp.zeros((len(value), 0), value.dtype),
    )


def kernel(p: Factors, q: Factors) -> Float[Array, "n m"]:
    """J_p J_qᵀ from the factors of two sets of points; a point of C components is C rows."""
    return by_rows(p, q) + by_pairs(p, q)


def by_rows(p: Factors, q: Factors) -> Float[Array, "n m"]:
    """The share of the leaves that keep rows."""
    return _listed(p.rows, 1) @ _listed(q.rows, 1).T


def by_pairs(p: Factors, q: Factors) -> Float[Array, "n m"]:
    """The share of the weights that are factored."""
    found = jnp.zeros((len(_listed(p.rows, 1)), len(_listed(q.rows, 1))), p.rows.dtype)
    for sides in zip(p.left, q.left, p.right, q.right, strict=True):
        left_p, left_q, right_p, right_q = (_listed(side, 2) for side in sides)
        # One matrix product a side: uses of p times uses of q.
        products = jnp.einsum("psd,qtd->psqt", left_p, left_q) * jnp.einsum("psd,qtd->psqt", right_p, right_q)
        found = found + products.sum(axis=(1, 3))
    return found


def _listed(array: Array, axes: int) -> Array:
    """All but the last `axes` axes made one; where these are empty, -1 would not do."""
    ahead = array.shape[: array.ndim - axes]
    return array.reshape(math.prod(ahead), *array.shape[array.ndim - axes :])


def _shapes_read(
    reader: _Reader, function: Function, leaves: Sequence[Any], point: Any, chosen: Sequence[int]
) -> ClosedJaxpr:
    """The trace of a function, read without computing; the leaves that are not chosen are plain numbers."""
    closed = jax.make_jaxpr(function)(list(leaves), point)

    def read(values: Sequence[Any], point: Any) -> list[Any]:
        return reader.run(closed, [*[Weight(i, v) if i in chosen else v for i, v in enumerate(values)], point])

    jax.eval_shape(read, list(leaves), point)
    return closed


def _pair(use: Use, other: Array, cotangent: Array) -> tuple[Array, Array]:
    """Factors (C, columns, d₀) and (C, columns, d₁) of one use, from its operand and its result's cotangent."""
    met = jnp.moveaxis(other, use.other_axis, -1)
    met = met.reshape(-1, met.shape[-1])
    came = jnp.moveaxis(cotangent, 1, -1) if use.first else cotangent
    came = came.reshape(len(cotangent), len(met), -1)
    met = jnp.broadcast_to(met, (len(cotangent), *met.shape))
    return (met, came) if use.axis == 0 else (came, met)
