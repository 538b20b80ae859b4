"""Gauss-Newton steps from the Jacobian of all residuals, damped so far that they still lower the loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ..expr import Selection, Trainable
from ..jacobian.gram import CHUNK, over_chunks, over_points
from ..lower import Here, put_selected
from ..parallel import Collectives, triangle
from .damping import Model, around, farthest
from .residuals import Part, Residual, in_shard, residuals_of
from .sketch import Cosines, Whole, bucket_sums
from .slopes import OfBuckets, OfRows

WAYS = ("svd", "subspace", "sketch")
SMALL = 700  # residuals or parameters up to which J is decomposed as it is
MANY = 30_000  # residuals above which folding all rows takes longer than forming them
BUCKETS = 4  # a dimension
MEMORY = 2**26  # bytes of the rows of J that are formed at once
HELD = 2**28  # bytes of all rows in the space up to which they are held for corrections
WORSE = 100.0  # what damping grows by where no step lowers the loss
FAST = 0.95  # of the loss: steps that leave more of it are corrected
STALLED = 10  # steps in a row without a lower loss after which a run says so
FIRST = 1e-4  # damping of the first step, in squares of the largest singular value


@dataclass(frozen=True)
class GaussNewton:
    """What `tx.optim.gauss_newton` was given."""

    way: str | None
    sketch: int
    buckets: int | None
    ratio: float
    tried: int
    corrections: int
    decades: tuple[float, float]
    seed: int

    governs_all: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.way is not None and self.way not in WAYS:
            raise ValueError(f"gauss_newton(way={self.way!r}): one of {', '.join(WAYS)}; or leave it out")
        for name, least in (("sketch", 1), ("buckets", 1), ("tried", 2), ("corrections", 0)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise ValueError(f"gauss_newton({name}={number}): at least {least}")
        if not 0 < self.ratio < 1:
            raise ValueError(f"gauss_newton(ratio={self.ratio}): the part of a predicted reduction, between 0 and 1")
        if not self.decades[0] < 0 < self.decades[1]:
            raise ValueError(f"gauss_newton(decades={self.decades}): from below zero to above it")


def gauss_newton(
    *,
    way: str | None = None,
    sketch: int = 400,
    buckets: int | None = None,
    ratio: float = 0.075,
    tried: int = 32,
    corrections: int = 10,
    decades: tuple[float, float] = (-5.0, 5.0),
    seed: int = 0,
) -> GaussNewton:
    """Damped Gauss-Newton steps on the residuals that the loss is the mean squares of; in float64 down to round-off.

    `way="svd"` decomposes J, of N residuals and P parameters, as it is. `way="subspace"` moves the parameters in a
    random subspace of `sketch` dimensions, drawn anew from `seed` for every step. `way="sketch"` besides adds up
    residuals in random buckets, four times as many as dimensions unless told. Left out: J itself where N or P is at
    most 700, a sketch of more than 30,000 residuals, else a subspace.
    In each step `tried` dampings, spread over `decades` powers of ten round the last one, are tried on the loss itself,
    each step as it is and after each of so many `corrections` for what bends out of the linear model; the farthest
    whose reduction is at least `ratio` of what was predicted is taken.

    It trains all networks and parameters of a problem at once: `tx.core(..., optimizer=tx.optim.gauss_newton())`.
    """
    return GaussNewton(way, sketch, buckets, ratio, tried, corrections, decades, seed)


@dataclass(frozen=True)
class Progress:
    """What a step leaves to the next one."""

    damping: Any  # λ; zero before the first step
    step: Any
    stalled: Any  # steps in a row that did not lower the loss


jax.tree_util.register_dataclass(Progress, ["damping", "step", "stalled"], [])


@dataclass(frozen=True)
class SecondOrder:
    """Steps of all trainables of a problem from its residuals."""

    settings: GaussNewton
    residuals: tuple[Residual, ...]
    wrt: tuple[Selection, ...]

    @classmethod
    def of(cls, settings: GaussNewton, terms: Mapping[str, Any], trained: Sequence[Trainable]) -> "SecondOrder":
        return cls(settings, residuals_of(terms), tuple(Selection(trainable) for trainable in trained))

    measures = ("damping", "radius", "ratio")

    @property
    def rows(self) -> int:
        """N, residuals of all terms."""
        return sum(residual.size for residual in self.residuals)

    @property
    def columns(self) -> int:
        """P."""
        return sum(selection.size for selection in self.wrt)

    @property
    def way(self) -> str:
        """The same on any number of shards."""
        if self.settings.way is not None:
            return self.settings.way
        if min(self.rows, self.columns) <= SMALL:
            return "svd"
        return "subspace" if self.rows <= MANY else "sketch"

    def init(self, parameters: Mapping[Trainable, Any]) -> Progress:
        dtype = jnp.result_type(*jax.tree.leaves(list(parameters.values())))
        return Progress(jnp.zeros((), dtype), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))

    def update(
        self, parameters: Mapping[Trainable, Any], progress: Progress, here: Here
    ) -> tuple[dict[Trainable, Any], Progress, tuple[Any, Any, Any]]:
        """One step: new parameters, and damping, radius and ratio of the step taken."""
        parts = [
            in_shard(r, self.wrt, here.collectives, here.layouts[r.points], here.points[r.points], parameters)
            for r in self.residuals
        ]
        flat, leaves_of = ravel_pytree([selection.take(parameters[selection.trainable]) for selection in self.wrt])
        eps = jnp.finfo(flat.dtype).eps
        model, space, slopes = self._model(parts, here.collectives, progress.step)
        top = model.values[0] ** 2
        last = jnp.where(progress.damping > 0, progress.damping, FIRST * top)
        dampings = around(last, self.settings.decades, self.settings.tried, eps**2 * top)
        # Those of the first shard: the others' decompositions may differ in rounding.
        of_first = (top, last, dampings, model.steps(dampings), model.predicted(dampings))
        top, last, dampings, steps, predicted = _from_first(here.collectives, of_first)
        moved = flat[None] + jnp.concatenate([jnp.zeros((1, flat.size), flat.dtype), space.back(steps)])
        losses, _ = self._tried(parts, None, moved, here.collectives)
        if self.settings.corrections:

            def correct(_: Any, state: Any) -> Any:
                p, best, least = state
                losses, found = self._tried(parts, slopes, flat[None] + space.back(p), here.collectives)
                lower = losses < least
                best, least = jnp.where(lower[:, None], p, best), jnp.where(lower, losses, least)
                p = _from_first(here.collectives, model.corrected(p, found, dampings[some]))
                return p, best, least

            some = jnp.arange(self.settings.tried // 4, self.settings.tried - self.settings.tried // 4, 2)
            alone = farthest(losses[0], losses[1:], predicted, self.settings.ratio)
            slow = ~(losses[alone.index + 1] < FAST * losses[0])
            state = (steps[some], steps[some], losses[1 + some])
            rounds = jnp.where(slow, self.settings.corrections + 1, 0)
            _, best, least = jax.lax.fori_loop(0, rounds, correct, state)
            steps, losses = steps.at[some].set(best), losses.at[1 + some].set(least)
        chosen = farthest(losses[0], losses[1:], predicted, self.settings.ratio)
        found = chosen.index >= 0
        step = jnp.where(found, steps[chosen.index], 0)
        new = flat + space.back(step[None])[0]
        damping = jnp.where(found, dampings[chosen.index], WORSE * last)
        damping = jnp.clip(damping, eps**2 * top, top)
        stalled = jnp.where(found, 0, progress.stalled + 1)
        changed = {**parameters, **put_selected(parameters, self.wrt, leaves_of(new))}
        return changed, Progress(damping, progress.step + 1, stalled), (damping, jnp.linalg.norm(step), chosen.ratio)

    def trouble(self, progress: Progress) -> str | None:
        """Why it does not get on, once it has not for some steps."""
        if int(progress.stalled) < STALLED:
            return None
        mend = "" if self.way == "svd" else "; a larger sketch may"
        return f"no step of {self.settings.tried} lowered the loss in the last {int(progress.stalled)} epochs{mend}"

    def _model(
        self, parts: Sequence[Part], collectives: Collectives, step: Any
    ) -> tuple[Model, Cosines | Whole, OfRows | OfBuckets]:
        first, last = jax.random.split(jax.random.fold_in(jax.random.key(self.settings.seed), step))
        size, dtype = self.settings.sketch, parts[0].rows.leaves[0].dtype
        if self.way == "svd" or self.columns <= size:
            space = Whole(self.columns)
        else:
            space = Cosines.drawn(first, self.columns, size, dtype)
        if self.way == "sketch":
            both = self._in_buckets(parts, collectives, space, last)
            slopes = OfBuckets(both[:, :-1], last, tuple(part.rows.components for part in parts))
            return _decomposed(jnp.linalg.qr(both, mode="r")), space, slopes
        few = self.rows <= space.size
        held = None
        if few or self.rows * space.size * dtype.itemsize <= HELD:
            held = [self._of_shard(part, collectives, space) for part in parts]
        if few:
            assert held is not None
            model = _decomposed(jnp.concatenate([collectives.gather(rows) for rows in held]))
        elif held is not None:
            model = _decomposed(triangle(collectives, jnp.concatenate(held), wide=False))
        else:
            model = self._by_triangle(parts, collectives, space)
        rows = None if held is None else [rows[:, :-1] for rows in held]
        return model, space, OfRows(parts, space, collectives.rank, rows)

    def _of_shard(self, part: Part, collectives: Collectives, space: Cosines | Whole) -> Float[Array, "n m_and_1"]:
        """All of a shard's rows of J, and residuals beside them."""

        def put(rows: Any, chunk: Any) -> Any:
            # Rows that another chunk has are zeros in this one.
            first, both = part.first(chunk, collectives.rank), _side_by_side(part, chunk, space)
            here = jax.lax.dynamic_slice_in_dim(rows, first, len(both))
            return jax.lax.dynamic_update_slice_in_dim(rows, here + both, first, 0)

        count = part.rows.layout.rows * part.rows.components
        empty = jnp.zeros((count, space.size + 1), part.rows.leaves[0].dtype)
        return over_chunks(part.rows, collectives.rank, put, empty, self._at_once(part))

    def _by_triangle(self, parts: Sequence[Part], collectives: Collectives, space: Cosines | Whole) -> Model:
        """From R of [J r] = Q R: shards fold chunks of their rows into triangles, which are gathered."""
        found = jnp.zeros((space.size + 1, space.size + 1), parts[0].rows.leaves[0].dtype)
        for part in parts:

            def add(found: Any, chunk: Any, part: Part = part) -> Any:
                return jnp.linalg.qr(jnp.concatenate([found, _side_by_side(part, chunk, space)]), mode="r")

            found = over_chunks(part.rows, collectives.rank, add, found, self._at_once(part, space.size))
        return _decomposed(triangle(collectives, found, wide=False))

    def _in_buckets(
        self, parts: Sequence[Part], collectives: Collectives, space: Cosines | Whole, key: Any
    ) -> Float[Array, "size m_and_1"]:
        """Sums of rows of J, and of residuals, in the same random buckets.

        With exact slopes Jᵀr beside a sketch of J, errors stop where the sketch distorts small singular values: at a
        loss of 1e-10 where this one goes to 1e-30.
        """
        size, dtype = self.settings.buckets or BUCKETS * space.size, parts[0].rows.leaves[0].dtype
        state = jnp.zeros((size, space.size + 1), dtype)
        for number, part in enumerate(parts):
            mine = jax.random.fold_in(key, number)

            def add(found: Any, chunk: Any, part: Part = part, mine: Any = mine) -> Any:
                both = _side_by_side(part, chunk, space)
                return found + bucket_sums(mine, chunk.index, part.rows.components, both, size)

            state = over_chunks(part.rows, collectives.rank, add, state, self._at_once(part))
        return collectives.sum(state)

    def _at_once(self, part: Part, least: int = CHUNK) -> int:
        """Points whose rows are formed at once: as many as fit into 64 MiB, no more than pay."""
        row = part.rows.components * self.columns * part.rows.leaves[0].dtype.itemsize
        return max(1, min(max(CHUNK, least), MEMORY // row))

    def _tried(
        self,
        parts: Sequence[Part],
        slopes: OfRows | OfBuckets | None,
        moved: Float[Array, "k p"],
        collectives: Collectives,
    ) -> tuple[Float[Array, " k"], Any]:
        """The loss r·r at several parameters, and Jᵀ r of those r in the space, in one pass over the points."""
        state = (jnp.zeros(len(moved), moved.dtype), () if slopes is None else slopes.empty(len(moved)))
        for number, part in enumerate(parts):
            leaves = jax.vmap(ravel_pytree(list(part.rows.leaves))[1])(moved)

            def add(state: Any, chunk: Any, number: int = number, part: Part = part, leaves: Any = leaves) -> Any:
                values = jax.vmap(lambda leaves: part.values(leaves, chunk.points))(leaves)
                weighted = part.scale * jnp.where(chunk.counted[None], values, 0)
                losses, found = state
                if slopes is not None:
                    found = slopes.add(found, number, chunk, weighted)
                return losses + jnp.sum(weighted**2, axis=1), found

            state = over_points(part.rows, collectives.rank, add, state)
        losses, found = collectives.sum(state)
        return losses, () if slopes is None else slopes.of(found)


def _decomposed(both: Float[Array, "n p_and_1"]) -> Model:
    """Of J and r side by side."""
    left, values, directions = jnp.linalg.svd(both[:, :-1], full_matrices=False)
    return Model(values, values * (both[:, -1] @ left), directions)


def _side_by_side(part: Part, chunk: Any, space: Cosines | Whole) -> Float[Array, "n m_and_1"]:
    """Rows of J in the space, and residuals beside them, so scaled that the loss is the sum of squares."""
    residuals = jnp.where(chunk.counted, part.values(part.rows.leaves, chunk.points), 0)
    return part.scale * jnp.concatenate([space.of(chunk.rows), residuals[:, None]], axis=1)


def _from_first(collectives: Collectives, tree: Any) -> Any:
    """What the first shard has, on all of them."""
    if collectives.size == 1:
        return tree
    return collectives.sum(jax.tree.map(lambda x: jnp.where(collectives.rank == 0, x, jnp.zeros_like(x)), tree))
