"""An expression as a function of one point."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..expr import Node, PointSet, Selection, Trainable, arguments_first
from ..expr.ops import Apply, Call, Constant, Coordinate, Derivative, Jacobian, Laplacian
from ..expr.products import Push
from .common_subexpressions import merged
from .forward_laplacian import Axes, Sum, jets
from .laplacian_terms import collected
from .primitives import AtPoint, Columns, Count


@dataclass(frozen=True, eq=False)
class Values:
    """Inputs of an expression at a point: parameters, shared values known so far, numbers of points."""

    parameters: Mapping[Trainable, Any]
    known: Mapping[Node, Any]
    counts: Mapping[PointSet, int]
    dtype: Any
    rows: Mapping[Node, Any] = field(default_factory=dict)  # of scattered fields, at the point in hand
    one_pass: bool = False  # derivatives with the fewest uses of each weight, not with the fewest operations

    def with_known(self, more: Mapping[Node, Any]) -> "Values":
        return replace(self, known={**self.known, **more})

    def with_parameters(self, more: Mapping[Trainable, Any]) -> "Values":
        return replace(self, parameters={**self.parameters, **more})


def evaluate(roots: Sequence[Node], values: Values, point: Float[Array, " columns"] | None = None) -> list[Any]:
    """The values of the roots at one point; of terms, without a point.

    Each node is computed once. Of a field that is differentiated, all derivatives that the roots need along one
    chain of axes come from one pass of nested forward mode, lower orders included. With `one_pass`, those of up to
    second order of all fields come from one pass that takes a Laplacian as one: see forward_laplacian.py.
    """
    memo: dict[Node, Any] = {**values.known, **values.rows}
    scope = _in_scope(roots, memo)
    derivatives = [node for node in scope if isinstance(node.op, (Derivative, Laplacian))]
    if derivatives:
        assert point is not None
        if values.one_pass:
            memo.update(_in_one_pass(scope, derivatives, values, point))
            derivatives = [node for node in derivatives if node not in memo]
        for base, wanted in _requests(derivatives).items():
            along = _differentiate(base, wanted, values, point)
            memo[base] = along[()]
            for node in derivatives:
                if node.args[0] is base:
                    parts = [along[axes] for axes in _axes_of(node)]
                    memo[node] = sum(parts[1:], start=parts[0])
    for node in _in_scope(roots, memo):
        memo[node] = _value(node, memo, values, point)
    return [memo[root] for root in roots]


def _in_scope(roots: Sequence[Node], known: Mapping[Node, Any]) -> list[Node]:
    """Nodes still to be computed at this very point, arguments first.

    A derivative is not entered: what it differentiates is computed at points around this one. Nor is a Jacobian
    that is only multiplied.
    """

    def beneath(node: Node) -> Sequence[Node]:
        if node in known or isinstance(node.op, (Derivative, Laplacian, AtPoint)):
            return ()
        if isinstance(node.op, Push):
            rows, vector = node.args
            return (*rows.args[1:], vector)
        return node.args[1:] if isinstance(node.op, Jacobian) else node.args

    return [node for node in arguments_first(roots, beneath) if node not in known]


def _axes_of(node: Node) -> list[Axes]:
    """The derivatives whose sum a node is."""
    if isinstance(node.op, Laplacian):
        return [(axis, axis) for axis in node.op.axes]
    assert isinstance(node.op, Derivative)
    return [node.op.axes]


def _requests(derivatives: Sequence[Node]) -> dict[Node, set[Axes]]:
    wanted: dict[Node, set[Axes]] = {}
    for node in derivatives:
        wanted.setdefault(node.args[0], set()).update(_axes_of(node))
    return wanted


def _in_one_pass(
    scope: Sequence[Node], derivatives: Sequence[Node], values: Values, point: Float[Array, " columns"]
) -> dict[Node, Any]:
    """Derivatives of no more than second order, and what they are of, by one pass over all these fields.

    A field that is wanted to a higher order is left out. Networks that are wanted undifferentiated are taken along:
    what they have in common with the fields is then computed, and its weights used, once.
    """
    requests = _requests(derivatives)
    beyond = {base for base, wanted in requests.items() if max(map(len, wanted)) > 2}
    nodes = [node for node in derivatives if node.args[0] not in beyond]
    if not nodes:
        return {}
    sums: dict[Node, list[Sum]] = {node: [tuple(_axes_of(node))] for node in nodes}
    second = {total for (total,) in sums.values() if len(total[0]) == 2}
    single = {axes for total in second for axes in total}
    if len(single) <= len(second):  # as few coefficients, term by term
        sums = {node: [(axes,) for axes in total] for node, (total,) in sums.items()}
    calls = [node for node in scope if isinstance(node.op, Call) and node not in beyond]
    fields = list(dict.fromkeys([*(node.args[0] for node in nodes), *calls]))
    wanted = [{total for node in nodes if node.args[0] is field for total in sums[node]} for field in fields]
    jet_of = dict(zip(fields, jets(lambda p: evaluate(fields, values, p), point, wanted), strict=True))
    memo = {field: jet.value for field, jet in jet_of.items()}
    for node in nodes:
        jet = jet_of[node.args[0]]
        parts = [jet.along[total] for total in sums[node] if total in jet.along]
        memo[node] = sum(parts[1:], start=parts[0]) if parts else jnp.zeros_like(jet.value)
    return memo


def _differentiate(base: Node, wanted: set[Axes], values: Values, point: Float[Array, " columns"]) -> dict[Axes, Any]:
    """The field itself, (), and its derivatives along each of the sorted axes wanted."""
    derivatives: dict[Axes, Any] = {}
    for axes in sorted(wanted, key=len, reverse=True):
        if axes not in derivatives:
            along = _chain(lambda p: evaluate([base], values, p)[0], axes)(point)
            for order, value in enumerate(along):
                derivatives.setdefault(axes[:order], value)
    return derivatives


def _chain(function: Callable[[Array], Any], axes: Axes) -> Callable[[Array], tuple[Any, ...]]:
    """f, ∂₁f, ∂₂∂₁f, … by nested forward mode."""

    def extended(inner: Callable[[Array], tuple[Any, ...]], axis: int) -> Callable[[Array], tuple[Any, ...]]:
        def outer(point: Array) -> tuple[Any, ...]:
            # A constant, the same in every pass: see common_subexpressions.py.
            unit = np.eye(len(point), dtype=point.dtype)[axis]
            values, tangents = jax.jvp(inner, (point,), (unit,))
            return (*values, tangents[-1])

        return outer

    step: Callable[[Array], tuple[Any, ...]] = lambda point: (function(point),)  # noqa: E731
    for axis in axes:
        step = extended(step, axis)
    return step


def _value(node: Node, memo: Mapping[Node, Any], values: Values, point: Float[Array, " columns"] | None) -> Any:
    op = node.op
    match op:
        case Constant():
            if not op.shape:
                return op.data  # a Python number, so that x**2 stays an integer power
            array = op.value
            return jnp.asarray(array, values.dtype if array.dtype.kind == "f" else None)
        case Count():
            return values.counts[op.points]
        case Columns():
            return memo[node.args[0]][..., op.start : op.stop]
        case Coordinate():
            assert point is not None
            if op.axis >= len(point):  # which JAX would take for the last one
                raise ValueError(
                    f"{node} was measured at the points of '{op.points.tag}': of other points it says nothing. Leave "
                    f"it out where new points are given"
                )
            return point[op.axis]
        case Call():
            return op.trainable.apply(values.parameters[op.trainable], [memo[arg] for arg in node.args])
        case Apply():
            return op(*[memo[arg] for arg in node.args])
        case Jacobian():
            return _row(node, memo, values, point)
        case Push():
            return _pushed(node, memo, values, point)
        case AtPoint():
            return op.at(node, values, point)
    raise TypeError(f"{node} ({type(op).__name__}) is not computed point by point")


def _row(node: Node, memo: Mapping[Node, Any], values: Values, point: Float[Array, " columns"] | None) -> Any:
    """∂field/∂θ at one point, (P,), or (C, P) for C components."""
    of, selected, inner = _by_parameters(node, values, point)
    value, pull = jax.vjp(of, selected, inner)
    if value.shape == ():
        parts, through = pull(jnp.ones_like(value))
    else:
        basis = jnp.eye(value.size, dtype=value.dtype).reshape(-1, *value.shape)
        parts, through = jax.vmap(pull)(basis)
    lead = (value.size,) if value.shape else ()
    row = jnp.concatenate([part.reshape(*lead, -1) for part in jax.tree.leaves(parts)], axis=-1)
    for share, feed, term in zip(through, inner, node.args[1:], strict=True):
        row = row + jnp.tensordot(share, memo[term], axes=feed.ndim)
    return row.reshape(*value.shape, -1)


def _pushed(node: Node, memo: Mapping[Node, Any], values: Values, point: Float[Array, " columns"] | None) -> Any:
    """J v at one point by forward mode: v moves the parameters, and through them the terms inside the field."""
    rows, vector = node.args
    of, selected, inner = _by_parameters(rows, values, point)
    _, leaves_of = ravel_pytree(selected)

    def along(v: Float[Array, " p"]) -> Any:
        return jax.jvp(of, (selected, inner), (leaves_of(v), [memo[term] @ v for term in rows.args[1:]]))[1]

    directions = jnp.asarray(memo[vector], values.dtype)
    return along(directions) if directions.ndim == 1 else jax.vmap(along, in_axes=1, out_axes=-1)(directions)


def _by_parameters(
    node: Node, values: Values, point: Float[Array, " columns"] | None
) -> tuple[Callable[[list[list[Any]], list[Any]], Any], list[list[Any]], list[Any]]:
    """The field of a Jacobian at one point, of its leaves and the terms inside it; and what these are now."""
    op, field_node = node.op, node.args[0]
    assert isinstance(op, Jacobian)

    def of(selected: list[list[Any]], inner: list[Any]) -> Any:
        perturbed = values.with_parameters(put_selected(values.parameters, op.wrt, selected))
        perturbed = perturbed.with_known(dict(zip(op.inner, inner, strict=True)))
        return evaluate([field_node], perturbed, point)[0]

    selected = [selection.take(values.parameters[selection.trainable]) for selection in op.wrt]
    return of, selected, [values.known[feed] for feed in op.inner]


def put_selected(
    parameters: Mapping[Trainable, Any], wrt: Sequence[Selection], selected: Sequence[Sequence[Any]]
) -> dict[Trainable, Any]:
    """Parameters of the trainables in `wrt` with their selected leaves replaced."""
    return {
        selection.trainable: selection.put(parameters[selection.trainable], leaves)
        for selection, leaves in zip(wrt, selected, strict=True)
    }


def at_point(
    field: Node, wrt: Sequence[Selection], parameters: Mapping[Trainable, Any]
) -> Callable[[Sequence[Any], Float[Array, " columns"]], Any]:
    """A field without shared values beneath it as a function of the selected leaves, in a row, and a point."""
    counts = [sum(selection.flags) for selection in wrt]
    dtype = jax.tree.leaves(list(parameters.values()))[0].dtype
    gathered = collected(field)

    def function(leaves: Sequence[Any], point: Float[Array, " columns"]) -> Any:
        rest = iter(leaves)
        selected = [[next(rest) for _ in range(count)] for count in counts]
        perturbed = {**parameters, **put_selected(parameters, wrt, selected)}
        return jnp.asarray(evaluate([gathered], Values(perturbed, {}, {}, dtype, one_pass=True), point)[0])

    return merged(function)
