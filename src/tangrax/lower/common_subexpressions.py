"""Equal operations of a traced function made one, before it is differentiated.

Nested forward mode computes a first derivative twice: as the tangent of the value, and again as what the second
derivative is the tangent of. XLA merges the two, but by then reverse mode has pulled each back on its own. Merged
in the trace, a second derivative along an axis uses each weight 3 times instead of 4, in both passes.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var, jaxpr_as_fun

SMALL = 64  # entries up to which constants are compared by value


def merged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, each operation on the same operands done once."""

    def once(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        closed, shape = jax.make_jaxpr(lambda *flat: function(*tree.unflatten(flat)), return_shape=True)(*leaves)
        results = jaxpr_as_fun(_Merge().of(closed))(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return once


class _Merge:
    """Rewrites one traced program; `replacement` of each variable, `results` of each operation met before."""

    def __init__(self) -> None:
        self.replacement: dict[Any, Any] = {}
        self.results: dict[Any, list[Any]] = {}
        self.equations: list[Any] = []
        self.constants: dict[Any, tuple[Any, Any]] = {}

    def of(self, closed: ClosedJaxpr) -> ClosedJaxpr:
        self._bind_constants(closed)
        self._add(closed.jaxpr)
        variables, values = zip(*self.constants.values(), strict=True) if self.constants else ((), ())
        outputs = [self._now(atom) for atom in closed.jaxpr.outvars]
        jaxpr = closed.jaxpr.replace(constvars=list(variables), outvars=outputs, eqns=self.equations)
        return ClosedJaxpr(jaxpr, list(values))

    def _now(self, atom: Any) -> Any:
        return atom if isinstance(atom, Literal) else self.replacement.get(atom, atom)

    def _bind_constants(self, closed: ClosedJaxpr) -> None:
        for variable, value in zip(closed.jaxpr.constvars, closed.consts, strict=True):
            fresh = Var(variable.aval)
            self.replacement[variable], _ = self.constants.setdefault(_identity(value), (fresh, value))

    def _add(self, jaxpr: Jaxpr) -> None:
        for equation in jaxpr.eqns:
            operands = [self._now(atom) for atom in equation.invars]
            inner = equation.params.get("jaxpr")
            if equation.primitive.name in ("jit", "pjit") and isinstance(inner, ClosedJaxpr):
                self._bind_constants(inner)
                self.replacement.update(zip(inner.jaxpr.invars, operands, strict=True))
                self._add(inner.jaxpr)
                results = [self._now(atom) for atom in inner.jaxpr.outvars]
            else:
                results = self._result(equation, operands)
            self.replacement.update(zip(equation.outvars, results, strict=True))

    def _result(self, equation: Any, operands: list[Any]) -> list[Any]:
        key = (equation.primitive, equation.ctx, tuple(equation.params.items()), tuple(map(_name, operands)))
        try:
            repeated = None if equation.effects else self.results.get(key)
        except TypeError:  # a parameter that cannot be hashed
            key = repeated = None
        if repeated is not None:
            return repeated
        results = [Var(variable.aval) for variable in equation.outvars]
        self.equations.append(equation.replace(invars=operands, outvars=results))
        if key is not None:
            self.results[key] = results
        return results


def _name(atom: Any) -> Any:
    return _identity(atom.val) if isinstance(atom, Literal) else atom


def _identity(value: Any) -> Any:
    """Small constants are the same if their entries are; all else is only the same as itself."""
    if isinstance(value, (bool, int, float, complex, np.ndarray, np.generic)) and np.size(value) <= SMALL:
        array = np.asarray(value)
        return array.dtype.str, array.shape, array.tobytes(), jax.typeof(value).weak_type
    return id(value)
