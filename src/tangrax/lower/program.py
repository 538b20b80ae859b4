"""Expressions as one program for one shard, in rounds of communication."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..expr import Node, PointSet, Trainable, all_nodes
from ..expr.ops import Coordinate, Gradient, Scattered
from ..parallel import Collectives, Layout
from .gradient import Share, SumGradient, levels_match, swept_gradient
from .levels import changes, levels, needs_sweep, shared
from .pointwise import Values, evaluate
from .primitives import Exchange, Gathered, PointMax
from .shard_work import LocalTask, Pullback, PullbackResult, ShardRows, run_locally


@dataclass(frozen=True)
class ShardContext:
    """One shard: its collectives, and its rows of some tags, padding included."""

    collectives: Collectives
    layouts: Mapping[PointSet, Layout]
    points: Mapping[PointSet, Array]

    def of(self, tags: Sequence[PointSet]) -> "ShardContext":
        """The same with the rows of these tags alone."""
        return ShardContext(self.collectives, self.layouts, {tag: self.points[tag] for tag in tags})


@dataclass(frozen=True, eq=False)
class Program:
    """A computation of `roots`, primitives all of them, from parameters, points and values of `constants`."""

    roots: tuple[Node, ...]
    constants: tuple[Node, ...] = ()

    @property
    def tags(self) -> list[PointSet]:
        """The point sets that the roots are computed on."""
        tags = {n.op.points: None for n in all_nodes(self.roots) if isinstance(n.op, Coordinate)}
        return list(tags)

    @property
    def fixed(self) -> list[Node]:
        """Exchanged values that training does not change: computed once, they can be constants of another program."""
        return [n for n in shared(self.roots) if isinstance(n.op, Exchange) and not changes(n)]

    def run(
        self,
        shard: ShardContext,
        parameters: Mapping[Trainable, Any],
        constants: Sequence[Any] = (),
        limit: int | None = None,
    ) -> list[Any]:
        """Values of the roots: of terms the same on every shard, of fields this shard's rows, padding included.

        All that a round sums goes into one all-reduce. `limit` bounds the temporaries of a round in bytes.
        """
        leaves = jax.tree.leaves([list(shard.points.values()), list(parameters.values())])
        dtype = leaves[0].dtype if leaves else jnp.result_type(float)
        counts = {tag: layout.count for tag, layout in shard.layouts.items()}
        known = dict(zip(self.constants, constants, strict=True))
        values = Values(parameters, known, counts, dtype)
        rounds = _Rounds(self.roots, self.constants, shard, values, limit)
        return rounds.results(self.roots)


class _Rounds:
    """One evaluation of a program, round of communication by round."""

    def __init__(
        self,
        roots: Sequence[Node],
        constants: Sequence[Node],
        shard: ShardContext,
        values: Values,
        limit: int | None,
    ):
        self.collectives, self.layouts, self.values, self.limit = shard.collectives, shard.layouts, values, limit
        rank = self.collectives.rank
        self.shards = {tag: ShardRows(rows, self.layouts[tag].valid(rank)) for tag, rows in shard.points.items()}
        self.scattered: dict[Node, Array] = {}
        from_the_start = set(constants)
        remaining = [node for node in shared(roots) if node not in from_the_start]
        levels_of = levels(roots, constants)
        self.levels = levels_of
        self.gradients = {
            node: SumGradient(node, levels_of, values)
            for node in remaining
            if isinstance(node.op, Gradient) and not needs_sweep(node)
        }
        for level in range(-1, max(levels_of.values(), default=-1) + 1):
            nodes = [node for node in remaining if levels_of[node] == level]
            self._exchange([node for node in nodes if isinstance(node.op, Exchange)], level)
            self._derive([node for node in nodes if not isinstance(node.op, Exchange)])

    def results(self, roots: Sequence[Node]) -> list[Any]:
        """Values of terms, and fields row by row, after the last round."""
        values: dict[Node, Any] = {}
        terms = [root for root in roots if root.points is None]
        values.update(zip(terms, map(jnp.asarray, evaluate(terms, self.values)), strict=True))
        for tag in self.shards:
            fields = [root for root in roots if root.points is tag]
            _, rows, _ = self._local(tag, LocalTask(fields=fields))
            values.update(zip(fields, rows, strict=True))
        return [values[root] for root in roots]

    def _exchange(self, nodes: Sequence[Node], level: int) -> None:
        """One round: local work on every tag, then one sum (and what else must be collected)."""
        local: dict[Node, Any] = {}
        products: dict[Any, Share] = {}
        for tag in self.shards:
            task = LocalTask(values=[node for node in nodes if levels_match(node, self.levels, level, tag)])
            keys = []
            for gradient in self.gradients.values():
                for key, pull in gradient.pullbacks(level, tag, self.values):
                    task.pullbacks.append(pull)
                    keys.append(key)
            shares, _, results = self._local(tag, task)
            local.update(zip(task.values, shares, strict=True))
            for key, pull, result in zip(keys, task.pullbacks, results, strict=True):
                share = Share(result.selected, dict(zip(pull.feeds, result.feeds, strict=True)))
                # Added up here, so that the parts of different tags are one vector when they are sent.
                products[key] = products[key] + share if key in products else share
        sums = {n: v for n, v in local.items() if not isinstance(n.op, (PointMax, Gathered))}
        parts = [(share.selected, list(share.feeds.values())) for share in products.values()]
        totals, parts = self.collectives.sum((list(sums.values()), parts))
        known = dict(zip(sums, totals, strict=True))
        largest = [n for n in local if isinstance(n.op, PointMax)]
        if largest:
            of_shards = self.collectives.gather(jnp.stack([local[n] for n in largest])[None])
            known.update(zip(largest, of_shards.max(axis=0), strict=True))
        for node in local:
            if isinstance(node.op, Gathered):
                known[node] = self._all_rows(node.args[0].points, local[node])
        self.values = self.values.with_known(known)
        for (key, share), (selected, feeds) in zip(products.items(), parts, strict=True):
            gradient, which = key
            gradient.take(which, Share(selected, dict(zip(share.feeds, feeds, strict=True))))

    def _derive(self, nodes: Sequence[Node]) -> None:
        """Compute gradients, and fields scattered from values of all points, from the rounds so far."""
        for node in nodes:
            if node in self.gradients:
                value = self.gradients[node].value(self.values)
            elif isinstance(node.op, Scattered):
                value = jnp.asarray(evaluate([node.args[0]], self.values)[0])
                self.scattered[node] = self.layouts[node.op.points].own(value, self.collectives.rank)
                # The rows are per point: they are looked up there, not among the shared values.
                continue
            else:
                value = swept_gradient(node, self.values, self._pull_back, self.collectives.sum, self._all_rows)
            self.values = self.values.with_known({node: value})

    def _local(self, tag: PointSet, task: LocalTask) -> tuple[list[Any], list[Array], list[PullbackResult]]:
        if not (task.values or task.fields or task.pullbacks):
            return [], [], []
        scattered = {node: rows for node, rows in self.scattered.items() if node.points is tag}
        return run_locally(task, self.shards[tag], self.values, scattered, self.limit)

    def _pull_back(self, pull: Pullback) -> PullbackResult:
        """The local part of one product; weights of gathered values are cut down to this shard's rows."""
        tag = pull.nodes[0].args[0].points
        assert tag is not None
        own = [
            self.layouts[tag].own(c, self.collectives.rank) if isinstance(n.op, Gathered) else c
            for n, c in zip(pull.nodes, pull.cotangents, strict=True)
        ]
        task = LocalTask(pullbacks=[Pullback(pull.wrt, pull.nodes, tuple(own), pull.feeds, pull.scattered)])
        return self._local(tag, task)[2][0]

    def _all_rows(self, tag: PointSet | None, rows: Array) -> Array:
        assert tag is not None
        return self.collectives.gather(rows)[: self.layouts[tag].count]
