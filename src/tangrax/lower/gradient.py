"""Derivatives of terms with respect to parameters; none passes through a communication.

A term is a function, the same on all shards, of sums over points. Its gradient is put together from local
vector-Jacobian products of those sums, summed over shards like the sums themselves, hence in the same rounds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..expr import Node, PointSet
from ..expr.ops import Gradient, Scattered
from .levels import feeds, shared_by, trained_feeds
from .pointwise import Values, evaluate, put_selected
from .primitives import Gathered
from .shard_work import Pullback, PullbackResult


@dataclass(frozen=True, eq=False)
class Share:
    """Result of a pull-back for the parameters, and for the shared values beneath the one it was taken of."""

    selected: list[list[Array]]
    feeds: dict[Node, Array]

    def __add__(self, other: "Share") -> "Share":
        feeds = dict(self.feeds)
        for node, part in other.feeds.items():
            feeds[node] = feeds[node] + part if node in feeds else part
        return Share(jax.tree.map(jnp.add, self.selected, other.selected), feeds)


class SumGradient:
    """The gradient of a term that reaches its parameters through sums alone.

    Sums that enter the term linearly are pulled back together, by one product with their weights. A sum whose
    weight is not known in its own round (under a square root, or inside another sum's field) is pulled
    back alone, with weight 1, and weighted afterwards: so a gradient takes no round that its term does not.
    """

    def __init__(self, node: Node, levels: Mapping[Node, int], values: Values):
        assert isinstance(node.op, Gradient)
        self.term, self.wrt = node.args[0], node.op.wrt
        self.sums = trained_feeds(node)
        self.levels = levels
        self.arguments = shared_by([self.term])
        inner = {feed for node in self.sums for feed in feeds(node)}
        weights_need = self._weight_dependence(values)
        self.joint = {
            s: None for s in self.sums if s not in inner and all(levels[other] < levels[s] for other in weights_need[s])
        }
        self.alone = [s for s in self.sums if s not in self.joint]
        self._joint_shares: list[Share] = []
        self._weighted: tuple[Values, Any] | None = None
        self._alone_shares: dict[Node, list[tuple[int, Share]]] = {s: [] for s in self.alone}

    def pullbacks(self, level: int, points: PointSet, values: Values) -> list[tuple[Any, Pullback]]:
        """Pull-backs that this round needs of a tag's points; results under one key are to be added up."""
        pullbacks: list[tuple[Any, Pullback]] = []
        joint = [s for s in self.joint if levels_match(s, self.levels, level, points)]
        if joint:
            weights, _ = self._weights(values)
            pullbacks.append(((self, None), self._pull(joint, [weights[s] for s in joint])))
        for s in self.alone:
            if levels_match(s, self.levels, level, points):
                for index in range(_size(s)):
                    unit = jnp.zeros(_size(s), values.dtype).at[index].set(1).reshape(s.shape)
                    pullbacks.append(((self, (s, index)), self._pull([s], [unit])))
        return pullbacks

    def take(self, key: tuple[Node, int] | None, share: "Share") -> None:
        """Keep the result of a pull-back, summed over shards."""
        if key is None:
            self._joint_shares.append(share)
        else:
            self._alone_shares[key[0]].append((key[1], share))

    def value(self, values: Values) -> Float[Array, " p"]:
        """The gradient, once all sums and products are known."""
        weights, total = self._weights(values)
        weights = {s: weights[s] for s in self.sums}
        for share in self._joint_shares:
            total = jax.tree.map(jnp.add, total, share.selected)
            _accumulate(weights, list(share.feeds), list(share.feeds.values()))
        for s in reversed(self.alone):
            for index, share in self._alone_shares[s]:
                weight = weights[s].ravel()[index]
                total = jax.tree.map(lambda t, p, w=weight: t + w * p, total, share.selected)
                _accumulate(weights, list(share.feeds), [weight * part for part in share.feeds.values()])
        return flattened(total)

    def _pull(self, nodes: Sequence[Node], cotangents: Sequence[Any]) -> Pullback:
        inner = dict.fromkeys(feed for node in nodes for feed in feeds(node) if feed in self._alone_shares)
        return Pullback(self.wrt, tuple(nodes), tuple(cotangents), tuple(inner))

    def _weights(self, values: Values) -> tuple[dict[Node, Any], list[list[Array]]]:
        """∂term/∂(each sum), with values not known yet set to one, and ∂term/∂θ where it names θ itself."""
        if self._weighted is None or self._weighted[0] is not values:  # once a round, not once for each of its tags
            ones = {n: jnp.ones(n.shape, values.dtype) for n in self.arguments if n not in values.known}
            self._weighted = values, _outer(self.term, self.sums, self.wrt, values.with_known(ones))
        weights, direct = self._weighted[1]
        return dict(weights), direct

    def _weight_dependence(self, values: Values) -> dict[Node, set[Node]]:
        """Which shared values the weight of each sum depends on, read off the traced derivative."""

        def weights(shared: list[Any]) -> list[Any]:
            known = dict(zip(self.arguments, shared, strict=True))
            of_sums, _ = _outer(self.term, self.sums, self.wrt, values.with_known(known))
            return [of_sums[s] for s in self.sums]

        structs = [jax.ShapeDtypeStruct(_shape(n, values), values.dtype) for n in self.arguments]
        jaxpr = jax.make_jaxpr(weights)(structs).jaxpr
        reads: dict[Any, frozenset[Node]] = {
            v: frozenset([n]) for v, n in zip(jaxpr.invars, self.arguments, strict=True)
        }
        for equation in jaxpr.eqns:
            sources = frozenset().union(*[reads.get(v, frozenset()) for v in equation.invars if not _literal(v)])
            reads.update(dict.fromkeys(equation.outvars, sources))
        outputs = [frozenset() if _literal(v) else reads.get(v, frozenset()) for v in jaxpr.outvars]
        return {s: set(nodes) for s, nodes in zip(self.sums, outputs, strict=True)}


def swept_gradient(
    node: Node,
    values: Values,
    pull_back: Callable[[Pullback], PullbackResult],
    total_over_shards: Callable[[Any], Any],
    all_rows: Callable[[PointSet, Array], Array],
) -> Float[Array, " p"]:
    """The gradient of a term that passes through values of all points, once every shared value is known.

    Reverse mode, one shared value after the other: `pull_back` is the local product, its parameter part
    summed at the end, its share for other shared values summed over shards (or collected) at once.
    """
    assert isinstance(node.op, Gradient)
    wrt, feeds_in_order = node.op.wrt, trained_feeds(node)
    weights, direct = _outer(node.args[0], feeds_in_order, wrt, values)
    local: Any = jax.tree.map(jnp.zeros_like, direct)
    for shared_value in reversed(feeds_in_order):
        weight = weights[shared_value]
        if isinstance(shared_value.op, Scattered):
            inner, share = _outer(shared_value.args[0], feeds_in_order, wrt, values, weight)
            direct = jax.tree.map(jnp.add, direct, share)
            weights = {n: weights[n] + inner[n] for n in feeds_in_order}
            continue
        beneath = [feed for feed in feeds(shared_value) if feed in weights]
        sums = tuple(feed for feed in beneath if not isinstance(feed.op, Scattered))
        by_row = tuple(feed for feed in beneath if isinstance(feed.op, Scattered))
        pulled = pull_back(Pullback(wrt, (shared_value,), (weight,), sums, by_row))
        local = jax.tree.map(jnp.add, local, pulled.selected)
        if sums:
            _accumulate(weights, sums, total_over_shards(pulled.feeds))
        for feed, rows in zip(by_row, pulled.scattered, strict=True):
            assert feed.points is not None
            _accumulate(weights, [feed], [all_rows(feed.points, rows)])
    return flattened(jax.tree.map(jnp.add, direct, total_over_shards(local)))


def flattened(selected: PyTree) -> Float[Array, " p"]:
    """Selected leaves one after the other: the column order of every Jacobian."""
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(selected)])


