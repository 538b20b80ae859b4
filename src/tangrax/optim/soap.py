"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, as an optax transformation.

Of each weight matrix with gradient G, L and R are moving averages of GGᵀ and GᵀG, and Adam sees Q_LᵀGQ_R, with Q_L and
Q_R their eigenvectors. Vyas et al., arXiv 2409.11321, algorithm 3; for PINNs Wang et al., arXiv 2502.00604.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

LARGEST = 4096  # rows of a basis: an axis that is longer has none
BASIS = Float[Array, "d d"] | None


class SoapState(NamedTuple):
    """What a step passes to the next one; of each leaf in order, one entry an axis."""

    steps: Int[Array, ""]
    adam: optax.ScaleByAdamState  # in the bases
    averages: tuple[tuple[BASIS, ...], ...]  # L and R
    bases: tuple[tuple[BASIS, ...], ...]  # Q_L and Q_R


def soap(
    learning_rate: optax.ScalarOrSchedule = 3e-3,
    *,
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    every: int = 10,
) -> optax.GradientTransformation:
    """Adam in the eigenbasis of Shampoo's preconditioner: steps of equal size along directions that belong together.

    Vectors and numbers (biases) have no basis: for them it is Adam. Arrays of more than two axes have a basis for each.
    The first step only measures: nothing moves in it, as in the authors' program. State beside Adam's: 2 (m² + n²)
    numbers for an m x n matrix. An axis of more than 4096 has no basis; the authors leave out long ones too.

    Eigenvectors of equal eigenvalues are what rounding makes of them, and those of L and R that gradients have not
    touched are all equal. A diagonal of √(machine epsilon) of the trace, falling along it, decides them, so that
    runs on different numbers of devices agree.

    Args:
        learning_rate: a number or a schedule.
        b1: part of the first moment that stays.
        b2: part of the second moment that stays, and of L and R.
        eps: added to the root of the second moment.
        every: steps between two refreshments of the bases, each by one QR decomposition; the first by eigenvectors.

    Raises:
        ValueError: for an argument out of its range.
    """
    for name, number in (("b1", b1), ("b2", b2)):
        if not 0 <= number < 1:
            raise ValueError(f"soap({name}={number}): the part of an average that stays, 0 to below 1")
    if not eps >= 0:
        raise ValueError(f"soap(eps={eps}): 0 or above")
    if every < 1:
        raise ValueError(f"soap(every={every}): steps between two refreshments of the bases, at least 1")
    scaled: Any = Soap(b1, b2, eps, every)  # optax's types know no states but trees of arrays
    return optax.chain(
        optax.GradientTransformation(scaled.init, scaled.update), optax.scale_by_learning_rate(learning_rate)
    )


