"""Requests for the tangent kernel of a Jacobian and its spectrum, which need all rows at once.

`node.py` builds on this module, so nodes come in as arguments.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from . import markup
from .groups import split
from .ops import Jacobian
from .products import squares

if TYPE_CHECKING:
    from .node import Node
    from .tracker import Tracker

Exact = Literal["rows", "gram", "lanczos"]  # ways to eigenvalues
WAYS = ("rows", "gram", "lanczos", "density")


@dataclass(frozen=True, eq=False)
class Request:
    """A value computed from all rows of `node`, a Jacobian or one restricted to a group; `solver.eval` answers it."""

    node: "Node"
    other: "Node | None" = None
    options: tuple[tuple[str, Any], ...] = ()
    what: ClassVar[str]  # the method of a node that makes it
    title: ClassVar[str]

    @property
    def _key(self) -> tuple[Any, ...]:
        # Nodes by identity: their == is an expression.
        return (type(self), id(self.node), id(self.other), self.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        arguments = [] if self.other is None else [str(self.other)]
        arguments += [f"{name}={value!r}" for name, value in self.options]
        return f"{self.node}.{self.what}({', '.join(arguments)})"

    def _repr_html_(self) -> str:
        return markup.view(str(self), markup.table(_facts(self)))

    def option(self, name: str) -> Any:
        """Value of an option, None where it was left out."""
        return dict(self.options).get(name)

    def __matmul__(self, weights: Any) -> "Node":
        """Of a tangent kernel alone: see `GramRequest`.

        Args:
            weights: w of K w.

        Raises:
            TypeError: it is no tangent kernel.
        """
        raise self._not_a_kernel("@")

    def tracker(self, interval: int = 1, name: str | None = None, warn_below: float | None = None) -> "Tracker":
        """Of a spectrum alone: see `SpectrumRequest`.

        Args:
            interval: epochs between values.
            name: in the history.
            warn_below: threshold below which a warning is shown.

        Raises:
            TypeError: it is no spectrum.
        """
        raise TypeError(f"{self}: of requests, spectra can be watched, and terms of K: its .trace, (K @ w).mse")

    @property
    def diagonal(self) -> "Node":
        """Of a tangent kernel alone: see `GramRequest.diagonal`."""
        raise self._not_a_kernel("diagonal")

    @property
    def trace(self) -> "Node":
        """Of a tangent kernel alone: see `GramRequest.trace`."""
        raise self._not_a_kernel("trace")

    def _not_a_kernel(self, what: str) -> TypeError:
        whose = "a tangent kernel" if what == "@" else "the kernel of one Jacobian with itself"
        return TypeError(f"{self}: only {whose} has '{what}': field.grad(net).gram()")


class GramRequest(Request):
    """The tangent kernel K = J Jᵀ, or the block J_a J_bᵀ with `other`.

    What can be had of it without forming it is an expression: `K @ w`, `K.diagonal`, `K.trace`.
    """

    what = "gram"
    title = "tangent kernel K = J Jᵀ"

    def __matmul__(self, weights: Any) -> "Node":
        """K w = J_a (J_bᵀ w).

        Args:
            weights: w, as in `J.T @ w`: a field of J_b's points or an array with an entry for each of them.

        Returns:
            A field on the points of J_a.

        Raises:
            ValueError: `weights` do not fit.
        """
        right = self.node if self.other is None else self.other
        return self.node @ (right.T @ weights)

    @property
    def diagonal(self) -> "Node":
        """Diagonal of K, a field: |row of J|² at each point, for each component."""
        if self.other is not None:
            raise self._not_a_kernel("diagonal")
        return squares(self.node)

    @property
    def trace(self) -> "Node":
        """Sum of the diagonal of K, a term."""
        if self.other is not None:
            raise self._not_a_kernel("trace")
        return squares(self.node).sum


class DualGramRequest(Request):
    """JᵀJ, whose eigenvalues are those of K but for zeros."""

    what = "dual_gram"
    title = "JᵀJ"


class SpectrumRequest(Request):
    """The spectrum of the tangent kernel K = J Jᵀ."""

    what = "spectrum"
    title = "eigenvalues of the tangent kernel K = J Jᵀ"

    def tracker(self, interval: int = 1, name: str | None = None, warn_below: float | None = None) -> "Tracker":
        """Track effective rank, λ_max and trace, and the largest k eigenvalues of `spectrum(k)`.

        They are in `history` as name/effective_rank, name/largest, name/trace and name/eigenvalues.

        Args:
            interval: epochs between values: 0, `interval`, 2·`interval`, …
            name: in the history; by default that of `tx.core`.
            warn_below: threshold of the effective rank, below which a warning is shown.

        Raises:
            ValueError: the interval is no whole number from 1 on, or the name cannot be printed.
        """
        from .tracker import Tracker

        return Tracker(self, interval, name, warn_below)


class EigenvaluesRequest(SpectrumRequest):
    """Eigenvalues of K, all or the largest, and eigenvectors."""


class DensityRequest(SpectrumRequest):
    """The spectral density of K, estimated by stochastic Lanczos quadrature."""


def _facts(request: Request) -> list[tuple[str, Any]]:
    """Rows of a table that describes a request before a solver answers it."""
    two = request.other is not None
    sides = [("J", request.node)] if request.other is None else [("J_a", request.node), ("J_b", request.other)]
    facts: list[tuple[str, Any]] = [("what", "block J_a J_bᵀ of a tangent kernel" if two else request.title)]
    for name, side in sides:
        jacobian, *group = split(side)
        points, components = jacobian.points, math.prod(jacobian.shape[:-1])
        assert points is not None
        # Whose points are in a group is known when they are looked at.
        most = "at most " if group else ""
        where = f"{len(points):,} points of '{points.tag}'" + (f", {components} components" if components > 1 else "")
        facts += [(name, markup.code(side)), (f"rows of {name}", f"{most}{len(points) * components:,} ({where})")]
    operation = split(request.node)[0].op
    assert isinstance(operation, Jacobian)
    of = ", ".join(f"{s.size:,} of {s.trainable.size:,} of '{s.trainable.name}'" for s in operation.wrt)
    facts.append(("parameters", f"{request.node.shape[-1]:,} ({of})"))
    return [*facts, *((name, str(value)) for name, value in request.options)]


def spectrum_request(
    node: "Node", k: int | None, way: str | None, vectors: int | None
) -> EigenvaluesRequest | DensityRequest:
    """The request for a spectrum; raises ValueError where its options do not go together."""
    if way not in (None, *WAYS):
        raise ValueError(f"{node}.spectrum(way={way!r}): one of {', '.join(WAYS)}, or leave it out")
    most = node.shape[-1]
    for name, value in (("k", k), ("vectors", vectors or None)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
            raise ValueError(f"{node}.spectrum({name}={value!r}): a number of eigenvalues, from 1 to P = {most}")
    if k is not None and vectors is not None and vectors > k:
        raise ValueError(f"{node}.spectrum(k={k}, vectors={vectors}): eigenvectors of those k alone can be had")
    if way == "density" and (k is not None or vectors):
        raise ValueError(f"{node}.spectrum(way='density'): it has no single eigenvalues, leave out k and vectors")
    if way == "lanczos" and k is None:
        raise ValueError(f"{node}.spectrum(way='lanczos'): say how many of the largest eigenvalues, such as k=20")
    options = {"k": k, "way": way, "vectors": vectors or None}
    chosen = tuple((name, value) for name, value in options.items() if value is not None)
    return (DensityRequest if way == "density" else EigenvaluesRequest)(node, options=chosen)
