"""Runs functions that fill arrays with a number without compiling a program for each shape."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from ..expr import as_jax
from ..lower import alone


def filled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its arrays of one number made on the host.

    Run operation by operation, JAX keeps a program for every shape, a megabyte or two each, as long as the process
    lives: those of a thousand networks of different widths would fill its memory.
    """

    def without_programs(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        try:
            traced = jax.make_jaxpr(lambda *flat: function(*tree.unflatten(flat)), return_shape=True)
            closed, shape = traced(*leaves)
        except jax.errors.JAXTypeError:  # it looks at numbers, of which a trace has none
            return function(*args)
        values: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
        values.update(zip(closed.jaxpr.invars, leaves, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values[atom]

        for equation in closed.jaxpr.eqns:
            operands, out = [read(atom) for atom in equation.invars], equation.outvars[0].aval
            if equation.primitive.name == "broadcast_in_dim" and np.ndim(operands[0]) == 0 and not out.weak_type:
                results = [np.full(out.shape, operands[0], out.dtype)]
            else:
                results = alone(closed.jaxpr, equation)(*operands)
            values.update(zip(equation.outvars, results, strict=True))
        flat = [_result(read(atom), atom.aval.weak_type) for atom in closed.jaxpr.outvars]
        return jax.tree.unflatten(jax.tree.structure(shape), flat)

    return without_programs


def _result(value: Any, weak: bool) -> Any:
    if weak:  # what NumPy has in a type of its own would not be
        return jnp.asarray(value.item() if isinstance(value, np.generic) else value)
    return as_jax(value)
