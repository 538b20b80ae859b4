"""Checks that networks are smooth enough for the derivatives in space and time that are taken of them.

A network of relu is linear between its kinks: its second derivative is zero at every point, and u'' = f, as far as any
number shows, cannot be trained or is solved before it begins. Neither names nor zeros alone tell: a linear network has
no second derivative either, and rightly. What tells is a k-th derivative that is zero to the last bit at all of many
inputs, while k-th differences between these inputs are not: no polynomial of degree k - 1, hence pieces of some.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..expr import Node, Trainable, derivative_orders
from ..parallel import Transport
from .memory import inner_jaxprs

# Without one of these a function has no pieces: most networks have none, and are not evaluated.
PIECES = {"max", "min", "sign", "abs", "floor", "ceil", "round", "clamp", "select_n", "reduce_max", "reduce_min"}
PIECES |= {"gt", "ge", "lt", "le"}
INPUTS, SCALES = 64, (-1.0, 2.0)  # how many are tried, of a size from 0.1 to 100
DIFFERS = 1e-3  # of the largest value: differences above it are none of rounding


def warn_of_rough(roots: Sequence[Node], transport: Transport) -> None:
    """Warn once of each network that is too rough, at the line that called `tx.core`."""
    for text in too_rough(roots) if transport.writes else ():
        warnings.warn(text, stacklevel=4)


def too_rough(roots: Sequence[Node]) -> list[str]:
    """A sentence for each network whose derivatives in the roots are zero between its kinks."""
    sentences = []
    for (trainable, size), order in derivative_orders(roots).items():
        if order and _has_pieces(trainable, size) and _is_polynomial_in_pieces(trainable, size, order):
            sentences.append(
                f"'{trainable.name}' is differentiated {order} times in space or time, and its derivatives of order "
                f"{order} are exactly zero at every input but at its kinks, as those of relu are from the second on: "
                f"no equation can train them. Take a smooth activation, such as tanh, sin, gelu or softplus"
            )
    return sentences


def _has_pieces(trainable: Trainable, size: int) -> bool:
    """Whether a network is computed by something that has kinks or jumps."""

    def within(jaxpr: Any) -> bool:
        return any(
            equation.primitive.name in PIECES
            or any(within(inner) for value in equation.params.values() for inner in inner_jaxprs(value))
            for equation in jaxpr.eqns
        )

    dtype = jax.tree.leaves(trainable.initial)[0].dtype
    inputs = [jax.ShapeDtypeStruct((size,), dtype)]
    return within(jax.make_jaxpr(trainable.apply)(trainable.initial, inputs).jaxpr)


def _is_polynomial_in_pieces(trainable: Trainable, size: int, order: int) -> bool:
    """Whether all derivatives of an order are zero where differences of it are not, as the network is at first."""
    dtype = jax.tree.leaves(trainable.initial)[0].dtype
    rng = np.random.default_rng(0)
    scales = np.logspace(*SCALES, INPUTS)[:, None]
    starts, steps = (jnp.asarray(scales * rng.normal(size=(INPUTS, size)), dtype) for _ in range(2))

    def at(start: Any, step: Any) -> tuple[Any, Any]:
        def along(s: Any) -> Any:
            return trainable.apply(trainable.initial, [start + s * step])

        derivative = along
        for _ in range(order):
            derivative = lambda s, f=derivative: jax.jvp(f, (s,), (jnp.ones_like(s),))[1]  # noqa: E731
        places = jnp.arange(order + 1, dtype=dtype)
        return jax.vmap(along)(places), jax.vmap(derivative)(places)

    values, derivatives = map(np.asarray, jax.jit(jax.vmap(at))(starts, steps))
    differences = np.abs(np.diff(values, order, axis=1)[:, 0])
    return not derivatives.any() and bool((differences > DIFFERS * np.abs(values).max(axis=1)).any())
