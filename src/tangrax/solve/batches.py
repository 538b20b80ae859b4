"""Mini-batches: each step sees some of a tag's points, the same ones on any number of devices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ..expr import Node, PointSet
from ..expr.points import Rows
from ..lower import Executor, group_sizes
from ..parallel import Layout

SHUFFLE = 4  # first word of the key that shuffles points; moving and held-out points have others


@dataclass(frozen=True)
class Batches:
    """How many points of each tag a step sees: epoch e sees batch e mod m of m."""

    sizes: Mapping[PointSet, int]
    _placed: dict[PointSet, tuple[Rows, jax.Array]] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Any, names: Mapping[str, PointSet], weighted: Sequence[PointSet] = ()) -> "Batches":
        """Checked sizes, by the names of the tags that terms are on."""
        if batch is None:
            return cls({})
        if not isinstance(batch, Mapping):
            raise TypeError(f"tx.core(batch={batch!r}): give the points a step sees by tag: {{'interior': 1000}}")
        for name, size in batch.items():
            if name not in names:
                raise ValueError(f"tx.core(batch=…): no term is on '{name}'; terms are on {', '.join(names)}")
            if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or size < 1:
                raise ValueError(f"tx.core(batch={{'{name}': {size!r}}}): give a whole number of points, 1 or more")
            count = len(names[name])
            if size > count:
                raise ValueError(f"tx.core(batch={{'{name}': {size}}}): the tag has {count} points; give no more")
            if names[name] in weighted:
                raise ValueError(
                    f"tx.core(batch=…): each point of '{name}' has a weight of its own (self_adaptive, "
                    f"residual_attention), which only steps on all points can learn: leave out one of the two"
                )
        return cls({names[name]: int(size) for name, size in batch.items()})

    def check(self, roots: Sequence[Node]) -> None:
        """Raise ValueError if expanded terms hold groups of points, of which a batch may have none."""
        for group in group_sizes(roots):
            tag = group.points
            if tag is not None and tag in self.sizes:
                raise ValueError(
                    f"tx.core(batch=…): a term is on {group}, a group of '{tag.tag}', of which a batch may hold no "
                    f"point: take a tag of its own for it, or all points of '{tag.tag}'"
                )

    def fingerprint(self) -> list[str]:
        """The sizes in lines that are the same in every process."""
        return [f"{size} points of '{tag.tag}' a step" for tag, size in self.sizes.items()]

    def layouts(self, shards: int) -> dict[PointSet, Layout]:
        return {tag: Layout(size, shards) for tag, size in self.sizes.items()}

    def place(self, executor: Executor) -> dict[PointSet, jax.Array]:
        """Put all batches on the devices, (D · rows, m, columns): a shard holds its part of each."""
        for tag, layout in self.layouts(executor.transport.size).items():
            current, (placed, _) = executor.rows(tag), self._placed.get(tag, (None, None))
            if placed is not current:
                rows = executor.transport.place(layout.batches(_shuffled(executor.agreed(tag)), executor.dtype))
                self._placed[tag] = (current, rows)
        return {tag: self._placed[tag][1] for tag in self.sizes}


def _shuffled(rows: Rows) -> Rows:
    """Rows in an order whose every stretch is spread over the whole set.

    Points that are made lazily lie in the order of their sequence, any stretch of which is even; those
    of a grid, of sides one after the other, or of a file are shuffled, always in the same way.
    """
    if not isinstance(rows, np.ndarray):
        return rows
    return rows[np.random.default_rng([SHUFFLE, len(rows)]).permutation(len(rows))]
