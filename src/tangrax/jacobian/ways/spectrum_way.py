"""The base class of ways to the spectrum of K."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..gram import over_chunks
from ..request_context import RequestContext
from ..spectral_density import Density
from ..spectrum import NotFinite, Spectrum
from .request_way import RequestWay


@dataclass(frozen=True, kw_only=True)
class SpectrumWay(RequestWay):
    """A way to the spectrum of K; a final class has `plan`, its cost, beside `spectrum`, its program."""

    pointwise_only: ClassVar[bool] = True  # J of a field that holds values of all points is known by rows alone

    @classmethod
    @abstractmethod
    def plan(cls, context: RequestContext) -> "SpectrumWay":
        """Predicts the cost; nothing large is allocated."""

    @abstractmethod
    def spectrum(self, context: RequestContext) -> Spectrum | Density:
        """Computes the spectrum; raises NotFinite where J is not finite."""

    def run(self, context: RequestContext) -> Spectrum | Density:
        """Computes the spectrum; raises NotFinite with the cause where J is not finite."""
        try:
            return self.spectrum(context)
        except NotFinite as error:
            raise NotFinite(f"{context.request}: {_cause(context)}") from error


def truncated(spectrum: Spectrum, k: int | None) -> Spectrum:
    """The k largest eigenvalues, with the sums of all."""
    if k is None or k >= len(spectrum.singular_values):
        return spectrum
    values = spectrum.singular_values[:k]
    return replace(spectrum, singular_values=values, exact_trace=spectrum.trace, exact_square=spectrum.square)


def _cause(context: RequestContext) -> str:
    """The number of rows of J that are not finite, and the mend: one more pass, made only after a failure."""
    jacobian, evaluator = context.jacobian, context.evaluator
    if jacobian.pointwise:

        def body(collectives: Any, sides: Any) -> tuple[Any, Any]:
            def add(count: Any, chunk: Any) -> Any:
                return count + jnp.sum(~jnp.isfinite(chunk.rows).all(axis=-1), dtype=count.dtype)

            return collectives.sum(over_chunks(sides[0], collectives.rank, add, jnp.zeros((), jnp.int32))), ()

        bad = int(context.run("rows that are not finite", (), body)[0])
    else:
        (rows,) = context.values_on_devices(jacobian.rows)
        sums = (rows @ np.ones(jacobian.columns)).gather()
        inside = np.ones(len(sums), bool)
        if jacobian.group is not None:
            inside = evaluator.at(jacobian.group, context.points)
        bad = int(np.sum(~np.isfinite(sums[inside])))
    tag = jacobian.rows.points
    assert tag is not None
    if bad == 0:
        return (
            f"J is finite at all points of '{tag.tag}', and products of its rows are beyond {evaluator.dtype}: scale "
            f'the field, or take solver.eval(…, dtype="float64")'
        )
    return (
        f"{bad} of {jacobian.size} rows of J at the points of '{tag.tag}' are not finite: the field or its "
        f"derivative is singular there, as that of sqrt or log at 0. Move the points away, take them out "
        f"(J[condition]), or change the field; J itself, solver.eval({jacobian.rows}), shows which they are"
    )