@dataclass(frozen=True)
class Soap:
    """SOAP's direction, without a learning rate."""

    b1: float
    b2: float
    eps: float
    every: int

    @property
    def adam(self) -> optax.GradientTransformation:
        return optax.scale_by_adam(self.b1, self.b2, self.eps)

    def init(self, params: PyTree) -> SoapState:
        """Zeros: the first step fills them."""
        empty = tuple(_empty(leaf) for leaf in jax.tree.leaves(params))
        adam: Any = self.adam.init(params)
        return SoapState(jnp.zeros((), jnp.int32), adam, empty, empty)

    def update(self, updates: PyTree, state: SoapState, params: PyTree = None) -> tuple[PyTree, SoapState]:
        """The direction, and the state with the averages and bases of the next step."""
        leaves, structure = jax.tree.flatten(updates)
        averages = tuple(self._averaged(g, old) for g, old in zip(leaves, state.averages, strict=True))

        def first() -> tuple[list[Array], optax.ScaleByAdamState, tuple[tuple[BASIS, ...], ...]]:
            bases = tuple(tuple(None if a is None else _eigenvectors(a) for a in each) for each in averages)
            return [jnp.zeros_like(leaf) for leaf in leaves], state.adam, bases

        def later() -> tuple[list[Array], optax.ScaleByAdamState, tuple[tuple[BASIS, ...], ...]]:
            rotated = structure.unflatten([_into(g, q) for g, q in zip(leaves, state.bases, strict=True)])
            steps, adam = self.adam.update(rotated, state.adam)
            back = [_out_of(step, q) for step, q in zip(jax.tree.leaves(steps), state.bases, strict=True)]
            due = state.steps % self.every == 0
            return back, *jax.lax.cond(due, refreshed, lambda adam: (adam, state.bases), adam)

        def refreshed(adam: optax.ScaleByAdamState) -> tuple[optax.ScaleByAdamState, tuple[tuple[BASIS, ...], ...]]:
            pairs = [_refreshed(*each) for each in zip(averages, state.bases, strict=True)]
            bases = tuple(bases for bases, _ in pairs)
            moments = zip(jax.tree.leaves(adam.mu), jax.tree.leaves(adam.nu), state.bases, pairs, strict=True)
            mu, nu = [], []
            for one, two, old, (new, order) in moments:
                mu.append(_into(_out_of(one, old), new))
                nu.append(_reordered(two, order))
            return adam._replace(mu=structure.unflatten(mu), nu=structure.unflatten(nu)), bases

        steps, adam, bases = jax.lax.cond(state.steps == 0, first, later)
        return structure.unflatten(steps), SoapState(state.steps + 1, adam, averages, bases)

    def _averaged(self, gradient: Array, old: tuple[BASIS, ...]) -> tuple[BASIS, ...]:
        """Moving averages of the products of the gradient with itself, over all axes but one."""
        new = []
        for axis, average in enumerate(old):
            if average is None:
                new.append(None)
            else:
                rows = jnp.moveaxis(gradient, axis, 0).reshape(len(average), -1)
                new.append(self.b2 * average + (1 - self.b2) * (rows @ rows.T))
        return tuple(new)


def _empty(leaf: Array) -> tuple[BASIS, ...]:
    """Room for a matrix an axis, or None: of vectors, of axes of one and of those that are too long."""
    shape = jnp.shape(leaf)
    dtype = jnp.result_type(leaf)
    return tuple(jnp.zeros((size, size), dtype) if len(shape) > 1 and 1 < size <= LARGEST else None for size in shape)


def _into(array: Array, bases: Sequence[BASIS]) -> Array:
    """The array in the bases: Q_Lᵀ A Q_R."""
    for axis, basis in enumerate(bases):
        if basis is not None:
            array = jnp.moveaxis(jnp.tensordot(basis, array, axes=(0, axis)), 0, axis)
    return array


def _out_of(array: Array, bases: Sequence[BASIS]) -> Array:
    """The array from its bases: Q_L A Q_Rᵀ."""
    return _into(array, [None if basis is None else basis.T for basis in bases])


def _reordered(array: Array, orders: Sequence[Int[Array, " d"] | None]) -> Array:
    for axis, order in enumerate(orders):
        if order is not None:
            array = jnp.take(array, order, axis)
    return array


def _decided(average: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """With a small diagonal that tells its equal eigenvalues apart."""
    tiny = jnp.finfo(average.dtype).eps ** 0.5 * jnp.trace(average)
    return average + tiny * jnp.diag(jnp.linspace(1, 0.5, len(average), dtype=average.dtype))


def _eigenvectors(average: Float[Array, "d d"]) -> Float[Array, "d d"]:
    """As columns, those of large eigenvalues first."""
    return jnp.linalg.eigh(_decided(average))[1][:, ::-1]


def _refreshed(
    averages: Sequence[BASIS], bases: Sequence[BASIS]
) -> tuple[tuple[BASIS, ...], tuple[Int[Array, " d"] | None, ...]]:
    """Bases after a step of orthogonal iteration, and the order of their columns, by falling eigenvalues."""
    new, orders = [], []
    for average, basis in zip(averages, bases, strict=True):
        if average is None or basis is None:
            new.append(None)
            orders.append(None)
        else:
            product = _decided(average) @ basis
            order = jnp.argsort(-jnp.sum(basis * product, axis=0))
            new.append(jnp.linalg.qr(product[:, order])[0])
            orders.append(order)
    return tuple(new), tuple(orders)
