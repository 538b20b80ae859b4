"""Gauss-Newton steps from the Jacobian of all residuals, damped so far that they still lower the loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...expr import Selection
from ...jacobian.gram import over_chunks
from ...lower import ShardContext
from ...parallel import Collectives, triangle
from ..optimizer_protocol import Parameters
from ..residuals import Residual, ShardResidual
from .residual_gradients import BucketGradients, RowGradients
from .second_order_optimizer import STALLED, SecondOrder, Settings, from_first_shard, losses_at, points_at_once
from .sketch import CosineSketch, FullSpace, count_sketch
from .trust_region import Model, damping_grid, largest_acceptable_step

WAYS = ("svd", "subspace", "sketch")
SMALL = 700  # residuals or parameters up to which J is decomposed as it is
MANY = 30_000  # residuals above which folding all rows takes longer than forming them
BUCKETS = 4  # a dimension
STORED = 2**28  # bytes of all rows in the space up to which they are stored for corrections
WORSE = 100.0  # what damping grows by where no step lowers the loss
FAST = 0.95  # part of the loss: steps that leave more of it are corrected
FIRST = 1e-4  # damping of the first step, in squares of the largest singular value
FLAT = 1e-12  # of the loss: a minimum is where neither last digits nor steps should change more


@dataclass(frozen=True)
class GaussNewton(Settings):
    """The arguments of `tx.optim.gauss_newton`."""

    way: str | None
    sketch: int
    buckets: int | None
    ratio: float
    tried: int
    corrections: int
    decades: tuple[float, float]
    seed: int

    name: ClassVar[str] = "gauss_newton"
    needs_double: ClassVar[bool] = True

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

    def build(self, residuals: tuple[Residual, ...], wrt: tuple[Selection, ...]) -> "GaussNewtonSteps":
        return GaussNewtonSteps(residuals, wrt, self)


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

    Each step tries a grid of dampings on the loss itself, and takes the largest step whose reduction is at least
    `ratio` of the predicted one. It trains all networks and parameters of a problem at once:
    `tx.core(..., optimizer=tx.optim.gauss_newton())`.

    Args:
        way: how J, of N residuals and P parameters, is decomposed. `"svd"`: as it is. `"subspace"`: parameters move in
            a random subspace of `sketch` dimensions, another one in every step. `"sketch"`: also count-sketches the
            residuals into `buckets` rows. Left out: `"svd"` where N or P is at most 700, `"sketch"` for more than
            30,000 residuals, else `"subspace"`.
        sketch: dimensions of the subspace.
        buckets: rows of the count sketch; 4 x `sketch` if left out.
        ratio: least part of the predicted reduction of the loss, between 0 and 1.
        tried: dampings in the grid.
        corrections: chord iterations of the steps in the middle of the grid, for how residuals bend along them.
        decades: powers of ten round the last damping that the grid spans.
        seed: of random subspaces and buckets.

    Raises:
        ValueError: for an argument out of its range.
    """
    return GaussNewton(way, sketch, buckets, ratio, tried, corrections, decades, seed)


@dataclass(frozen=True)
class GaussNewtonState:
    """What a step passes to the next one."""

    damping: Any  # λ; zero before the first step
    step: Any
    stalled: Any  # steps in a row that did not lower the loss
    rough: Any  # what a change of the parameters' last digits does to the loss, in parts of it
    left: Any  # predicted reduction by the largest step, in parts of the loss


jax.tree_util.register_dataclass(GaussNewtonState, ["damping", "step", "stalled", "rough", "left"], [])


