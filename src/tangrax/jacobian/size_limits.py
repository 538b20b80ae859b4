"""Cost of evaluating fields and rows of J, and refusals of results that are too large."""

import itertools
import math
from collections.abc import Mapping, Sequence

from ..expr import Node, PointSet, all_nodes, ops
from ..lower import Columns, Gathered, Placed
from .plan import FEWER, Plan, Way, as_size


def blocks(root: Node) -> list[Node]:
    """Splits a Jacobian into one field for each weight, side by side; other nodes are returned as they are.

    One array a weight is written once. A joined one costs as much again, in memory and time.
    """
    if not isinstance(root.op, ops.Jacobian):
        return [root]
    ends = [0]
    for selection in root.op.wrt:
        shapes = zip(selection.flags, selection.trainable.leaf_shapes, strict=True)
        ends += itertools.accumulate((math.prod(shape) for flag, shape in shapes if flag), initial=ends.pop())
    return [Node(Columns(a, b), root) for a, b in itertools.pairwise(ends)]


def refuse_oversized(
    roots: Sequence[Node], counts: Mapping[PointSet, int], itemsize: int, limit: int, sharded: bool
) -> None:
    """Raises ValueError if results, or arrays that opaque functions see, exceed `limit` bytes; allocates nothing.

    Results are the rows of fields among the roots, N numbers for each of their components (P of them for J).
    """
    for root in roots:
        if root.points is not None and not sharded:
            size = _bytes(root, counts, itemsize)
            if size > limit:
                raise ValueError(
                    f"{root} is an array of {_shape(root, counts)}, {as_size(size)}; results up to {as_size(limit)} "
                    f"are returned as one array. Take eval(..., sharded=True), which leaves the rows on their devices, "
                    f"restrict the Jacobian with net.mask(...), or evaluate at fewer points"
                )
    for node in all_nodes(roots):
        if isinstance(node.op, Gathered):
            size = _bytes(node.args[0], counts, itemsize)
            if size > limit:
                raise ValueError(
                    f"tx.np.function of {node}: every device would hold all of {_shape(node.args[0], counts)}, "
                    f"{as_size(size)}, more than {as_size(limit)}. Restrict the Jacobian with net.mask(...), or "
                    f"compute what you need from group means, J[group].mean"
                )


def _shape(field: Node, counts: Mapping[PointSet, int]) -> tuple[int, ...]:
    assert field.points is not None
    return (counts[field.points], *field.shape)


def _bytes(field: Node, counts: Mapping[PointSet, int], itemsize: int) -> int:
    size = itemsize
    for length in _shape(field, counts):
        size *= length
    return size


def plan_of_values(node: Node, root: Node, placed: Placed, itemsize: int, limit: int, sharded: bool) -> Plan:
    """Cost of `eval` of a field or term; `root` is the node in primitives."""
    shards = next(iter(placed.layouts.values())).shards if placed.layouts else 1
    if root.points is None:
        size, mend = itemsize * math.prod(root.shape), FEWER
    else:
        size = itemsize * math.prod(root.shape) * placed.layouts[root.points].rows
        mend = f"{FEWER}, or eval(..., sharded=True)"
    per_point = math.prod(root.shape) * (placed.layouts[root.points].rows if root.points is not None else 1)
    ways = [Way("rows, which stay on their devices", size, 2.0 * per_point)]
    if not sharded and root.points is not None:
        whole = _bytes(root, placed.counts, itemsize)
        ways = [Way("one array on the host", max(size, whole), 2.0 * per_point, whole)]
    return Plan(f"{node}", tuple(ways), limit, shards, mend)