def levels_match(node: Node, levels: Mapping[Node, int], level: int, points: PointSet) -> bool:
    """Whether a shared value is exchanged in this round, of the points of this tag."""
    return levels[node] == level and node.args[0].points is points


def _outer(
    term: Node, shared_values: Sequence[Node], wrt: Any, values: Values, cotangent: Any = None
) -> tuple[dict[Node, Any], list[list[Array]]]:
    """Pull-back of a function of shared values that every shard computes alike: (for each value, for θ)."""
    wanted = set(shared_values)
    arguments = [n for n in shared_by([term]) if n in wanted]

    def of(shared: list[Any], selected: list[list[Any]]) -> Any:
        perturbed = values.with_known(dict(zip(arguments, shared, strict=True)))
        perturbed = perturbed.with_parameters(put_selected(values.parameters, wrt, selected))
        return jnp.asarray(evaluate([term], perturbed)[0])

    selected = [selection.take(values.parameters[selection.trainable]) for selection in wrt]
    value, back = jax.vjp(of, [values.known[n] for n in arguments], selected)
    by_value, direct = back(jnp.ones_like(value) if cotangent is None else cotangent)
    weights = {n: jnp.zeros(_shape(n, values), values.dtype) for n in shared_values}
    weights.update(zip(arguments, by_value, strict=True))
    return weights, direct


def _accumulate(weights: dict[Node, Any], nodes: Sequence[Node], shares: Sequence[Any]) -> None:
    for node, share in zip(nodes, shares, strict=True):
        weights[node] = weights[node] + share


def _shape(node: Node, values: Values) -> tuple[int, ...]:
    if isinstance(node.op, Gathered):
        points = node.args[0].points
        assert points is not None
        return (values.counts[points], *node.shape[1:])
    if isinstance(node.op, Scattered):
        return (values.counts[node.op.points], *node.shape)
    return node.shape


def _size(node: Node) -> int:
    size = 1
    for length in node.shape:
        size *= length
    return size


def _literal(variable: Any) -> bool:
    return hasattr(variable, "val")
