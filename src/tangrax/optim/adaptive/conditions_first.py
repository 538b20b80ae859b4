"""Conditions first: differential equations count once the conditions are met, by their size at that time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...expr import Node, PointSet, Trainable, all_nodes, derivative_orders
from .adaptive_rule import AdaptiveMethod, AdaptiveRule, AdaptiveWeight, check_interval, check_names, check_within

LEADING = 1e-3  # weighted equations over conditions, at most, until these are met: it chooses a smooth network
FALLS = 0.9  # conditions that have more of their loss left after a look do not fall: the equations hold them up
RELEASED = 0.3  # of the weight is left then
LOOKS = 25  # after which conditions that are not met, such as noisy data, count as met as far as they can be
LITTLE = 0.1  # weighted equations over conditions, below which the weight grows
LOST = 10.0  # growth of the conditions' loss since they were met, above which the weight falls
FACTOR = 1.5  # by which it grows or falls at a look


class Progress(NamedTuple):
    """What one look passes to the next."""

    weight: Float[Array, ""]  # of the equations
    looks: Int[Array, ""]
    start: Float[Array, ""]  # loss of the conditions at the first look
    before: Float[Array, ""]  # the same at the last look
    met: Bool[Array, ""]  # whether they have been
    least: Float[Array, ""]  # their loss when they were


@dataclass(frozen=True)
class ConditionsFirst(AdaptiveMethod):
    """The arguments of `conditions_first`."""

    equations: tuple[str, ...]
    interval: int
    share: float
    met: float

    def compile(self, terms, wrt):
        check_names("conditions_first", self.equations, terms)
        equations = self.equations or equations_of(terms)
        others = [name for name in terms if name not in equations]
        if not equations or not others:
            what = "no term holds a derivative" if not equations else "all terms are equations"
            raise ValueError(
                f"conditions_first(): {what}, of {', '.join(terms)}: it weighs differential equations against "
                f"conditions or data. Name the equations, conditions_first('pde'), or leave it out"
            )
        return ConditionsFirstRule(self, terms, equations)


class ConditionsFirstRule(AdaptiveRule):
    """The loss w Σ equations + Σ conditions."""

    def __init__(self, method: ConditionsFirst, terms: Mapping[str, Node], equations: Sequence[str]):
        self.method, self.interval = method, method.interval
        self.weight = AdaptiveWeight("equation_weight", jnp.ones(()))
        self.terms = {name: self.weight.node * term if name in equations else term for name, term in terms.items()}
        self.measured = tuple(terms.values())
        self.is_equation = [name in equations for name in terms]
        self.names = tuple(f"weight/{name}" for name in terms if name in equations)

    def init(self, dtype):
        one = jnp.ones((), dtype)
        return Progress(one, jnp.zeros((), jnp.int32), one, jnp.asarray(jnp.inf, dtype), jnp.zeros((), bool), one)

    def term_weights(self, state) -> dict[Trainable, Any]:
        return {self.weight: state.weight}

    def update(self, state, rows, values, epoch):
        numbers = jnp.stack(values).astype(state.weight.dtype)
        equations = jnp.sum(jnp.where(jnp.asarray(self.is_equation), numbers, 0))
        conditions = jnp.sum(numbers) - equations
        start = jnp.where(state.looks > 0, state.start, conditions)
        met = state.met | (conditions <= self.method.met * start) | (state.looks >= LOOKS)
        begins = met & ~state.met
        least = jnp.where(begins, conditions, state.least)
        held = conditions > FALLS * state.before
        leading = jnp.minimum(LEADING * conditions / equations, jnp.where(held, RELEASED, 1) * state.weight)
        # Conditions that hold to rounding from the start are built in: the equations are all there is to solve.
        built_in = start <= jnp.finfo(start.dtype).eps * equations
        natural = jnp.where(built_in, 1, self.method.share * start / equations)
        weight = jnp.where(met, jnp.where(begins, natural, self._followed(state, equations, conditions)), leading)
        new = Progress(jnp.minimum(weight, 1), state.looks + 1, start, conditions, met, least)
        # What is not finite stops the run where the loss is: weights made from it would hide the cause.
        good = jnp.isfinite(numbers).all() & (equations > 0)
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), new, state), rows

    def _followed(self, state: Progress, equations: Array, conditions: Array) -> Array:
        """The weight after another look: larger while the conditions stay met and outweigh the equations."""
        little = (state.weight * equations < LITTLE * conditions) & (conditions <= state.least)
        lost = conditions > LOST * state.least
        return state.weight * jnp.where(little, FACTOR, jnp.where(lost, 1 / FACTOR, 1))

    def recorded(self, state, values):
        return [state.weight for _ in self.names]


def equations_of(terms: Mapping[str, Node]) -> list[str]:
    """Return the names of terms that are differential equations.

    Those with derivatives in space or time, on the points on which a term takes derivatives of the highest order.
    """
    orders = {name: max(derivative_orders([term]).values(), default=0) for name, term in terms.items()}
    highest = max(orders.values(), default=0)
    points = {each for name, term in terms.items() if orders[name] == highest for each in _points(term)}
    return [name for name, term in terms.items() if orders[name] > 0 and _points(term) & points]


def _points(term: Node) -> set[PointSet]:
    return {node.points for node in all_nodes([term]) if node.points is not None}


def conditions_first(*equations: str, every: int = 2, share: float = 0.1, met: float = 1e-2) -> AdaptiveMethod:
    """One weight for all differential equations: tiny until the conditions are met, then by the equations' size.

    A network that is nearly constant solves many equations and no condition, and a loss with equal weights is low
    there. So the conditions are met first, with a weight that falls as far as they need, by a network that is wrong in
    between. The loss E of the equations there is their natural size: from then on their weight is share C₀ / E, with
    the loss C₀ of the conditions at the start. It grows by 1.5 at each look while the conditions stay met and the
    weighted equations have less than a tenth of their loss, and falls if the conditions' loss becomes ten times what
    it was when they were met. It is at most 1: the terms as they were given. That it is at once where the conditions
    are built in, and hold to rounding from the start.

    Made for optimizers that solve for all residuals at once, such as `tx.optim.gauss_newton()`. The weight is recorded
    as `weight/NAME` of each equation.

    Args:
        *equations: names of the terms that are equations; by default those with derivatives in space or time, on the
            points where a term takes derivatives of the highest order.
        every: epochs between two looks; some hundred for optimizers of many small steps.
        share: of the weighted equations in the conditions' first loss, when these are met; positive.
        met: part of their first loss at which conditions count as met, from 0 to 1; after 25 looks they do anyway.

    Raises:
        ValueError: an argument is out of range; from `tx.core`, where there are no equations or no conditions.
    """
    check_interval("conditions_first", every)
    check_within("conditions_first", "met", met, 0, 1)
    if not share > 0:
        raise ValueError(f"conditions_first: share={share!r} must be positive")
    return ConditionsFirst(equations, every, share, met)