@dataclass(frozen=True)
class GaussNewtonSteps(SecondOrder):
    """Damped Gauss-Newton steps, each the largest acceptable one of a grid of dampings."""

    settings: GaussNewton

    @property
    def measures(self) -> tuple[str, ...]:
        return ("damping", "radius", "ratio")

    def way(self, rows: int) -> str:
        """How J is decomposed for so many residuals; the same on any number of shards."""
        if self.settings.way is not None:
            return self.settings.way
        if min(rows, self.columns) <= SMALL:
            return "svd"
        return "subspace" if rows <= MANY else "sketch"

    def init(self, parameters: Parameters) -> GaussNewtonState:
        dtype = jnp.result_type(*jax.tree.leaves(list(parameters.values())))
        none, zero = jnp.zeros((), dtype), jnp.zeros((), jnp.int32)
        return GaussNewtonState(none, zero, zero, none, none)

    def step(
        self, parameters: Parameters, state: GaussNewtonState, shard: ShardContext
    ) -> tuple[Parameters, GaussNewtonState, tuple[Any, Any, Any]]:
        """New parameters, state, and damping, radius and ratio of the step taken."""
        parts = self.parts(parameters, shard)
        flat, changed = self.flat(parameters)
        eps = jnp.finfo(flat.dtype).eps
        model, space, residual_gradients = self._model(parts, shard.collectives, state.step)
        top = model.values[0] ** 2
        last = jnp.where(state.damping > 0, state.damping, FIRST * top)
        dampings = damping_grid(last, self.settings.decades, self.settings.tried, eps**2 * top)
        # Those of the first shard: the others' decompositions may differ in rounding.
        of_first = (top, last, dampings, model.steps(dampings), model.predicted(dampings))
        top, last, dampings, steps, predicted = from_first_shard(shard.collectives, of_first)
        last_digits = eps * flat * (-1) ** jnp.arange(flat.size)
        changes = [jnp.zeros((1, flat.size), flat.dtype), space.back(steps), last_digits[None]]
        vectors = flat[None] + jnp.concatenate(changes)
        losses, _ = losses_at(parts, vectors, shard.collectives)
        losses, nudged = losses[:-1], losses[-1]
        if self.settings.corrections:

            def correct(_: Any, carry: Any) -> Any:
                p, best, least = carry
                losses, gradients = losses_at(parts, flat[None] + space.back(p), shard.collectives, residual_gradients)
                lower = losses < least
                best, least = jnp.where(lower[:, None], p, best), jnp.where(lower, losses, least)
                p = from_first_shard(shard.collectives, model.corrected(p, gradients, dampings[some]))
                return p, best, least

            some = jnp.arange(self.settings.tried // 4, self.settings.tried - self.settings.tried // 4, 2)
            uncorrected = largest_acceptable_step(losses[0], losses[1:], predicted, self.settings.ratio)
            slow = ~(losses[uncorrected.index + 1] < FAST * losses[0])
            carry = (steps[some], steps[some], losses[1 + some])
            rounds = jnp.where(slow, self.settings.corrections + 1, 0)
            _, best, least = jax.lax.fori_loop(0, rounds, correct, carry)
            steps, losses = steps.at[some].set(best), losses.at[1 + some].set(least)
        chosen = largest_acceptable_step(losses[0], losses[1:], predicted, self.settings.ratio)
        lowers = chosen.index >= 0
        step = jnp.where(lowers, steps[chosen.index], 0)
        new = flat + space.back(step[None])[0]
        damping = jnp.where(lowers, dampings[chosen.index], WORSE * last)
        damping = jnp.clip(damping, eps**2 * top, top)
        stalled = jnp.where(lowers, 0, state.stalled + 1)
        loss = jnp.where(losses[0] > 0, losses[0], 1)
        rough, left = jnp.abs(nudged - losses[0]) / loss, predicted[0] / loss
        return (
            changed(new),
            GaussNewtonState(damping, state.step + 1, stalled, rough, left),
            (damping, jnp.linalg.norm(step), chosen.ratio),
        )

    def trouble(self, state: GaussNewtonState) -> str | None:
        """Why the last steps did not lower the loss, once there are `STALLED` of them."""
        if int(state.stalled) < STALLED:
            return None
        what = f"no step of {self.settings.tried} lowered the loss in the last {int(state.stalled)} epochs"
        return f"{what}: {self._why(float(state.rough), float(state.left))}"

    def _why(self, rough: float, left: float) -> str:
        if max(rough, left) <= FLAT:
            return "it is at a minimum, from which the farthest of them should take nothing off"
        if rough >= left:
            few = f"; whether {self.rows} residuals are enough for {self.columns} parameters, held-out errors tell"
            hidden = (
                f"the parameters' last digits move it by {rough:.0e} of itself and the steps should take off {left:.0e}"
            )
            return f"round-off, {hidden}{few if self.rows < self.columns else ''}"
        if self.way(self.rows) == "sketch":
            mend = "a larger sketch or more buckets may"
            return f"sums in random buckets do not show its slope, or round-off ({rough:.0e} of it) hides it; {mend}"
        return "it bends within the shortest of them; have residuals kinks (abs, max, relu)?"

    def _model(
        self, parts: Sequence[ShardResidual], collectives: Collectives, step: Any
    ) -> tuple[Model, CosineSketch | FullSpace, RowGradients | BucketGradients]:
        first, last = jax.random.split(jax.random.fold_in(jax.random.key(self.settings.seed), step))
        size, dtype = self.settings.sketch, parts[0].rows.leaves[0].dtype
        # Points may have been added since the terms were written.
        rows = sum(part.rows.size for part in parts)
        way = self.way(rows)
        if way == "svd" or self.columns <= size:
            space = FullSpace(self.columns)
        else:
            space = CosineSketch.sample(first, self.columns, size, dtype)
        if way == "sketch":
            both = self._bucket_sums(parts, collectives, space, last)
            residual_gradients = BucketGradients(both[:, :-1], last, tuple(part.rows.components for part in parts))
            return _decomposed(jnp.linalg.qr(both, mode="r")), space, residual_gradients
        few = rows <= space.size
        stored = None
        if few or rows * space.size * dtype.itemsize <= STORED:
            stored = [self._rows_of_shard(part, collectives, space) for part in parts]
        if few:
            assert stored is not None
            model = _decomposed(jnp.concatenate([collectives.gather(rows) for rows in stored]))
        elif stored is not None:
            model = _decomposed(triangle(collectives, jnp.concatenate(stored), wide=False))
        else:
            model = self._from_triangle(parts, collectives, space)
        of_parameters = None if stored is None else [rows[:, :-1] for rows in stored]
        return model, space, RowGradients(parts, space, collectives.rank, of_parameters)

    def _rows_of_shard(
        self, part: ShardResidual, collectives: Collectives, space: CosineSketch | FullSpace
    ) -> Float[Array, "n m_and_1"]:
        """All of a shard's rows of J, and residuals beside them."""

        def put(rows: Any, chunk: Any) -> Any:
            # Rows that another chunk has are zeros in this one.
            first, both = part.first(chunk, collectives.rank), _side_by_side(part, chunk, space)
            old = jax.lax.dynamic_slice_in_dim(rows, first, len(both))
            return jax.lax.dynamic_update_slice_in_dim(rows, old + both, first, 0)

        count = part.rows.layout.rows * part.rows.components
        empty = jnp.zeros((count, space.size + 1), part.rows.leaves[0].dtype)
        return over_chunks(part.rows, collectives.rank, put, empty, points_at_once(part))

    def _from_triangle(
        self, parts: Sequence[ShardResidual], collectives: Collectives, space: CosineSketch | FullSpace
    ) -> Model:
        """From R of [J r] = Q R: shards fold chunks of their rows into triangles, which are gathered."""
        factor = jnp.zeros((space.size + 1, space.size + 1), parts[0].rows.leaves[0].dtype)
        for part in parts:

            def fold(factor: Any, chunk: Any, part: ShardResidual = part) -> Any:
                return jnp.linalg.qr(jnp.concatenate([factor, _side_by_side(part, chunk, space)]), mode="r")

            factor = over_chunks(part.rows, collectives.rank, fold, factor, points_at_once(part, space.size))
        return _decomposed(triangle(collectives, factor, wide=False))

    def _bucket_sums(
        self, parts: Sequence[ShardResidual], collectives: Collectives, space: CosineSketch | FullSpace, key: Any
    ) -> Float[Array, "size m_and_1"]:
        """Sums of rows of J, and of residuals, in the same random buckets.

        With exact gradients Jᵀr beside a sketch of J, errors stop where the sketch distorts small singular values: at a
        loss of 1e-10 where this one goes to 1e-30.
        """
        size, dtype = self.settings.buckets or BUCKETS * space.size, parts[0].rows.leaves[0].dtype
        state = jnp.zeros((size, space.size + 1), dtype)
        for number, part in enumerate(parts):
            of_part = jax.random.fold_in(key, number)

            def add(total: Any, chunk: Any, part: ShardResidual = part, key: Any = of_part) -> Any:
                both = _side_by_side(part, chunk, space)
                return total + count_sketch(key, chunk.index, part.rows.components, both, size)

            state = over_chunks(part.rows, collectives.rank, add, state, points_at_once(part))
        return collectives.sum(state)


def _decomposed(both: Float[Array, "n p_and_1"]) -> Model:
    """The linear model from J and r side by side."""
    left, values, directions = jnp.linalg.svd(both[:, :-1], full_matrices=False)
    return Model(values, values * (both[:, -1] @ left), directions)


def _side_by_side(part: ShardResidual, chunk: Any, space: CosineSketch | FullSpace) -> Float[Array, "n m_and_1"]:
    """Rows of J in the space, and residuals beside them, so scaled that the loss is the sum of squares."""
    residuals = jnp.where(chunk.counted, part.values(part.rows.leaves, chunk.points), 0)
    return part.scale * jnp.concatenate([space.of(chunk.rows), residuals[:, None]], axis=1)
