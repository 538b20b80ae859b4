"""Self-scaled quasi-Newton methods of Broyden's family, as optax transformations with a line search.

With s the step, y the change of the gradient along it, H the approximate inverse Hessian and B = H⁻¹,

H ← (H - H y yᵀH / yᵀHy + φ yᵀHy v vᵀ) / τ + s sᵀ / yᵀs,  v = s / yᵀs - H y / yᵀHy,

and φ and τ follow from a = b h - 1, b = sᵀBs / yᵀs, h = yᵀHy / yᵀs and the member θ of the family (0: BFGS, 1: DFP).
Al-Baali, Computational Optimization and Applications 9 (1998) 191-203; for residuals of differential equations Urbán,
Stefanou, Pons, arXiv 2405.04230, and Kiyani et al., arXiv 2501.16371.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PyTree

from ..jacobian.plan import as_size

LIMIT = 2**30  # bytes of an inverse Hessian: 11,585 parameters in double precision
SLACK = 1e-6  # by which a loss may rise in a step, relative: optax's line search allows as much near a minimum


class SelfScaledState(NamedTuple):
    """What a step passes to the next one."""

    inverse_hessian: Float[Array, "p p"]  # means nothing while there are no pairs: H is the identity then
    pairs: Int[Array, ""]  # (s, y) that went into it since the last restart


def self_scaled_bfgs(
    *, linesearch: optax.GradientTransformationExtraArgs | None = None, limit: int = LIMIT
) -> optax.GradientTransformationExtraArgs:
    """BFGS with a dense inverse Hessian that is scaled before each update, by τ = min(1, 1/b).

    For smooth losses that are no sum of squares, or small networks: the state has P² numbers, 8 P² bytes in float64,
    on each device, and a device holds seven such matrices while it trains. H is the identity until there is a pair;
    the first pair scales it (Nocedal and Wright, Numerical Optimization, eq. 6.20). A pair without positive curvature,
    yᵀs at most round-off, is left out. Where H no longer gives a direction of descent, or the line search finds no step
    that does not raise the loss, H starts anew from the identity, and in the latter case nothing moves in this epoch.
    s and y are of one step: points that move between steps, or batches, do not falsify them.

    Args:
        linesearch: of optax, with the value and gradient that it ends with in its state. Left out:
            `optax.scale_by_zoom_linesearch(20)`, the strong Wolfe conditions with 1e-4 and 0.9.
        limit: bytes that the inverse Hessian may have. More is refused, before anything is compiled.

    Raises:
        ValueError: for a line search without gradients, and when training starts with too many parameters.

    Source:
        Al-Baali 1998; Urbán, Stefanou, Pons, arXiv 2405.04230, eq. 11.
    """
    return _transformation("self_scaled_bfgs", False, linesearch, limit)


def self_scaled_broyden(
    *, linesearch: optax.GradientTransformationExtraArgs | None = None, limit: int = LIMIT
) -> optax.GradientTransformationExtraArgs:
    """The member of Broyden's family that Al-Baali's bounds allow, scaled before each update.

    θ and τ are chosen anew in every step, so that H stays positive definite and large eigenvalues shrink; the authors
    who use it for differential equations call it SSBroyden. All else, memory and restarts too, is as in
    `self_scaled_bfgs`.

    Args:
        linesearch: as in `self_scaled_bfgs`.
        limit: as in `self_scaled_bfgs`.

    Raises:
        ValueError: as `self_scaled_bfgs`.

    Source:
        Al-Baali 1998; Urbán, Stefanou, Pons, arXiv 2405.04230, eqs. 13 to 23.
    """
    return _transformation("self_scaled_broyden", True, linesearch, limit)


def _transformation(
    name: str, broyden: bool, linesearch: optax.GradientTransformationExtraArgs | None, limit: int
) -> optax.GradientTransformationExtraArgs:
    if linesearch is None:
        linesearch = optax.scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one")
    ends_with = jax.eval_shape(linesearch.init, jax.ShapeDtypeStruct((1,), jnp.float32))
    if any(optax.tree.get(ends_with, what) is None for what in ("value", "grad")):
        raise ValueError(
            f"{name}(linesearch=...): its state has no value and gradient at the end of the search, which the inverse "
            f"Hessian is made of: give optax.scale_by_zoom_linesearch(...), or "
            f"optax.scale_by_backtracking_linesearch(..., store_grad=True)"
        )
    if limit < 1:
        raise ValueError(f"{name}(limit={limit}): bytes that the inverse Hessian may have")
    method: Any = SelfScaled(name, broyden, linesearch, limit)  # optax's types know no arguments without defaults
    return optax.GradientTransformationExtraArgs(method.init, method.update)


@dataclass(frozen=True)
class SelfScaled:
    """A self-scaled member of Broyden's family, and its line search."""

    name: str
    broyden: bool
    linesearch: optax.GradientTransformationExtraArgs
    limit: int

    def init(self, params: PyTree) -> SelfScaledState:
        """No pair yet; raises ValueError for an inverse Hessian beyond the limit."""
        leaves = jax.tree.leaves(params)
        dtype, count = jnp.result_type(*leaves), sum(math.prod(jnp.shape(leaf)) for leaf in leaves)
        size = count**2 * dtype.itemsize
        if size > self.limit:
            raise ValueError(
                f"{self.name}: {count:,} parameters in {dtype} have an inverse Hessian of {as_size(size)}, and "
                f"limit={self.limit} is {as_size(self.limit)}: train with optax.lbfgs() or tx.optim.spring(), take a "
                f"smaller network, or give limit={size}; a device holds seven such matrices"
            )
        return SelfScaledState(jnp.zeros((count, count), dtype), jnp.zeros((), jnp.int32))

    def update(
        self,
        updates: PyTree,
        state: SelfScaledState,
        params: PyTree = None,
        *,
        value: Any,
        grad: PyTree,
        value_fn: Callable[..., Any],
        **more: Any,
    ) -> tuple[PyTree, SelfScaledState]:
        """The step to the point that the line search found, and the state with its pair."""
        if params is None:
            raise ValueError(f"{self.name}: give update(...) the parameters, where the line search starts")
        gradient, leaves_of = ravel_pytree(updates)
        direction, pairs = _direction(state, gradient)
        steps, end = self.linesearch.update(
            leaves_of(direction),
            self.linesearch.init(params),
            params,
            value=value,
            grad=grad,
            value_fn=value_fn,
            **more,
        )
        step = ravel_pytree(steps)[0]
        # A comparison with NaN is false. A search that leaves the domain at every trial returns a step of zero.
        moved = (optax.tree.get(end, "value") <= value + SLACK * jnp.abs(value)) & jnp.any(step != 0)
        step = jnp.where(moved, step, 0)
        change = jnp.where(moved, ravel_pytree(optax.tree.get(end, "grad"))[0] - ravel_pytree(grad)[0], 0)
        new = self._with_pair(SelfScaledState(state.inverse_hessian, pairs), step, change, direction, gradient)
        return leaves_of(step), new._replace(pairs=jnp.where(moved, new.pairs, 0))

    def _with_pair(
        self,
        state: SelfScaledState,
        s: Float[Array, " p"],
        y: Float[Array, " p"],
        direction: Float[Array, " p"],
        gradient: Float[Array, " p"],
    ) -> SelfScaledState:
        """The state after a pair, or the same where its curvature is no more than round-off."""
        first, eps = state.pairs == 0, jnp.finfo(s.dtype).eps
        H = jnp.where(first, jnp.eye(len(s), dtype=s.dtype), state.inverse_hessian)
        Hy = jnp.where(first, y, state.inverse_hessian @ y)
        ys, yHy = y @ s, y @ Hy
        # B s without B: the direction is -H g.
        part = (s @ direction) / (direction @ direction)
        b = jnp.where(first, s @ s, -part * (s @ gradient)) / ys
        h = yHy / ys
        a = jnp.maximum(b * h - 1, eps)  # at least 0, by Cauchy and Schwarz
        theta = _member(a, b, h) if self.broyden else jnp.zeros_like(a)
        phi, tau = (1 - theta) / (1 + a * theta), _scale(a, b, h, theta, len(s), first)
        v = s / ys - Hy / yHy
        scaled = (H - _outer(Hy, Hy) / yHy + phi * yHy * _outer(v, v)) / tau
        curved = (ys > eps * jnp.linalg.norm(y) * jnp.linalg.norm(s)) & (yHy > 0) & jnp.isfinite(phi / tau)
        matrix = jnp.where(curved, scaled + _outer(s, s) / ys, state.inverse_hessian)
        return SelfScaledState(matrix, state.pairs + curved.astype(state.pairs.dtype))


