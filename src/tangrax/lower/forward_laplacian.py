"""Values, first derivatives and sums of second derivatives of a function of one point, in one pass.

Of a chain f(g(p)) a sum of second derivatives, such as a Laplacian, is ∇²(f∘g) = Df[∇²g] + Σᵢ D²f[∂ᵢg, ∂ᵢg] (the
forward Laplacian of Li et al., arXiv 2307.08214): one coefficient a layer whatever the number of terms, where nested
forward mode has one for each. With D axes a weight of the network is used D + 2 times in place of 2 D + 1, and that
of the first layer, whose operand has no second derivative, D + 1 times.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array, Float

Axes = tuple[int, ...]
Sum = tuple[Axes, ...]  # what is one coefficient: a first derivative, or several of second order
Function = Callable[..., list[Any]]

# Calls that are entered: what they hold gives the same derivatives outside.
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "checkpoint": "jaxpr", "remat2": "jaxpr"}
# Operations without second derivatives in all operands jointly (where pieces meet, as JAX has it) …
LINEAR = {
    *("add", "add_any", "sub", "neg", "reduce_sum", "cumsum", "convert_element_type", "real", "imag", "complex"),
    *("reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "concatenate", "split", "rev", "pad"),
    *("slice", "dynamic_slice", "dynamic_update_slice", "gather", "scatter-add", "select_n", "copy", "copy_p"),
    *("max", "min", "clamp", "reduce_max", "reduce_min", "sort", "reduce_precision", "optimization_barrier"),
}
# … in each operand alone, and in the first alone.
BILINEAR = {"mul", "dot_general", "conv_general_dilated"}
QUOTIENTS = {"div"}
# Operations without any derivative.
STILL = {"stop_gradient", "sign", "floor", "ceil", "round"}


class Jet(NamedTuple):
    """A value and its coefficients; those absent are zero whatever the numbers."""

    value: Any
    along: Mapping[Sum, Any]


def jets(
    function: Callable[[Array], Sequence[Any]], point: Float[Array, " columns"], wanted: Sequence[Iterable[Sum]]
) -> list[Jet]:
    """The results of a function at a point, each with the derivatives wanted of it."""
    closed = jax.make_jaxpr(function)(point)
    needs = [{part for total in sums for part in _beneath(total)} for sums in wanted]
    # Constants, the same in every pass: see common_subexpressions.py.
    units = np.eye(len(point), dtype=point.dtype)
    along = {total: units[total[0][0]] for total in set().union(*needs) if len(total[0]) == 1}
    return _run(closed.jaxpr, closed.consts, [Jet(point, along)], needs)


def _beneath(total: Sum) -> set[Sum]:
    """The coefficients of operands that one of a result follows from."""
    return {total, *(((axis,),) for axes in total for axis in axes)}


def _run(jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Jet], wanted: Sequence[set[Sum]]) -> list[Jet]:
    needs = _needs(jaxpr, wanted)
    jet_of = dict(zip(jaxpr.constvars, (Jet(constant, {}) for constant in constants), strict=True))
    jet_of.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Jet:
        return Jet(atom.val, {}) if isinstance(atom, Literal) else jet_of[atom]

    for equation in jaxpr.eqns:
        if not equation.effects and not any(variable in needs for variable in equation.outvars):
            continue  # nothing that is wanted depends on it
        outputs = [needs.get(variable, set()) for variable in equation.outvars]
        results = _apply(jaxpr, equation, [read(atom) for atom in equation.invars], outputs)
        jet_of.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _needs(jaxpr: Jaxpr, wanted: Sequence[set[Sum]]) -> dict[Any, set[Sum]]:
    """Of each variable that the results depend on the coefficients needed."""
    needs: dict[Any, set[Sum]] = {}

    def add(atoms: Sequence[Any], sums: set[Sum]) -> None:
        for atom in atoms:
            if not isinstance(atom, Literal):
                needs.setdefault(atom, set()).update(sums)

    for atom, sums in zip(jaxpr.outvars, wanted, strict=True):
        add([atom], sums)
    for equation in reversed(jaxpr.eqns):
        outputs = [needs[variable] for variable in equation.outvars if variable in needs]
        if outputs or equation.effects:
            add(equation.invars, set().union(*outputs))
    return needs


def _apply(jaxpr: Jaxpr, equation: Any, operands: Sequence[Jet], wanted: Sequence[set[Sum]]) -> list[Jet]:
    """The results of one operation with the coefficients wanted."""
    name = equation.primitive.name
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        if isinstance(inner, ClosedJaxpr):
            return _run(inner.jaxpr, inner.consts, operands, wanted)
        return _run(inner, (), operands, wanted)
    function, values = alone(jaxpr, equation), [operand.value for operand in operands]
    sums = set().union(*wanted)
    moving = [place for place, operand in enumerate(operands) if sums.intersection(operand.along)]
    if not moving or name in STILL:
        return [Jet(result, {}) for result in function(*values)]
    tangents = {
        total: {place: operand.along[total] for place, operand in enumerate(operands) if total in operand.along}
        for total in sums
    }
    if name == "custom_jvp_call":
        return _by_rule(function, values, tangents, moving)
    results = function(*values)
    along: list[dict[Sum, Any]] = [{} for _ in results]
    for total in sorted(sums):
        parts = [_slope(function, values, tangents[total])] if tangents[total] else []
        for i, j in () if len(total[0]) == 1 or _straight(name, moving) else total:
            first, second = tangents[(i,),], tangents[(j,),]
            if first and second:
                parts.append(_slope(lambda *at, t=first: _slope(function, at, t), values, second))
        _add(along, total, parts)
    return [Jet(result, known) for result, known in zip(results, along, strict=True)]


def _add(along: Sequence[dict[Sum, Any]], total: Sum, parts: Sequence[Sequence[Any]]) -> None:
    """A coefficient of each result put among those known, from the parts that it is the sum of."""
    for place, known in enumerate(along):
        terms = [part[place] for part in parts if part[place].dtype != jax.dtypes.float0]
        if terms:
            known[total] = sum(terms[1:], start=terms[0])


def _slope(function: Function, values: Sequence[Any], tangents: Mapping[int, Any]) -> list[Any]:
    """The derivative of a function's results, its operands moving along the tangents; the others stand."""
    moved, at = _moved(function, values, list(tangents))
    return jax.jvp(moved, at, list(tangents.values()))[1]


