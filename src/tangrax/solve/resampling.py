"""Moves collocation points during training, by the rules of `tx.optim`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any
from zlib import crc32

import jax.numpy as jnp
import numpy as np

from ..expr import Node, PointSet, all_nodes, apply, ops
from ..jacobian import RULES, Evaluator
from ..lower import Placed, Program, expand, refuse_merged, trainables_of
from ..optim import Resampling, SamplingContext
from .compiled_loop import LONGEST
from .loss_terms import NonFiniteLoss, Terms

POINTS, NOISE = 2, 3  # first words of the keys of points and of noise; held-out points have another
IN_TEXT = "field", "interval"  # what the text of a rule says
MOVED = "resample/"  # in the history, before the name of a tag: how many of its points moved


@dataclass
class Resampler:
    """Moves the points of a problem between its epochs, by one rule a tag.

    `moved` tells at which epoch each tag has last moved: what is due at an epoch is done once, however often training
    is stopped and continued there.
    """

    rules: tuple[Resampling, ...]
    names: dict[str, PointSet]  # what terms are trained on; sets of several domains are told apart by a number
    evaluator: Evaluator
    moved: dict[PointSet, int] = field(default_factory=dict)

    @classmethod
    def of(cls, resample: Any, terms: Terms, evaluator: Evaluator, weighted: Sequence[PointSet] = ()) -> "Resampler":
        """Checked rules; raises where they do not go together, or not with the terms and `weighted` points."""
        rules = tuple(resample) if isinstance(resample, Sequence) else () if resample is None else (resample,)
        for rule in rules:
            if not isinstance(rule, Resampling):
                raise TypeError(
                    f"tx.core(resample={rule!r}): give what tx.optim.uniform, rad, rar_d or r3 returned, or a list of "
                    f"them"
                )
        names = _named(list(terms.losses.values()))
        trained = list(names.values())
        for tag in trained:
            refuse_merged(tag, tag.rows, evaluator.dtype)
        for index, rule in enumerate(rules):
            if rule.points in [earlier.points for earlier in rules[:index]]:
                raise ValueError(
                    f"tx.core(resample=…): two rules move the points of '{rule.points.tag}': give one for each tag"
                )
            if rule.points not in trained:
                raise ValueError(
                    f"tx.core(resample=…): {rule} would move {rule.points}, which no term is trained on: the terms are "
                    f"on {', '.join(map(repr, trained))}"
                )
            if rule.points in weighted:
                raise ValueError(
                    f"tx.core(resample=…): the points of '{rule.points.tag}' move, and each has a weight of its own "
                    f"(self_adaptive, residual_attention): leave out one of the two"
                )
        moving = {rule.points for rule in rules}
        roots = [*terms.losses.values(), *(tracker.root for tracker in terms.trackers.values())]
        for node in all_nodes([*roots, *(rule.field for rule in rules)]):
            if isinstance(node.op, (ops.Scattered, ops.Measured)) and node.op.points in moving:
                raise ValueError(
                    f"tx.core(resample=…): the points of '{node.op.points.tag}' move, and a term, tracker or residual "
                    f"holds {node}, an entry for each of the first points: write it as a field of the "
                    f"coordinates"
                )
        return cls(rules, names, evaluator)

    def fingerprint(self) -> list[str]:
        """The rules in lines that are the same in every process."""
        lines = []
        for rule in self.rules:
            options = {option.name: getattr(rule, option.name) for option in fields(rule) if option.name not in IN_TEXT}
            # Of a function its name: its own text has an address in it.
            words = [
                f"{name}={getattr(value, '__qualname__', repr(value))}"
                for name, value in options.items()
                if name not in IN_TEXT
            ]
            lines.append(f"{rule} of {', '.join(words)}")
        return lines

    def due(self, epoch: int) -> list[Resampling]:
        """Rules whose tags move before an epoch: at their `interval`, 2 · `interval`, …"""
        return [rule for rule in self._alive() if epoch % rule.interval == 0 and epoch > self.moved.get(rule.points, 0)]

    def until(self, epoch: int) -> int:
        """How many epochs can be run from `epoch` on before points move."""
        return min((rule.interval - epoch % rule.interval for rule in self._alive()), default=LONGEST)

    def move(self, epoch: int) -> dict[str, int]:
        """Move the tags that are due; returns how many points are new, by the names of the tags."""
        # All are chosen before any tag moves: a residual may hold terms on the points of another rule's tag.
        choices = {rule.points: self._choose(rule, epoch) for rule in self.due(epoch)}
        for tag, (coordinates, _) in choices.items():
            self.evaluator.executor.move(tag, coordinates)
            self.moved[tag] = epoch
        return {name: choices[tag][1] for name, tag in self.names.items() if tag in choices}

    def counts(self) -> dict[PointSet, int]:
        """How many points each tag has now."""
        return {tag: len(self.evaluator.executor.rows(tag)) for tag in self.names.values()}

    def counted(self) -> dict[str, int]:
        """How many points each tag has now, by its name."""
        counts = self.counts()
        return {name: counts[tag] for name, tag in self.names.items()}

    def coordinates(self, tag: Any) -> np.ndarray:
        """The current points of a tag, by its name, or of a field."""
        if isinstance(tag, Node) and tag.points is not None:
            return self.evaluator.executor.coordinates(tag.points).copy()
        tagged = [points for points in self.names.values() if points.tag == tag]
        if len(tagged) != 1:
            why = "several domains have it: give a field on it" if tagged else "terms are on " + ", ".join(self.names)
            raise ValueError(f"solver.points({str(tag)!r}): {why}")
        return self.evaluator.executor.coordinates(tagged[0]).copy()

    def saved(self) -> dict[str, tuple[str, int, np.ndarray]]:
        """Domain, epoch and current points of each tag that has moved, by its name."""
        moved = self.evaluator.executor.moved
        return {n: (t.domain, self.moved.get(t, 0), moved[t]) for n, t in self.names.items() if t in moved}

    def take(self, saved: Mapping[str, tuple[str, int, np.ndarray]]) -> None:
        """Take points as `saved` returned them; tags that had not moved, or of another domain, get their first ones."""
        alike = {n: t for n, t in self.names.items() if n in saved and saved[n][0] == t.domain}
        for name, tag in alike.items():
            if (columns := saved[name][2].shape[1]) != len(tag.axes):
                raise ValueError(f"saved points of '{name}' have {columns} columns and its own {len(tag.axes)}")
        self.restore({}, {t: saved[n][1] for n, t in alike.items()})
        for name, tag in alike.items():
            self.evaluator.executor.move(tag, saved[name][2])

    @contextmanager
    def undone_by_failure(self) -> Iterator[None]:
        """Points stay where they were if what is done with the new ones fails."""
        now = self.now()
        try:
            yield
        except BaseException:
            self.restore(*now)
            raise

    def now(self) -> tuple[dict[PointSet, np.ndarray], dict[PointSet, int]]:
        """Moved points, and when they moved, for `restore`."""
        return dict(self.evaluator.executor.moved), dict(self.moved)

    def restore(self, where: Mapping[PointSet, np.ndarray], when: Mapping[PointSet, int]) -> None:
        """Put back points that had moved, and at which epoch; all others are as at first."""
        self.evaluator.executor.restore(where)
        self.moved = dict(when)

    def _alive(self) -> list[Resampling]:
        """Rules whose tags move any more."""
        counts = self.counts()
        return [rule for rule in self.rules if rule.moves(counts[rule.points])]

    def _choose(self, rule: Resampling, epoch: int) -> tuple[np.ndarray, int]:
        tag = rule.points

        def draw(count: int) -> np.ndarray:
            return tag.draw(count, POINTS, rule.seed, epoch)

        random = np.random.default_rng([NOISE, crc32(tag.tag.encode()), rule.seed, epoch])
        context = SamplingContext(draw, lambda points: self._residual(rule, points, epoch), random)
        return rule.choose(self.evaluator.executor.coordinates(tag), context)

    def _residual(self, rule: Resampling, coordinates: np.ndarray, epoch: int) -> np.ndarray:
        """|r| at points of the rule's tag, with the parameters as they are; computed on all devices."""
        executor, tag = self.evaluator.executor, rule.points
        (root,) = expand([apply(_length, "length", rule.field)], RULES)
        placed = executor.place(Program((root,)).tags)
        rows, layout = executor.put(tag, coordinates)
        placed = Placed({**placed.rows, tag: rows}, {**placed.layouts, tag: layout})
        parameters = {trainable: self.evaluator.parameters(trainable) for trainable in trainables_of([root])}
        residual = executor.transport.fetch(executor.compute([root], placed, parameters)[root])[: layout.count]
        wrong = ~np.isfinite(residual)
        if wrong.any():
            where = ", ".join(f"{axis} = {x:.6g}" for axis, x in zip(tag.axes, coordinates[wrong][0], strict=True))
            raise NonFiniteLoss(
                f"resampling at epoch {epoch}: {rule.field} is not finite at {wrong.sum()} of {len(wrong)} points of "
                f"'{tag.tag}', such as {where}. No point has moved"
            )
        return residual.astype(np.float64)


def _named(terms: Sequence[Node]) -> dict[str, PointSet]:
    """The point sets that terms are on, in their order; a tag of a second domain gets a number."""
    names: dict[str, PointSet] = {}
    nodes = [node for term in terms for node in all_nodes([term])]
    for points in dict.fromkeys(node.op.points for node in nodes if isinstance(node.op, ops.Coordinate)):
        same = sum(other.tag == points.tag for other in names.values())
        names[f"{points.tag}_{same}" if same else points.tag] = points
    return names


def _length(value: Any) -> Any:
    return jnp.sqrt(jnp.sum(value * value)) if value.ndim else jnp.abs(value)
