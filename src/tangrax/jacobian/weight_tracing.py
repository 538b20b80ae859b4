"""Uses of each parameter in the trace of a function of parameters and a point.

Where a weight matrix W meets a vector a, and b is the cotangent of their product, ∂r/∂W gains b aᵀ. A residual with
derivatives uses each weight a handful of times. A bias c added to the product W a and to nothing else has the same
cotangent b, so it is recorded with that use.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var
from jaxtyping import Array

from ..lower import alone

# Calls that are entered when a weight goes into them: what they hold gives the same values outside.
CALLS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2", "remat")
INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")

Function = Callable[[list[Any], Any], Any]


@dataclass(frozen=True)
class Weight:
    """A leaf as an operation in the trace sees it: reshaped or cast by `chain`, then transposed or not."""

    leaf: int
    value: Array
    chain: tuple[Any, ...] = ()
    turned: bool = False


@dataclass(frozen=True)
class Use:
    """A product of a weight with `other`: which axes of both are summed over, and the shape of the result."""

    leaf: int
    chain: tuple[Any, ...]
    axis: int  # of the leaf as its chain leaves it
    first: bool  # whether the weight is the first operand
    other_axis: int
    columns: int  # vectors of `other`
    probe: int  # which probe stands at the result
    shape: tuple[int, int]
    bias: int | None = None  # the leaf added to the result, and what stands at the sum is the probe


@dataclass(frozen=True)
class _Product:
    """A weight times a vector, used by one operation alone: its probe is added before or after that operation."""

    value: Array
    use: int
    probe: int


class Reader:
    """Interpreter of a traced function that records the uses of its weights.

    With `probes`, the i-th is added to the result of the i-th product: its cotangent is that of the result.
    """

    def __init__(self, probes: Sequence[Any] | None = None):
        self.probes = probes
        self.uses: list[Use] = []
        self.others: list[Array] = []
        self.shapes: list[jax.ShapeDtypeStruct] = []
        self.unfit: set[int] = set()

    def run(self, closed: ClosedJaxpr, arguments: Sequence[Any]) -> list[Any]:
        return [self._plain(value) for value in self._run(closed.jaxpr, closed.consts, arguments)]

    def _run(self, jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
        values_of: dict[Any, Any] = {}
        read_by = Counter(atom for e in jaxpr.eqns for atom in e.invars if isinstance(atom, Var))
        read_by.update(atom for atom in jaxpr.outvars if isinstance(atom, Var))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else values_of[atom]

        values_of.update(zip(jaxpr.constvars, constants, strict=True))
        values_of.update(zip(jaxpr.invars, arguments, strict=True))
        for equation in jaxpr.eqns:
            values = [read(atom) for atom in equation.invars]
            results = self._apply(jaxpr, equation, values)
            # A product that several operations see is what it is: a bias added by one of them is not in all.
            values_of.update(
                (variable, value if read_by[variable] == 1 else self._settled(value))
                for variable, value in zip(equation.outvars, results, strict=True)
            )
        return [self._settled(read(atom)) for atom in jaxpr.outvars]

    def _settled(self, value: Any) -> Any:
        """The value of a product, its probe added; other values as they are."""
        if not isinstance(value, _Product):
            return value
        return value.value if self.probes is None else value.value + self.probes[value.probe]

    def _plain(self, value: Any) -> Any:
        """The value of a weight used as plain numbers, which leaves it without factors."""
        if isinstance(value, Weight):
            self.unfit.add(value.leaf)
            return value.value
        return self._settled(value)

    def _apply(self, jaxpr: Jaxpr, equation: Any, values: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name in ("add", "add_any"):
            biased = self._sum(values)
            if biased is not None:
                return [biased]
        values = [self._settled(value) for value in values]
        if not any(isinstance(value, Weight) for value in values):
            return alone(jaxpr, equation)(*values)
        inner = next((equation.params[key] for key in INSIDE if key in equation.params), None)
        if name in CALLS and inner is not None:
            if isinstance(inner, ClosedJaxpr):
                return self._run(inner.jaxpr, inner.consts, values)
            return self._run(inner, (), values)
        if name == "dot_general":
            product = self._product(jaxpr, equation, values)
            if product is not None:
                return [product]
        if len(values) == 1 and isinstance(values[0], Weight):
            rearranged = self._rearranged(jaxpr, equation, values[0])
            if rearranged is not None:
                return [rearranged]
        return alone(jaxpr, equation)(*[self._plain(value) for value in values])

    def _sum(self, values: list[Any]) -> Array | None:
        """A product plus a bias, with one probe for both; None for other sums."""
        for product, bias in (values, values[::-1]):
            if not (isinstance(product, _Product) and isinstance(bias, Weight)):
                continue
            if bias.chain or bias.value.ndim != 1 or bias.value.shape != product.value.shape:
                continue
            self.uses[product.use] = replace(self.uses[product.use], bias=bias.leaf)
            return self._settled(replace(product, value=product.value + bias.value))
        return None

    def _rearranged(self, jaxpr: Jaxpr, equation: Any, weight: Weight) -> Weight | None:
        """The weight after an operation that only arranges or casts its entries; None for others."""
        (value,) = alone(jaxpr, equation)(weight.value)
        name, params = equation.primitive.name, equation.params
        if name == "transpose" and params["permutation"] == (1, 0):
            return Weight(weight.leaf, value, weight.chain, not weight.turned)
        if name == "convert_element_type" and jnp.issubdtype(value.dtype, jnp.floating):
            return Weight(weight.leaf, value, weight.chain, weight.turned)
        if name in ("reshape", "squeeze", "transpose") and not weight.turned:
            step = (name, value.shape, params.get("permutation"))
            return Weight(weight.leaf, value, (*weight.chain, step))
        return None

    def _product(self, jaxpr: Jaxpr, equation: Any, values: list[Any]) -> Any:
        """A product of a weight: one factor is its probe's cotangent, the other is the other operand."""
        contracted, batch = equation.params["dimension_numbers"]
        if any(batch) or len(contracted[0]) != 1:
            return None
        probe = len(self.shapes)
        plain = [value.value if isinstance(value, Weight) else value for value in values]
        uses = []
        for operand, value in enumerate(values):
            if not isinstance(value, Weight):
                continue
            if value.value.ndim != 2:
                self.unfit.add(value.leaf)
                continue
            axis, other = contracted[operand][0], plain[1 - operand]
            other_axis = contracted[1 - operand][0]
            uses.append(
                Use(
                    value.leaf,
                    value.chain,
                    1 - axis if value.turned else axis,
                    operand == 0,
                    other_axis,
                    int(other.size // other.shape[other_axis]),
                    probe,
                    (value.value.shape[value.turned], value.value.shape[not value.turned]),
                )
            )
            self.others.append(other)
        (result,) = alone(jaxpr, equation)(*plain)
        self.uses += uses
        self.shapes.append(jax.ShapeDtypeStruct(result.shape, result.dtype))
        product = _Product(result, len(self.uses) - 1, probe)
        return product if len(uses) == 1 else self._settled(product)


@dataclass(frozen=True)
class TracedWeights:
    """Uses of each leaf in matrix products, and the leaves that are `unfit`: used otherwise too."""

    uses: tuple[Use, ...]
    unfit: frozenset[int]

    def uses_of(self, leaf: int) -> list[Use]:
        return [use for use in self.uses if use.leaf == leaf]

    def count(self, leaf: int) -> int:
        """S, the vectors that a leaf is multiplied with."""
        return sum(use.columns for use in self.uses_of(leaf))

    def chains(self, leaf: int) -> set[tuple[Any, ...]]:
        return {use.chain for use in self.uses_of(leaf)}

    def has_factors(self, leaf: int) -> bool:
        """Whether a leaf is used in products alone, in one arrangement of its entries."""
        return leaf not in self.unfit and len(self.chains(leaf)) == 1

    def weight_of(self, bias: int) -> tuple[int, int] | None:
        """The weight, and its axis, to whose products a leaf is added; None if there are several, or other uses."""
        weights = {(use.leaf, use.axis) for use in self.uses if use.bias == bias}
        return weights.pop() if len(weights) == 1 and bias not in self.unfit else None


def trace_weights(function: Function, leaves: Sequence[Any], point: Any) -> TracedWeights:
    """Traces the uses of each leaf in `function(leaves, point)`; nothing is computed."""
    reader = Reader()
    read_shapes(reader, function, leaves, point, range(len(leaves)))
    return TracedWeights(tuple(reader.uses), frozenset(reader.unfit))


def read_shapes(
    reader: Reader, function: Function, leaves: Sequence[Any], point: Any, chosen: Sequence[int]
) -> ClosedJaxpr:
    """Traces a function and reads the trace without computing; leaves that are not chosen are plain numbers."""
    closed, tree = jax.make_jaxpr(function)(list(leaves), point), jax.tree.leaves(point)

    def read(values: Sequence[Any], points: Sequence[Any]) -> list[Any]:
        return reader.run(closed, [*[Weight(i, v) if i in chosen else v for i, v in enumerate(values)], *points])

    jax.eval_shape(read, list(leaves), tree)
    return closed
