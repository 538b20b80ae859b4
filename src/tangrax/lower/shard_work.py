"""The local work of one shard on one tag's points between two rounds of communication, in chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..expr import Node, Selection
from .common_subexpressions import merged
from .guarded import guarded, moved
from .memory import chunks_within
from .pointwise import Values, evaluate, put_selected
from .primitives import Gathered, PointMax, PointSum

MANY = 32  # sums that are reduced as one array: the time XLA takes for separate ones grows as their square


@dataclass(frozen=True, eq=False)
class Pullback:
    """A vector-Jacobian product: Σ cotangent · ∂(shared value)/∂(parameters, shared values beneath it)."""

    wrt: tuple[Selection, ...]
    nodes: tuple[Node, ...]
    cotangents: tuple[Any, ...]
    feeds: tuple[Node, ...] = ()  # sums and gathered values that the nodes' fields hold
    scattered: tuple[Node, ...] = ()  # scattered fields that they hold: their share comes row by row


@dataclass(frozen=True)
class PullbackResult:
    """Result of a pull-back: leaves of each selection, one array a feed, rows for each scattered field."""

    selected: list[list[Array]]
    feeds: list[Array]
    scattered: list[Array]


@dataclass(eq=False)
class LocalTask:
    """The local work of one round on one tag: values to exchange, fields wanted row by row, pull-backs."""

    values: list[Node] = field(default_factory=list)
    fields: list[Node] = field(default_factory=list)
    pullbacks: list[Pullback] = field(default_factory=list)


@dataclass(frozen=True)
class ShardRows:
    """One shard's rows of a tag, and which of them are points, not padding."""

    points: Float[Array, "rows columns"]
    valid: Bool[Array, " rows"]


def run_locally(
    task: LocalTask, shard: ShardRows, values: Values, scattered: Mapping[Node, Array], limit: int | None
) -> tuple[list[Any], list[Array], list[PullbackResult]]:
    """Local contributions to `task.values`, rows of `task.fields`, and the local part of each pull-back.

    The shard's points are processed in chunks of equal size whose temporaries stay below `limit` bytes; sums
    differ from those of one chunk only by rounding.
    """
    rows = len(shard.valid)
    cotangent_rows = [
        [c if isinstance(n.op, Gathered) else None for n, c in zip(p.nodes, p.cotangents, strict=True)]
        for p in task.pullbacks
    ]
    inputs = (shard.points, shard.valid, list(scattered.values()), cotangent_rows)

    def of(chunk: Any) -> tuple[Any, Any]:
        points, valid, scattered_rows, cotangents = chunk
        scattered_here = dict(zip(scattered, scattered_rows, strict=True))
        return _chunk(task, values, points, valid, scattered_here, cotangents)

    count, whole = (1, of) if limit is None else chunks_within(limit, of, inputs)
    if count == 1:
        return _merged(task, *whole(inputs))
    size = -(-rows // count)
    inputs = jax.tree.map(lambda x: _in_chunks(x, count, size), inputs)
    points, valid, *rest = inputs
    real = jnp.arange(count * size).reshape(count, size) < rows
    inputs = (points, valid & real, *rest)
    shapes = jax.eval_shape(of, jax.tree.map(lambda x: x[0], inputs))
    start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes[0])
    start = (_lowest(task, start[0]), start[1])

    def step(carry: Any, chunk: Any) -> tuple[Any, Any]:
        sums, by_row = of(chunk)
        return _added(task, carry, sums), by_row

    sums, by_row = jax.lax.scan(step, start, inputs)
    by_row = jax.tree.map(lambda x: x.reshape(count * size, *x.shape[2:])[:rows], by_row)
    return _merged(task, sums, by_row)


def _chunk(
    task: LocalTask, values: Values, points: Any, valid: Any, scattered: Any, cotangent_rows: Any
) -> tuple[Any, Any]:
    """((sums and maxima, pull-backs to parameters and feeds), (rows, pull-backs to scattered fields, row by row))."""
    wanted = {node: None for pull in task.pullbacks for node in pull.nodes}
    results, computed = [], {}
    for pull, rows_of in zip(task.pullbacks, cotangent_rows, strict=True):

        def of(selected: Any, feeds: Any, of_rows: Any, pull: Pullback = pull) -> Any:
            moved = values.with_parameters(put_selected(values.parameters, pull.wrt, selected))
            moved = moved.with_known(dict(zip(pull.feeds, feeds, strict=True)))
            fields_here = {**scattered, **dict(zip(pull.scattered, of_rows, strict=True))}
            return _contributions(pull.nodes, moved, points, valid, fields_here)

        selected = [selection.take(values.parameters[selection.trainable]) for selection in pull.wrt]
        outputs, back = jax.vjp(
            of, selected, [values.known[n] for n in pull.feeds], [scattered[n] for n in pull.scattered]
        )
        computed.update(zip(pull.nodes, outputs, strict=True))
        pairs = zip(pull.cotangents, rows_of, strict=True)
        results.append(back([c if r is None else jnp.where(_along(valid, r), r, 0) for c, r in pairs]))
    # A value whose gradient is pulled back is known from that pass: computing it apart would cost a second one.
    rest = [node for node in task.values if node not in wanted]
    computed.update(zip(rest, _contributions(rest, values, points, valid, scattered), strict=True))
    summed = (
        [computed[n] for n in task.values if not isinstance(n.op, Gathered)],
        [(s, f) for s, f, _ in results],
    )
    gathered = [computed[n] for n in task.values if isinstance(n.op, Gathered)]
    rows = _at_points(task.fields, values, points, scattered)
    return summed, (gathered, rows, [r for _, _, r in results])


