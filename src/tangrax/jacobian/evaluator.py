"""Values of expressions on a transport."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from .. import lower
from ..expr import Node, PointSet, Trainable, split
from ..parallel import ShardedRows, Transport
from .limits import blocks, refuse_oversized
from .rewrite_rules import RULES

Points = Mapping[str, Any]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates at the points of the problem or new ones (`points`, by tag), with the parameters as they are."""

    executor: lower.Executor
    parameters: Callable[[Trainable], Any]
    plans: dict[Any, Any] = field(default_factory=dict)  # made once, as programs are compiled once

    def in_dtype(self, dtype: Any) -> "Evaluator":
        """One that computes in another precision, from the same parameters and points."""
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
        asked = list(dict.fromkeys(part for node in wanted for part in split(node)))
        roots = lower.expand(asked, RULES)
        placed = self.executor.place(lower.Program(tuple(roots)).tags, points)
        lower.refuse_arrays_at(roots, points, placed.counts)
        refuse_oversized(roots, placed.counts, self.dtype.itemsize, limit, sharded)
        parameters = {trainable: self.parameters(trainable) for trainable in lower.trainables_of(roots)}
        sizes = lower.group_sizes(roots)
        parts = {root: blocks(root) if sharded else [root] for root in roots}
        fields = [part for root in roots for part in parts[root]]
        computed = self.executor.compute([*fields, *sizes.values()], placed, parameters)
        refuse_empty_groups(sizes, computed, placed)
        found: dict[Node, Any] = {}
        for node, root in zip(asked, roots, strict=True):
            if root.points is None:
                found[node] = np.asarray(computed[root])
            elif sharded:
                held = [computed[part] for part in parts[root]]
                found[node] = ShardedRows(held, placed.layouts[root.points], self.transport)
            else:
                found[node] = self.transport.fetch(computed[root])[: placed.counts[root.points]]
        return [_assembled(node, found, sharded) for node in wanted]

    def at(self, field: Node, points: Points) -> Any:
        """A field's values on this host, where new points may stand for other tags too."""
        assert field.points is not None
        here = {name: array for name, array in points.items() if name == field.points.tag}
        return self.values([field], here, False, 2**62)[0]

    def place(self, tag: PointSet, points: Points, group: Node | None = None) -> tuple[Any, Any]:
        """A tag's points on their devices and their layout; of a group, its points alone, dealt out anew."""
        here = {name: array for name, array in points.items() if name == tag.tag}
        if group is None:
            placed = self.executor.place([tag], here)
            return placed.rows[tag], placed.layouts[tag]
        inside = self.at(group, points)
        if not inside.any():
            raise ValueError(f"group {group} holds none of the {len(inside)} points of '{tag.tag}': nothing is asked")
        rows = tag.conform(here[tag.tag]) if here else self.executor.rows(tag)
        return self.executor.put(tag, rows[:][inside])


def refuse_empty_groups(sizes: Mapping[Node, Node], values: Mapping[Node, Any], placed: lower.Placed) -> None:
    """Raise where a reduction is over no point at all."""
    for group, size in sizes.items():
        if values[size] == 0:
            tag = group.points
            assert tag is not None
            raise ValueError(
                f"group {group} holds none of the {placed.layouts[tag].count} points of '{tag.tag}': a mean or "
                f"maximum over it is undefined. Change its condition, or add points there"
            )


def _assembled(node: Node, found: Mapping[Node, Any], sharded: bool) -> Any:
    parts = [found[part] for part in split(node)]
    if len(parts) == 1:
        return parts[0]
    if sharded:
        raise ValueError(f"{node}: a group's points lie unevenly on the devices; evaluate it without sharded=True")
    return parts[0][parts[1]]
