"""Updates that go against no term: one direction from the gradients of all."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ...expr import Node, Selection, cosine, ops
from .adaptive_rule import AdaptiveMethod, AdaptiveRule, check_interval, check_within


@dataclass(frozen=True)
class Conflict(AdaptiveMethod):
    """One direction from G gradients; with `below`, only while the least cosine between two is below it."""

    below: float | None
    interval: int

    @abc.abstractmethod
    def combined(self, lengths: Float[Array, " g"], units: Float[Array, "g p"], epoch: ArrayLike) -> Float[Array, " p"]:
        """One vector from lengths and directions of all gradients; the direction of a gradient of zeros is zeros."""

    def direction(self, gradients: Sequence[Float[Array, " p"]], epoch: ArrayLike) -> Float[Array, " p"]:
        """One vector from all gradients."""
        stacked = jnp.stack(gradients)
        # Scaled before they are squared: squares of small float32 gradients would underflow.
        largest = jnp.max(jnp.abs(stacked), axis=1)
        scaled = stacked / jnp.where(largest > 0, largest, 1)[:, None]
        norms = jnp.linalg.norm(scaled, axis=1)
        units = scaled / jnp.where(norms > 0, norms, 1)[:, None]
        return self.combined(largest * norms, units, epoch)

    def compile(self, terms, wrt):
        if len(terms) < 2:
            raise ValueError(
                f"tx.core: conflict= needs two terms or more, and the loss has {', '.join(terms)} alone: split it, "
                f"such as into groups {{'left': pde[left].mse, 'right': pde[right].mse}}"
            )
        return ConflictRule(self, terms, wrt)


class ConflictRule(AdaptiveRule):
    """Turns conflict-free updates on: always, or while two of the gradients conflict."""

    names = ("conflict/cosine", "conflict/on")

    def __init__(self, method: Conflict, terms: Mapping[str, Node], wrt: tuple[Selection, ...]):
        self.method, self.terms, self.interval = method, terms, method.interval
        self.measured = (cosine([Node(ops.Gradient(wrt), term) for term in terms.values()]),)

    def init(self, dtype):
        return jnp.asarray(self.method.below is None)

    def update(self, state, rows, values, epoch):
        return (state if self.method.below is None else _least(values[0]) < self.method.below), rows

    def recorded(self, state, values):
        return [_least(values[0]), state]

    def messages(self, epochs: np.ndarray, values: Sequence[np.ndarray], before: Mapping[str, Any]) -> list[str]:
        if self.method.below is None:
            return []
        cosines, on = values
        last = np.array([before.get("conflict/on", False), *on], dtype=bool)
        return [
            f"epoch {epochs[i]}: least cosine of two terms' gradients {cosines[i]:.3g}, conflict-free updates "
            f"{'on' if on[i] else 'off'}"
            for i in np.flatnonzero(last[1:] != last[:-1])
        ]


@dataclass(frozen=True)
class PCGrad(Conflict):
    """Gradient surgery: each gradient without its part against others."""

    seed: int

    def combined(self, lengths, units, epoch):
        # What is left of a gradient is a sum of all: but for two products with them, everything is of G numbers.
        cosines, count = units @ units.T, len(lengths)
        key = jax.random.fold_in(jax.random.key(self.seed), epoch)

        def one(i: Any, total: Any) -> Any:
            others = jax.random.permutation(jax.random.fold_in(key, i), count)

            def without(k: Any, shares: Any) -> Any:
                other = others[k]
                along = shares @ cosines[:, other]
                against = (along < 0) & (other != i)
                return shares.at[other].add(jnp.where(against, -along, 0))

            own = jnp.zeros(count, lengths.dtype).at[i].set(lengths[i])
            return total + jax.lax.fori_loop(0, count, without, own)

        return jax.lax.fori_loop(0, count, one, jnp.zeros(count, lengths.dtype)) @ units


@dataclass(frozen=True)
class ConFIG(Conflict):
    """One direction with the same cosine to all gradients."""

    def combined(self, lengths, units, epoch):
        # By singular values of the unit gradients: products of them would lose half of the digits where they conflict.
        left, values, right = jnp.linalg.svd(units, full_matrices=False)
        significant = values > jnp.finfo(values.dtype).eps * max(units.shape)
        shares = jnp.where(significant, jnp.sum(left, axis=0) / jnp.where(significant, values, 1), 0)
        norm = jnp.linalg.norm(shares)
        towards = shares / jnp.where(norm > 0, norm, 1)
        return jnp.dot(lengths, left @ (values * towards)) * (towards @ right)


def pcgrad(*, below: float | None = None, every: int = 100, seed: int = 0) -> Conflict:
    """Gradient surgery: removes from each term's gradient what opposes another term's, then sums them.

    Yu et al., Gradient surgery for multi-task learning (2020), algorithm 1.

    Args:
        below: active only while the least cosine of two terms' gradients is below this (-1 to 1); always by default.
        every: epochs between measurements of that cosine.
        seed: of the random order of the other terms.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("pcgrad", below, every)
    return PCGrad(below, every, seed)


def config(*, below: float | None = None, every: int = 100) -> Conflict:
    """Descends along the direction that has the same, largest possible cosine with all terms' gradients.

    u = U(A⁺ 1), with the unit gradients as rows of A and U(x) = x/|x|; the update is (Σ gᵢ·u) u.
    Liu, Chu and Thuerey, ConFIG: towards conflict-free training of physics informed neural networks (2024), eq. 2.

    Args:
        below: active only while the least cosine of two terms' gradients is below this (-1 to 1); always by default.
        every: epochs between measurements of that cosine.

    Raises:
        ValueError: an argument is out of range.
    """
    _check("config", below, every)
    return ConFIG(below, every)


def _check(what: str, below: float | None, every: Any) -> None:
    check_interval(what, every)
    if below is not None:
        check_within(what, "below", below, -1, 1)


def _least(cosines: Float[Array, "g g"]) -> Any:
    """The least of the entries off the diagonal."""
    return jnp.min(jnp.where(jnp.eye(len(cosines), dtype=bool), jnp.inf, cosines))
