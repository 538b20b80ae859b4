"""Values of expressions on a transport."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike

from .. import lower
from ..expr import Node, PointSet, Trainable, split
from ..parallel import ShardedRows, Transport
from .rewrite_rules import RULES
from .size_limits import blocks, refuse_oversized

Points = Mapping[str, Any]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates expressions at the points of the problem or new ones (`points`, by tag), with current parameters."""

    executor: lower.Executor
    parameters: Callable[[Trainable], Any]
    plans: dict[Any, Any] = field(default_factory=dict)  # by request and shapes

    def in_dtype(self, dtype: DTypeLike) -> "Evaluator":
        """An evaluator in another precision, of the same parameters and points."""
        executor = self.executor.in_dtype(dtype)

        def parameters(trainable: Trainable) -> Any:
            cast = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), self.parameters(trainable))
            return executor.transport.replicate(cast)

        return Evaluator(executor, parameters)

    @property
    def transport(self) -> Transport:
        return self.executor.transport

    @property
    def dtype(self) -> Any:
        return np.dtype(self.executor.dtype)

    def values(self, wanted: Sequence[Node], points: Points, sharded: bool, limit: int) -> list[Any]:
        """Values of expressions, in their order."""
        fields_and_groups = list(dict.fromkeys(part for node in wanted for part in split(node)))
        roots = lower.expand(fields_and_groups, RULES)
        placed = self.executor.place(lower.Program(tuple(roots)).tags, points)
        lower.refuse_arrays_at(roots, points, placed.counts)
        refuse_oversized(roots, placed.counts, self.dtype.itemsize, limit, sharded)
        parameters = {trainable: self.parameters(trainable) for trainable in lower.trainables_of(roots)}
        sizes = lower.group_sizes(roots)
        parts = {root: blocks(root) if sharded else [root] for root in roots}
        fields = [part for root in roots for part in parts[root]]
        computed = self.executor.compute([*fields, *sizes.values()], placed, parameters)
        refuse_empty_groups(sizes, computed, placed)
        values: dict[Node, Any] = {}
        for node, root in zip(fields_and_groups, roots, strict=True):
            if root.points is None:
                values[node] = np.asarray(computed[root])
            elif sharded:
                blocks_of_rows = [computed[part] for part in parts[root]]
                values[node] = ShardedRows(blocks_of_rows, placed.layouts[root.points], self.transport)
            else:
                values[node] = self.transport.fetch(computed[root])[: placed.counts[root.points]]
        return [_assembled(node, values, sharded) for node in wanted]

    def at(self, field: Node, points: Points) -> Any:
        """A field's values on this host, where new points may stand for other tags too."""
        assert field.points is not None
        own_points = {name: array for name, array in points.items() if name == field.points.tag}
        return self.values([field], own_points, False, 2**62)[0]

    def place(self, tag: PointSet, points: Points, group: Node | None = None) -> tuple[Any, Any]:
        """A tag's points on their devices and their layout; of a group, its points alone, dealt out anew."""
        own_points = {name: array for name, array in points.items() if name == tag.tag}
        if group is None:
            placed = self.executor.place([tag], own_points)
            return placed.rows[tag], placed.layouts[tag]
        inside = self.at(group, points)
        if not inside.any():
            raise ValueError(f"group {group} holds none of the {len(inside)} points of '{tag.tag}': nothing is asked")
        rows = tag.conform(own_points[tag.tag]) if own_points else self.executor.rows(tag)
        return self.executor.put(tag, rows[:][inside])


def refuse_empty_groups(sizes: Mapping[Node, Node], values: Mapping[Node, Any], placed: lower.Placed) -> None:
    """Raises ValueError where a reduction is over no point at all."""
    for group, size in sizes.items():
        if values[size] == 0:
            tag = group.points
            assert tag is not None
            raise ValueError(
                f"group {group} holds none of the {placed.layouts[tag].count} points of '{tag.tag}': a mean or "
                f"maximum over it is undefined. Change its condition, or add points there"
            )


def _assembled(node: Node, values: Mapping[Node, Any], sharded: bool) -> Any:
    parts = [values[part] for part in split(node)]
    if len(parts) == 1:
        return parts[0]
    if sharded:
        raise ValueError(f"{node}: a group's points lie unevenly on the devices; evaluate it without sharded=True")
    return parts[0][parts[1]]
