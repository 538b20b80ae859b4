"""The user's expression in primitives: reductions become sums, opaque functions become gathers."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from ..expr import Node, Selection, all_nodes, apply, arguments_first, ops, split, within
from .levels import moving, moving_args, moving_by, shared, trainables_of
from .primitives import Count, Gathered, PointMax, PointSum

Rule = Callable[[Node, Sequence[Node]], Node]


def expand(roots: Sequence[Node], rules: Mapping[type, Rule] | None = None) -> list[Node]:
    """The roots, rewritten from their arguments upwards.

    A rule takes a node and its arguments, rewritten already, and returns primitives; `rules` are those of floors above.
    """
    table = {**_RULES, **(rules or {})}
    rewritten: dict[Node, Node] = {}
    for node in all_nodes(roots):
        args = [rewritten[arg] for arg in node.args]
        rule = table.get(type(node.op))
        rewritten[node] = rule(node, args) if rule else _rebuilt(node, args)
    return [rewritten[root] for root in roots]


def total(field: Node) -> Node:
    """Sum of a field (or of `field[group]`) over its points."""
    return Node(PointSum(), *split(field))


def mean(field: Node) -> Node:
    """Mean of a field (or of `field[group]`) over its points, component by component."""
    inner, *group = split(field)
    if group:
        return total(field) / Node(PointSum(), apply(indicator, "indicator", *group))
    assert inner.points is not None
    return total(field) / Node(Count(inner.points))


def indicator(group):
    """1 in the group, 0 outside; its sum is the number of points in it."""
    return jnp.where(group, 1.0, 0.0)


def group_sizes(roots: Sequence[Node]) -> dict[Node, Node]:
    """The groups that the roots are reduced over, each with the term that counts its points."""
    groups = [node.args[1] for node in shared(roots) if len(node.args) == 2]
    return {group: Node(PointSum(), apply(indicator, "indicator", group)) for group in groups}


def gradient_of(term: Node, wrt: tuple[Selection, ...]) -> Node:
    """∂term/∂θ; a term of several numbers is differentiated number by number."""
    _refuse_second(term, wrt)
    term = _differentiable(term)
    if not term.shape:
        return Node(ops.Gradient(wrt), term)
    flat = apply(jnp.ravel, "ravel", term)
    rows = [Node(ops.Gradient(wrt), flat[i]) for i in range(flat.shape[0])]
    return apply(_Stack(term.shape), "stack", *rows)


class _Stack:
    """Rows, stacked and given the leading shape of the term they belong to; equal if the shapes are."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def __call__(self, *rows):
        return jnp.stack(rows).reshape(*self.shape, -1)

    def __eq__(self, other):
        return isinstance(other, _Stack) and self.shape == other.shape

    def __hash__(self):
        return hash(self.shape)


def _on_each(function: Callable, name: str, field: Node) -> Node:
    """A function of each point's value, inside the group if there is one."""
    inner, *group = split(field)
    return within(apply(function, name, inner), *group)


def _reduce(node: Node, args: Sequence[Node]) -> Node:
    assert isinstance(node.op, ops.Reduce)
    field = args[0]
    match node.op.kind:
        case "mean":
            return mean(_on_each(jnp.mean, "mean", field))
        case "mse":
            return mean(_on_each(mean_square, "mean_square", field))
        case "mae":
            return mean(_on_each(mean_abs, "mean_abs", field))
        case "sum":
            return total(_on_each(jnp.sum, "sum", field))
        case "max":
            return Node(PointMax(), *split(_on_each(jnp.max, "max", field)))
        case "min":
            return -Node(PointMax(), *split(_on_each(largest_negative, "largest_negative", field)))
        case "std":
            inner, *group = split(field)
            deviation = inner - mean(_on_each(jnp.mean, "mean", field))
            return apply(jnp.sqrt, "sqrt", mean(_on_each(mean_square, "mean_square", within(deviation, *group))))
    raise ValueError(f"unknown reduction '{node.op.kind}': one of {', '.join(ops.REDUCTIONS)}")


