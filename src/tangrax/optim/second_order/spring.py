"""SPRING: damped Gauss-Newton steps with momentum, by one solve of the tangent kernel's size, or by products with J.

With the residuals r so weighted that the loss is ‖r‖², and J their Jacobian,

φ_k = μ φ_{k-1} + Jᵀ(JJᵀ + λ)⁻¹(r - μ J φ_{k-1}),  θ ← θ - η φ_k:

of all φ the one with the least ‖Jφ - r‖² + λ‖φ - μ φ_{k-1}‖². Goldshlager, Abrahamsen, Lin, arXiv 2401.10190; for
residuals of differential equations Guzmán-Cordero, Dangel, Goldshlager, Zeinhofer, arXiv 2505.12149.

With μ = 0 and a λ that stays it is ENGD, energy natural gradient descent. Müller, Zeinhofer, arXiv 2302.13163.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from ...expr import Selection
from ...lower import ShardContext
from ...parallel import Collectives
from ..optimizer_protocol import Parameters
from ..residuals import Residual, ShardResidual
from .jacobian_products import (
    kernel_matrix,
    linearized_residuals,
    normal_matrix,
    normal_products,
    residual_gradient,
    squared_norm,
    transposed_product,
)
from .nystrom_cg import conjugate_gradients
from .second_order_optimizer import STALLED, SecondOrder, Settings, from_first_shard, losses_at

WAYS = ("gram", "cg")
LARGEST = 4000  # rows of a matrix that is formed and factorised: 128 MB in double precision
LESS, MORE = 0.3, 3.0  # what damping is multiplied by after a full step, and after a short one or none
SHORT = 0.2  # of a full step
FLOOR = 10.0  # units of round-off of the trace of JJᵀ that its damping must exceed for a factorisation to exist


@dataclass(frozen=True)
class Spring(Settings):
    """The arguments of `tx.optim.spring`."""

    rate: float | Callable[[Any], Any] | None
    momentum: float
    damping: float
    norm: float | None
    way: str | None
    tried: int
    rank: int
    tolerance: float
    iterations: int
    seed: int

    name: ClassVar[str] = "spring"
    needs_double: ClassVar[bool] = False
    damping_follows: ClassVar[bool] = True  # the rate that was best, where none is given

    def __post_init__(self) -> None:
        if self.way is not None and self.way not in WAYS:
            raise ValueError(f"{self.name}(way={self.way!r}): one of {', '.join(WAYS)}; or leave it out")
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"{self.name}(momentum={self.momentum}): the part of the last step that stays, 0 to below 1"
            )
        for name in ("damping", "norm", "tolerance", "rate"):
            number = getattr(self, name)
            if number is not None and not callable(number) and not number > 0:
                raise ValueError(f"{self.name}({name}={number}): above 0")
        for name in ("tried", "rank", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{self.name}({name}={getattr(self, name)}): at least 1")

    def build(self, residuals: tuple[Residual, ...], wrt: tuple[Selection, ...]) -> "SpringSteps":
        return SpringSteps(residuals, wrt, self)


def spring(
    *,
    rate: float | Callable[[Any], Any] | None = None,
    momentum: float = 0.5,
    damping: float = 1e-6,
    norm: float | None = None,
    way: str | None = None,
    tried: int = 16,
    rank: int = 40,
    tolerance: float = 1e-6,
    iterations: int = 200,
    seed: int = 0,
) -> Spring:
    """Damped Gauss-Newton steps with momentum, on a loss that is a sum of mean squares.

    It trains all networks and parameters of a problem at once: `tx.core(..., optimizer=tx.optim.spring())`.

    Args:
        rate: a number or an optax schedule. Left out, `tried` rates 1, 1/2, 1/4, … are tried on the loss itself in
            every step, the best one is taken, and damping falls after a full step and grows after a short one.
        momentum: part of the last step that stays, from 0 to below 1.
        damping: in parts of the trace of JJᵀ, so that factors of the loss do not matter.
        norm: largest length of a step.
        way: `"gram"` factorises JJᵀ or JᵀJ, whichever is smaller; `"cg"` solves by conjugate gradients with products
            alone, preconditioned by a random sketch of JᵀJ. Left out: `"gram"` for a matrix of up to 4000 rows.
        tried: rates that are tried.
        rank: vectors of the sketch.
        tolerance: relative residual at which conjugate gradients end.
        iterations: after which they end at the latest.
        seed: of the sketch.

    Raises:
        ValueError: for an argument out of its range.
    """
    return Spring(rate, momentum, damping, norm, way, tried, rank, tolerance, iterations, seed)


@dataclass(frozen=True)
class Engd(Spring):
    """The arguments of `tx.optim.engd`: SPRING without momentum, with a damping that stays."""

    name: ClassVar[str] = "engd"
    damping_follows: ClassVar[bool] = False


def engd(
    *,
    rate: float | Callable[[Any], Any] | None = None,
    damping: float = 1e-12,
    way: str | None = None,
    tried: int = 31,
    rank: int = 40,
    tolerance: float = 1e-6,
    iterations: int = 200,
    seed: int = 0,
) -> Engd:
    """Energy natural gradient descent: θ ← θ - η G⁺∇L, with the Gram matrix G = JᵀJ of the residuals.

    The loss is a sum of mean squares, and all networks and parameters of a problem are trained at once. G⁺ is
    (G + λ)⁻¹, computed as JJᵀ + λ where that is smaller (Woodbury's identity, "ENGD-W"). For residuals that are linear
    in the solution it is the authors' method; for others G is that of Gauss and Newton. `tx.optim.spring()` is the
    same with momentum and a damping that follows; this one is here to compare with publications.

    Args:
        rate: η, a number or an optax schedule. Left out: of 1, 1/2, 1/4, … the one with the least loss, in every step.
        damping: λ in parts of the trace of G, at least ten roundings of it. It stays as it is.
        way: as in `tx.optim.spring`, and so are the next four.
        tried: rates that are tried; the authors try 31, down to 1e-9.
        rank: vectors of the sketch, for `way="cg"`.
        tolerance: relative residual at which conjugate gradients end.
        iterations: after which they end at the latest.
        seed: of the sketch.

    Raises:
        ValueError: for an argument out of its range.

    Source:
        Müller, Zeinhofer, arXiv 2302.13163, algorithm 1; Guzmán-Cordero, Dangel, Goldshlager, Zeinhofer, arXiv
        2505.12149.
    """
    return Engd(rate, 0.0, damping, None, way, tried, rank, tolerance, iterations, seed)


@dataclass(frozen=True)
class SpringState:
    """What a step passes to the next one."""

    increment: Any  # φ (P,)
    damping: Any  # in parts of the trace of JJᵀ
    step: Any
    stalled: Any  # steps in a row that did not lower the loss
    unsolved: Any  # steps in a row whose solve ended before its tolerance


jax.tree_util.register_dataclass(SpringState, ["increment", "damping", "step", "stalled", "unsolved"], [])


@dataclass(frozen=True)
class Increment:
    """φ, and how it was computed."""

    vector: Float[Array, " p"]
    damping: Any
    iterations: Any
    solved: Any


@dataclass(frozen=True)
class SpringSteps(SecondOrder):
    """Damped Gauss-Newton steps with momentum."""

    settings: Spring

    @property
    def way(self) -> str:
        """How φ is computed; the same on any number of shards."""
        if self.settings.way is not None:
            return self.settings.way
        return "gram" if min(self.rows, self.columns) <= LARGEST else "cg"

    @property
    def measures(self) -> tuple[str, ...]:
        return ("damping", "rate", "radius", *(("iterations",) if self.way == "cg" else ()))

    def init(self, parameters: Parameters) -> SpringState:
        flat, zero = self.flat(parameters)[0], jnp.zeros((), jnp.int32)
        return SpringState(jnp.zeros_like(flat), jnp.asarray(self.settings.damping, flat.dtype), zero, zero, zero)

    def step(
        self, parameters: Parameters, state: SpringState, shard: ShardContext
    ) -> tuple[Parameters, SpringState, tuple[Any, ...]]:
        parts = self.parts(parameters, shard)
        flat, changed = self.flat(parameters)
        increment = self._increment(parts, self.settings.momentum * state.increment, shard.collectives, state)
        size = jnp.linalg.norm(increment.vector)
        rates = self._rates(state.step, size)
        lowers, rate = self._chosen(parts, flat, increment.vector, rates, shard.collectives)
        # Where no rate lowers the loss the direction is no use: without momentum the next one descends.
        vector = jnp.where(lowers, increment.vector, 0)
        new = SpringState(
            vector,
            self._next_damping(state.damping, lowers, rate),
            state.step + 1,
            jnp.where(lowers, 0, state.stalled + 1),
            jnp.where(increment.solved, 0, state.unsolved + 1),
        )
        measures = (increment.damping, rate, jnp.where(lowers, rate * size, 0))
        if self.way == "cg":
            measures = (*measures, increment.iterations)
        return changed(flat - jnp.where(lowers, rate, 0) * vector), new, _as(flat.dtype, measures)

    def trouble(self, state: SpringState) -> str | None:
        stalled, unsolved = int(state.stalled), int(state.unsolved)
        if stalled >= STALLED:
            what = f"no rate of {self.settings.tried} lowered the loss" if self.settings.rate is None else "no step"
            return f"{what} in the last {stalled} epochs; another damping may"
        if unsolved >= STALLED:
            return (
                f"conjugate gradients ended before the tolerance of {self.settings.tolerance:g} in the last {unsolved} "
                f"epochs: more iterations than {self.settings.iterations}, a higher rank or more damping may help"
            )
        return None

    def _next_damping(self, damping: Any, lowers: Any, rate: Any) -> Any:
        """λ of the next step: less where a whole step was the best, more where a short one or none was."""
        if self.settings.rate is not None or not self.settings.damping_follows:
            return damping
        factor = jnp.where(rate == 1, LESS, jnp.where(rate < SHORT, MORE, 1.0))
        eps = jnp.finfo(damping.dtype).eps
        return jnp.clip(damping * jnp.where(lowers, factor, MORE), FLOOR * eps, 1).astype(damping.dtype)

    def _rates(self, step: Any, size: Any) -> Float[Array, " k"]:
        """Rates to try, or the one given; the step of the first is no longer than `norm`."""
        rate, norm = self.settings.rate, self.settings.norm
        first = jnp.asarray(1.0 if rate is None else rate(step) if callable(rate) else rate, size.dtype)
        if norm is not None:
            first = jnp.minimum(first, norm / size)
        return first * 0.5 ** jnp.arange(self.settings.tried if rate is None else 1, dtype=size.dtype)

    def _chosen(
        self,
        parts: Sequence[ShardResidual],
        flat: Float[Array, " p"],
        increment: Float[Array, " p"],
        rates: Float[Array, " k"],
        collectives: Collectives,
    ) -> tuple[Any, Any]:
        """Whether a step lowers the loss, and the rate of the best one."""
        if self.settings.rate is not None:
            return jnp.isfinite(increment).all(), rates[0]
        zero_and_rates = jnp.concatenate([jnp.zeros(1, rates.dtype), rates])
        values, _ = losses_at(parts, flat[None] - zero_and_rates[:, None] * increment[None], collectives)
        best = jnp.argmin(jnp.where(jnp.isfinite(values), values, jnp.inf))
        return best > 0, zero_and_rates[best]

    def _increment(
        self, parts: Sequence[ShardResidual], ahead: Float[Array, " p"], collectives: Collectives, state: SpringState
    ) -> Increment:
        """φ = `ahead` + Jᵀ(JJᵀ + λ)⁻¹(r - J `ahead`), with `ahead` = μ φ of the last step."""
        if self.way == "cg":
            return self._from_products(parts, ahead, collectives, state)
        solve = self._from_kernel if self.rows <= self.columns else self._from_normal_matrix
        return solve(parts, ahead, collectives, state)

    def _from_kernel(
        self, parts: Sequence[ShardResidual], ahead: Float[Array, " p"], collectives: Collectives, state: SpringState
    ) -> Increment:
        matrix = kernel_matrix(parts, collectives)
        residuals = []
        for part in parts:
            gathered = collectives.gather(linearized_residuals(part, ahead, collectives.rank))
            residuals.append(gathered[: part.rows.size])
        damping = _damping(state, jnp.trace(matrix))
        weights = from_first_shard(collectives, _solve(matrix, damping, jnp.concatenate(residuals)))
        vector = collectives.sum(transposed_product(parts, weights, collectives.rank))
        return Increment(ahead + vector, damping, 0, True)

    def _from_normal_matrix(
        self, parts: Sequence[ShardResidual], ahead: Float[Array, " p"], collectives: Collectives, state: SpringState
    ) -> Increment:
        """By Jᵀ(JJᵀ + λ)⁻¹ = (JᵀJ + λ)⁻¹Jᵀ."""
        matrix, gradient = collectives.sum(normal_matrix(parts, collectives.rank))
        damping = _damping(state, jnp.trace(matrix))
        vector = _solve(matrix, damping, gradient - matrix @ ahead.astype(matrix.dtype))
        return Increment(ahead + from_first_shard(collectives, vector).astype(ahead.dtype), damping, 0, True)

    def _from_products(
        self, parts: Sequence[ShardResidual], ahead: Float[Array, " p"], collectives: Collectives, state: SpringState
    ) -> Increment:
        key = jax.random.fold_in(jax.random.key(self.settings.seed), state.step)
        probes = jax.random.normal(key, (min(self.settings.rank, self.columns), self.columns), ahead.dtype)
        rank = collectives.rank
        shares = (
            squared_norm(parts, rank),
            residual_gradient(parts, ahead, rank),
            normal_products(parts, probes, rank),
        )
        trace, gradient, sketched = collectives.sum(shares)
        damping = _damping(state, trace).astype(ahead.dtype)

        def product(vector: Array) -> Array:
            return collectives.sum(normal_products(parts, vector[None], rank)[0])

        solution = conjugate_gradients(
            product, gradient, damping, probes, sketched, self.settings.tolerance, self.settings.iterations, collectives
        )
        return Increment(ahead + solution.vector, damping, solution.iterations, solution.converged)


def _damping(state: SpringState, trace: Any) -> Any:
    """λ, not relative to the trace."""
    return jnp.maximum(state.damping, FLOOR * jnp.finfo(state.damping.dtype).eps) * trace


def _solve(matrix: Float[Array, "m m"], damping: Any, right: Float[Array, " m"]) -> Float[Array, " m"]:
    """(matrix + λ)⁻¹ right, by Cholesky's factors."""
    damped = matrix + damping * jnp.eye(len(matrix), dtype=matrix.dtype)
    return cho_solve(cho_factor(damped, lower=True), right.astype(matrix.dtype))


def _as(dtype: Any, numbers: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(jnp.asarray(number, dtype) for number in numbers)
