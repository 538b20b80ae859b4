"""K = J_a J_bᵀ between the points of shards, by factors: no shard forms its rows of J for a weight that has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..expr import Node, PointSet, Selection, Trainable
from ..lower import at_point
from ..parallel import Collectives, Layout
from .factors import Factors, Found, by_pairs, by_rows, factors_at, look

CHUNK = 256  # points whose factors are computed at once: enough to keep a core busy, temporaries of a few MB
TILE = 64  # points whose pairs of uses with all others are held at once


@dataclass(frozen=True)
class Side:
    """The field (of primitives, without shared values beneath it) and the parameters of one J."""

    field: Node
    wrt: tuple[Selection, ...]

    @property
    def tag(self) -> PointSet:
        assert self.field.points is not None
        return self.field.points


def gram_program(
    first: Side, second: Side | None, layouts: Mapping[PointSet, Layout]
) -> Callable[[Collectives, Mapping[PointSet, Array], Mapping[Trainable, Any]], Float[Array, "rows c columns"]]:
    """One shard's rows of K: (rows, C_a, M · C_b), the columns in the order of the points of `second`.

    The factors of `second` travel round the ring of shards; `second` None is the kernel of `first` with itself. Columns
    of padding are cut off, rows of padding are not.
    """
    columns = layouts[(second or first).tag]

    def program(
        collectives: Collectives, points: Mapping[PointSet, Array], parameters: Mapping[Trainable, Any]
    ) -> Float[Array, "rows c columns"]:
        sides = [first] if second is None else [first, second]
        chosen = _chosen(sides, points, parameters)
        factors = [_factors(side, points[side.tag], parameters, chosen) for side in sides]
        mine, theirs = factors[0], factors[-1]
        size, rank = collectives.size, collectives.rank
        width = theirs.rows.shape[0] * theirs.rows.shape[1]

        def hop(k: Any, carry: Any) -> Any:
            found, held = carry
            tile = by_rows(mine, held).reshape(*mine.rows.shape[:2], width)
            if chosen:
                tile += jax.lax.map(lambda p: by_pairs(p, held), mine, batch_size=TILE)
            start = ((rank - k) % size) * width
            return jax.lax.dynamic_update_slice_in_dim(found, tile, start, axis=2), collectives.shift(held)

        empty = jnp.zeros((*mine.rows.shape[:2], size * width), mine.rows.dtype)
        found, _ = jax.lax.fori_loop(0, size, hop, (empty, theirs))
        return found[:, :, : columns.count * theirs.rows.shape[1]]

    return program


def _leaves(side: Side, parameters: Mapping[Trainable, Any]) -> list[Any]:
    return [leaf for selection in side.wrt for leaf in selection.take(parameters[selection.trainable])]


def _chosen(
    sides: Sequence[Side], points: Mapping[PointSet, Array], parameters: Mapping[Trainable, Any]
) -> tuple[int, ...]:
    """The leaves to keep as factors: those for which both sides have them, in one arrangement, at less cost."""
    found: list[Found] = []
    for side in sides:
        leaves = _leaves(side, parameters)
        found.append(look(at_point(side.field, side.wrt, parameters), leaves, points[side.tag][0]))
    count = len(_leaves(sides[0], parameters))
    alike = [i for i in range(count) if len({frozenset(f.chains(i)) for f in found}) == 1]
    return tuple(i for i in alike if all(f.worth(i) for f in found))


def _factors(
    side: Side, points: Float[Array, "rows columns"], parameters: Mapping[Trainable, Any], chosen: tuple[int, ...]
) -> Factors:
    """Of all points of a shard."""
    function, leaves = at_point(side.field, side.wrt, parameters), _leaves(side, parameters)
    return jax.lax.map(lambda point: factors_at(function, leaves, point, chosen), points, batch_size=CHUNK)
