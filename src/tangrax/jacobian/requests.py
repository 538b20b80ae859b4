"""What is asked of all rows of a Jacobian: how it is answered."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..expr import Node, PointSet, Request, Trainable, ops
from ..lower import Placed, expand, shared, trainables_of
from ..parallel import ShardedRows, Transport, singular_values, singular_values_bytes
from .gram import Side, gram_program
from .means import RULES
from .rows import as_size
from .spectrum import Spectrum


@dataclass(frozen=True)
class Source:
    """What a solver has: values of fields as sharded rows, points on their devices, parameters."""

    transport: Transport
    evaluate: Callable[[list[Node]], list[ShardedRows]]
    place: Callable[[list[PointSet]], Placed]
    parameters: Callable[[list[Trainable]], Mapping[Trainable, Any]]
    itemsize: int
    programs: dict[Any, Any]  # compiled once


def answer(request: Request, source: Source, limit: int, sharded: bool) -> Any:
    """What a request is for: a `Spectrum`, or K.

    Raises before anything is computed if what each device would hold for it exceeds `limit` bytes.
    """
    return {"spectrum": _spectrum, "gram": _gram}[request.what](request, source, limit, sharded)


def _spectrum(request: Request, source: Source, limit: int, sharded: bool) -> Spectrum:
    rows, group = _split(request.node)
    points = source.place([_tag(rows)]).counts[_tag(rows)]
    *components, columns = rows.shape
    each = math.prod(components)
    shards = source.transport.size
    size = singular_values_bytes(points * each, columns, shards, source.itemsize)
    if size > limit:
        raise ValueError(
            f"{request} of {points * each} rows and {columns} parameters takes {as_size(size)} on each of {shards} "
            f"device(s), more than {as_size(limit)}: take fewer points (points=), fewer parameters (net.mask), more "
            f"devices, or a higher limit="
        )
    values, *kept = source.evaluate([rows, *group])
    count = each * (points if not kept else int(np.sum(kept[0].gather())))
    if count == 0:
        raise ValueError(f"{request}: the group holds none of the {points} points")
    found = singular_values(values, *kept)[: min(count, columns)]
    return Spectrum(found.astype(np.float64), count, columns, float(np.finfo(values.dtype).eps))


def _gram(request: Request, source: Source, limit: int, sharded: bool) -> np.ndarray | ShardedRows:
    """K as one array, (N·C, M·C'); with `sharded`, its rows on their devices."""
    nodes = [request.node] if request.other is None else [request.node, request.other]
    pairs = [_split(node) for node in nodes]
    tags = [_tag(rows) for rows, _ in pairs]
    placed = source.place(list(dict.fromkeys(tags)))
    components = [math.prod(rows.shape[:-1]) for rows, _ in pairs]
    shape = [placed.counts[tag] * each for tag, each in zip(tags, components, strict=True)]
    shape = shape if len(shape) == 2 else shape * 2
    size = math.prod(shape) * source.itemsize
    if sharded and (components[0] > 1 or any(group for _, group in pairs)):
        raise ValueError(f"{request}: of a group, or of several components, evaluate it without sharded=True")
    if not sharded and size > limit:
        raise ValueError(
            f"{request} is an array of {tuple(shape)}, {as_size(size)}; results up to {as_size(limit)} are returned as "
            f"one array. Take eval(..., sharded=True), which leaves its rows on their devices, or fewer points"
        )
    kernel = _kernel(pairs, tags, placed, source)
    if sharded:
        return kernel
    found = kernel.gather().reshape(shape)
    for axis, ((_, group), each) in enumerate(zip(pairs * (3 - len(pairs)), components * 2, strict=False)):
        if group:
            (kept,) = source.evaluate(group)
            found = np.compress(np.repeat(kept.gather(), each), found, axis=axis)
    return found


def _kernel(pairs: list[tuple[Node, list[Node]]], tags: list[PointSet], placed: Placed, source: Source) -> ShardedRows:
    """Of all points: by factors, or by rows where the field holds values of all points."""
    fields = expand([rows.args[0] for rows, _ in pairs], RULES)
    if any(shared([field]) for field in fields):
        first, *rest = source.evaluate([rows for rows, _ in pairs])
        return first @ (rest[0] if rest else first).T
    sides = [Side(field, rows.op.wrt) for field, (rows, _) in zip(fields, pairs, strict=True)]  # pyright: ignore[reportAttributeAccessIssue]
    wanted = list(dict.fromkeys([*trainables_of(fields), *(s.trainable for side in sides for s in side.wrt)]))
    run = gram_program(sides[0], sides[1] if len(sides) > 1 else None, placed.layouts)

    def program(collectives: Any, points: Any, parameters: Any) -> tuple[Any, Any]:
        here = dict(zip(placed.rows, points, strict=True))
        rows = run(collectives, here, dict(zip(wanted, parameters, strict=True)))
        return (), rows[:, 0] if rows.shape[1] == 1 else rows

    known = source.parameters(wanted)
    key = ("gram", tuple(sides), tuple(placed.counts.items()))
    if key not in source.programs:
        source.programs[key] = source.transport.spmd(program, "tangent kernel")
    _, found = source.programs[key](tuple(placed.rows.values()), [known[trainable] for trainable in wanted])
    return ShardedRows([found], placed.layouts[tags[0]], source.transport)


def _split(node: Node) -> tuple[Node, list[Node]]:
    """Rows, and the group that they are restricted to."""
    if isinstance(node.op, ops.Restrict):
        return node.args[0], [node.args[1]]
    return node, []


def _tag(node: Node) -> PointSet:
    assert node.points is not None
    return node.points