def mean_square(value):
    return jnp.mean(value * value)


def mean_abs(value):
    return jnp.mean(jnp.abs(value))


def largest_negative(value):
    return jnp.max(-value)


def _opaque(node: Node, args: Sequence[Node]) -> Node:
    assert isinstance(node.op, ops.Opaque)
    full = [Node(Gathered(), arg) if arg.points is not None else arg for arg in args]
    result = apply(node.op.function, node.op.name, *full)
    return result if node.points is None else Node(ops.Scattered(node.points), result)


def _jacobian(node: Node, args: Sequence[Node]) -> Node:
    """Terms inside the field have derivatives of their own, the same for every row."""
    assert isinstance(node.op, ops.Jacobian)
    field = _differentiable(args[0])
    wanted = {selection.trainable for selection in node.op.wrt}
    inner = [feed for feed in moving_by([field]) if wanted.intersection(trainables_of([feed]))]
    for feed in inner:
        if isinstance(feed.op, (Gathered, ops.Scattered)):
            raise ValueError(
                f"{node}: the field holds an opaque function of all points, whose rows depend on every point. Take "
                f"the Jacobian of what goes into it, or make it pointwise: tx.np.function(..., pointwise=True)"
            )
    sums = [feed for feed in inner if isinstance(feed.op, PointSum)]
    _refuse_second(field, node.op.wrt)
    op = ops.Jacobian(node.op.wrt, tuple(sums))
    return Node(op, field, *[gradient_of(feed, node.op.wrt) for feed in sums])


def _refuse_second(node: Node, wrt: tuple[Selection, ...]) -> None:
    """A gradient is put together from sums over shards; its own derivative would have to pass through them."""
    wanted = {selection.trainable for selection in wrt}
    for inner in moving([node]):
        if isinstance(inner.op, ops.Gradient) and wanted.intersection(trainables_of([inner])):
            raise ValueError(
                f"{node}.grad(…): it holds the gradient {inner}, which depends on the same parameters and cannot be "
                f"differentiated by them again. Rows can: take .mean_by_rows of a Jacobian in place of its .mean"
            )


def _gradient(node: Node, args: Sequence[Node]) -> Node:
    assert isinstance(node.op, ops.Gradient)
    return gradient_of(args[0], node.op.wrt)


def _differentiable(node: Node) -> Node:
    """A maximum as the mean of the values that attain it: the same number, with a derivative that is a sum."""
    parts = arguments_first([node], moving_args)
    if not any(isinstance(part.op, PointMax) for part in parts):
        return node
    rewritten: dict[Node, Node] = {}
    for part in parts:
        rebuilt = _rebuilt(part, [rewritten[arg] for arg in part.args]) if moving_args(part) else part
        rewritten[part] = _attained(rebuilt) if isinstance(part.op, PointMax) else rebuilt
    return rewritten[node]


def _attained(largest: Node) -> Node:
    field, *group = largest.args
    # Which values attain it is no matter of derivatives.
    attains = apply(_attains, "attains", *[apply(jax.lax.stop_gradient, "stop_gradient", n) for n in (field, largest)])
    for condition in group:
        attains = attains & condition
    return mean(Node(ops.Restrict(), field, attains))


def _attains(value, largest):
    # The value may be computed by another fused loop than the maximum was: allow a few roundings.
    return value >= largest - 8 * jnp.finfo(value.dtype).eps * jnp.abs(largest)


def _rebuilt(node: Node, args: Sequence[Node]) -> Node:
    if all(a is b for a, b in zip(args, node.args, strict=True)):
        return node
    return Node(node.op, *args)


_RULES: dict[type, Rule] = {
    ops.Label: lambda node, args: args[0],
    ops.Reduce: _reduce,
    ops.Opaque: _opaque,
    ops.Jacobian: _jacobian,
    ops.Gradient: _gradient,
}
