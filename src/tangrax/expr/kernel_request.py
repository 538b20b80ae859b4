"""What is asked of all rows of a Jacobian at once, beside programs for one shard."""

import math
from dataclasses import dataclass
from typing import Any

from . import markup
from .groups import split
from .products import squares
from .tracker import Tracker

WAYS = ("rows", "gram", "lanczos", "density")


@dataclass(frozen=True, eq=False)
class Request:
    """`what` of the rows of J, a Jacobian or one restricted to a group; of those of `other` too, where two are needed.

    `solver.eval` answers it. What can be had of K = J Jᵀ without forming it is an expression: `K @ w`, `K.diagonal`,
    `K.trace`.
    """

    what: str
    node: Any
    other: Any = None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def _key(self) -> tuple[Any, ...]:
        # Nodes by identity: their == is an expression.
        return (self.what, id(self.node), id(self.other), self.options)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Request) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        said = [] if self.other is None else [str(self.other)]
        return f"{self.node}.{self.what}({', '.join([*said, *(f'{name}={value!r}' for name, value in self.options)])})"

    def _repr_html_(self) -> str:
        return markup.view(str(self), markup.table(_facts(self)))

    def option(self, name: str) -> Any:
        """What was said of it, or None."""
        return dict(self.options).get(name)

    def __matmul__(self, weights: Any) -> Any:
        """K w = J_a (J_bᵀ w), a field on the points of J_a."""
        self._refuse_other("@", self.what == "gram")
        right = self.node if self.other is None else self.other
        return self.node @ (right.T @ weights)

    def tracker(self, interval: int = 1, name: str | None = None, warn_below: float | None = None) -> Tracker:
        """Of a spectrum: watch effective rank, λ_max and trace, and the largest k eigenvalues of `spectrum(k)`.

        They are in `history` as name/effective_rank, name/largest, name/trace and name/eigenvalues. `warn_below` is for
        the effective rank.
        """
        if self.what != "spectrum":
            raise TypeError(f"{self}: of requests, spectra can be watched, and terms of K: its .trace, (K @ w).mse")
        return Tracker(self, interval, name, warn_below)

    @property
    def diagonal(self) -> Any:
        """The diagonal of K, a field: |row of J|² at each point, for each component."""
        self._refuse_other("diagonal", self.what == "gram" and self.other is None)
        return squares(self.node)

    @property
    def trace(self) -> Any:
        """The sum of the diagonal of K, a term."""
        self._refuse_other("trace", self.what == "gram" and self.other is None)
        return squares(self.node).sum

    def _refuse_other(self, what: str, fits: bool) -> None:
        if not fits:
            whose = "a tangent kernel" if what == "@" else "the kernel of one Jacobian with itself"
            raise TypeError(f"{self}: only {whose} has '{what}': field.grad(net).gram()")


WHAT = {
    "gram": "tangent kernel K = J Jᵀ",
    "dual_gram": "JᵀJ",
    "spectrum": "eigenvalues of the tangent kernel K = J Jᵀ",
}


def _facts(request: Request) -> list[tuple[str, Any]]:
    """What is known of a request before a solver answers it, for a table."""
    two = request.other is not None
    facts: list[tuple[str, Any]] = [("what", "block J_a J_bᵀ of a tangent kernel" if two else WHAT[request.what])]
    for name, side in (("J_a", request.node), ("J_b", request.other)) if two else (("J", request.node),):
        jacobian, *group = split(side)
        tag, components = jacobian.points, math.prod(jacobian.shape[:-1])
        # Whose points are in a group is known when they are looked at.
        most = "at most " if group else ""
        where = f"{len(tag):,} points of '{tag.tag}'" + (f", {components} components" if components > 1 else "")
        facts += [(name, markup.code(side)), (f"rows of {name}", f"{most}{len(tag) * components:,} ({where})")]
    of = ", ".join(f"{s.size:,} of {s.trainable.size:,} of '{s.trainable.name}'" for s in split(request.node)[0].op.wrt)
    facts.append(("parameters", f"{request.node.shape[-1]:,} ({of})"))
    return [*facts, *((name, str(value)) for name, value in request.options)]


def spectrum_options(node: Any, k: Any, way: Any, vectors: Any) -> tuple[tuple[str, Any], ...]:
    """Checked options of a spectrum, without those that say nothing."""
    if way not in (None, *WAYS):
        raise ValueError(f"{node}.spectrum(way={way!r}): one of {', '.join(WAYS)}, or leave it out")
    most = node.shape[-1]
    for name, value in (("k", k), ("vectors", vectors or None)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
            raise ValueError(f"{node}.spectrum({name}={value!r}): a number of eigenvalues, from 1 to P = {most}")
    if k is not None and vectors > k:
        raise ValueError(f"{node}.spectrum(k={k}, vectors={vectors}): eigenvectors of those k alone can be had")
    if way == "density" and (k is not None or vectors):
        raise ValueError(f"{node}.spectrum(way='density'): it has no single eigenvalues, leave out k and vectors")
    if way == "lanczos" and k is None:
        raise ValueError(f"{node}.spectrum(way='lanczos'): say how many of the largest eigenvalues, such as k=20")
    said = {"k": k, "way": way, "vectors": vectors or None}
    return tuple((name, value) for name, value in said.items() if value is not None)