def _contributions(
    nodes: Sequence[Node], values: Values, points: Any, valid: Any, scattered: Mapping[Node, Array]
) -> list[Any]:
    """A chunk's share of each exchanged value."""
    restricted = guarded(nodes)
    fields = list(dict.fromkeys(arg for node in nodes for arg in node.args if arg not in restricted))
    at = dict(zip(fields, _at_points(fields, values, points, scattered), strict=True))
    for groups in dict.fromkeys(restricted.values()):
        inside = valid & reduce(jnp.logical_or, [at[group] for group in groups])
        fields = [field for field, its in restricted.items() if its == groups]
        at.update(zip(fields, _at_points(fields, *moved(inside, values, points, scattered)), strict=True))

    def counted(groups: tuple[Node, ...]) -> Any:
        """Points in the groups. Padding is masked before sums, and with it in pull-backs: 0 x NaN would be NaN."""
        return reduce(jnp.logical_and, [at[group] for group in groups], valid)

    sums: dict[tuple[Node, ...], list[Node]] = {}  # of numbers a point, by the groups that they are over
    for node in nodes:
        if isinstance(node.op, PointSum) and at[node.args[0]].ndim == 1:
            sums.setdefault(node.args[1:], []).append(node)
    shares: dict[Node, Any] = {}
    for groups, together in sums.items():
        if len(together) >= MANY:
            rows = jnp.stack([at[node.args[0]] for node in together])
            shares.update(zip(together, jnp.where(counted(groups), rows, 0).sum(axis=1), strict=True))
    for node in nodes:
        value = at[node.args[0]]
        if isinstance(node.op, Gathered):
            shares[node] = value
        if node in shares:
            continue
        mask = counted(node.args[1:])
        if isinstance(node.op, PointSum):
            shares[node] = jnp.where(_along(mask, value), value, 0).sum(axis=0)
        else:
            assert isinstance(node.op, PointMax)
            shares[node] = jnp.where(mask, value, -jnp.inf).max()
    return [shares[node] for node in nodes]


def _at_points(fields: Sequence[Node], values: Values, points: Any, scattered: Mapping[Node, Array]) -> list[Any]:
    """Each field at each point of the chunk: the one place where points meet `vmap`."""
    if not fields:
        return []

    def at(point: Array, rows: Any) -> list[Any]:
        own = dict(zip(scattered, rows, strict=True))
        at_this_point = Values(values.parameters, values.known, values.counts, values.dtype, own)
        return [jnp.asarray(value) for value in evaluate(fields, at_this_point, point)]

    return jax.vmap(merged(at))(points, list(scattered.values()))


def _along(mask: Array, value: Array) -> Array:
    """The mask of points, shaped to fit values of several components."""
    return mask.reshape(mask.shape + (1,) * (value.ndim - 1))


def _in_chunks(rows: Array, count: int, size: int) -> Array:
    missing = count * size - len(rows)
    padded = jnp.concatenate([rows, jnp.repeat(rows[-1:], missing, axis=0)])
    return padded.reshape(count, size, *rows.shape[1:])


def _are_maxima(task: LocalTask) -> list[bool]:
    """For each value that chunks add up to: whether it is a maximum, not a sum."""
    return [isinstance(node.op, PointMax) for node in task.values if not isinstance(node.op, Gathered)]


def _lowest(task: LocalTask, zeros: list[Any]) -> list[Any]:
    return [zero - jnp.inf if maximum else zero for maximum, zero in zip(_are_maxima(task), zeros, strict=True)]


def _added(task: LocalTask, a: Any, b: Any) -> Any:
    pairs = zip(_are_maxima(task), a[0], b[0], strict=True)
    values = [jnp.maximum(x, y) if maximum else x + y for maximum, x, y in pairs]
    return values, jax.tree.map(jnp.add, a[1], b[1])


def _merged(task: LocalTask, summed: Any, by_row: Any) -> tuple[list[Any], list[Array], list[PullbackResult]]:
    sums, pulled = summed
    gathered, rows, scattered = by_row
    sums, gathered = iter(sums), iter(gathered)
    values = [next(gathered) if isinstance(node.op, Gathered) else next(sums) for node in task.values]
    pulls = [PullbackResult(s, f, r) for (s, f), r in zip(pulled, scattered, strict=True)]
    return values, rows, pulls