def _direction(state: SelfScaledState, gradient: Float[Array, " p"]) -> tuple[Float[Array, " p"], Int[Array, ""]]:
    """-H g, or downhill by at most 1 where H is the identity or does not descend; and the pairs that remain."""
    size, eps = jnp.linalg.norm(gradient), jnp.finfo(gradient.dtype).eps
    downhill = -jnp.minimum(1, 1 / size) * gradient
    direction = -(state.inverse_hessian @ gradient)
    descends = direction @ gradient < -eps * jnp.linalg.norm(direction) * size
    usable = (state.pairs > 0) & descends
    return jnp.where(usable, direction, downhill), jnp.where(usable, state.pairs, 0)


def _member(a: Array, b: Array, h: Array) -> Array:
    """θ of SSBroyden: (1 - b) / b within the bounds that keep H positive definite."""
    least = jnp.minimum(1, h * (1 - jnp.sqrt(a / (1 + a))))
    return jnp.maximum((least - 1) / a, jnp.minimum(1 / least, (1 - b) / b))


def _scale(a: Array, b: Array, h: Array, theta: Array, parameters: int, first: Array) -> Array:
    """τ: for the first pair h / σ, with σ = 1 + a θ; then Al-Baali's, at most 1 where B's eigenvalues are too large."""
    sigma, most = 1 + a * theta, jnp.minimum(1, 1 / b)
    root = sigma ** (-1 / max(parameters - 1, 1))
    positive = most * jnp.minimum(root, 1 / jnp.where(theta > 0, theta, 1))
    return jnp.where(first, h / sigma, jnp.where(theta > 0, positive, jnp.minimum(most * root, sigma)))


def _outer(one: Float[Array, " p"], other: Float[Array, " p"]) -> Float[Array, "p p"]:
    return one[:, None] * other[None, :]