def _by_rule(
    function: Function, values: Sequence[Any], tangents: Mapping[Sum, Mapping[int, Any]], places: Sequence[int]
) -> list[Jet]:
    """The results of a function with a derivative of its own, which is called once.

    No two calls of it are known to be equal, since each is traced with a rule of its own; neither would be what is
    computed from them, and the weights behind it were used anew.
    """
    moved, at = _moved(function, values, places)

    def along(total: Sum) -> list[Any]:
        return [tangents[total].get(place, jnp.zeros_like(values[place])) for place in places]

    def with_slopes(*at: Any) -> tuple[list[Any], dict[Sum, list[Any]]]:
        results, slope = jax.linearize(moved, *at)
        return results, {total: slope(*along(total)) for total in tangents if len(total[0]) == 1 and tangents[total]}

    (results, slopes), slope = jax.linearize(with_slopes, *at)
    coefficients: list[dict[Sum, Any]] = [{} for _ in results]
    for total in sorted(tangents):
        if len(total[0]) == 1:
            parts = [slopes[total]] if total in slopes else []
        else:
            parts = [slope(*along(total))[0]] if tangents[total] else []
            pairs = [(i, j) for i, j in total if tangents[(i,),] and tangents[(j,),]]
            parts += [slope(*along(((j,),)))[1][(i,),] for i, j in pairs]
        _add(coefficients, total, parts)
    return [Jet(result, along_result) for result, along_result in zip(results, coefficients, strict=True)]


def _moved(function: Function, values: Sequence[Any], places: Sequence[int]) -> tuple[Function, list[Any]]:
    """The same as a function of some of its operands, and these; the others stand."""

    def moved(*at: Any) -> list[Any]:
        now = dict(zip(places, at, strict=True))
        return function(*[now.get(place, value) for place, value in enumerate(values)])

    return moved, [values[place] for place in places]


def _straight(name: str, moving: Sequence[int]) -> bool:
    """Whether an operation has no second derivative in the operands that depend on the point."""
    return name in LINEAR or (name in BILINEAR and len(moving) == 1) or (name in QUOTIENTS and moving == [0])


def alone(like: Jaxpr, equation: Any) -> Function:
    """One operation of the program `like` as a function of its operands."""
    places = {atom: place for place, atom in enumerate(equation.invars) if not isinstance(atom, Literal)}
    about = like.debug_info._replace(arg_names=None, result_paths=None)
    program = ClosedJaxpr(
        like.replace(
            constvars=[],
            invars=list(places),
            outvars=equation.outvars,
            eqns=[equation],
            effects=equation.effects,
            debug_info=about,
        ),
        (),
    )
    return lambda *values: jaxpr_as_fun(program)(*[values[place] for place in places.values()])
