"""The spectrum of the tangent kernel K = J Jᵀ, and what its numbers are worth."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

# Backward-stable QR and SVD leave an error of a few ε σ_max in every singular value, whatever its own size.
ROUNDINGS = 4


@dataclass(frozen=True)
class Condition:
    """A condition number, or a number that it is at least, with the reason why no more is known."""

    value: float
    exact: bool
    why: str = ""

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        number = f"{self.value:.2e}" if self.exact else f"at least {self.value:.2e}"
        return f"{number} ({self.why})" if self.why else number


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of K = J Jᵀ from the singular values of J, so that none of them is squared away by rounding.

    `singular_values` are those of J in falling order, min(N, P) of them; K's other N - P eigenvalues, where N > P, are
    zero. `rows` is N, the rows of J (points, times components of the field), `columns` is P, the parameters. `eps` is
    the rounding of the numbers that J was made of.
    """

    singular_values: Float[np.ndarray, " m"]
    rows: int
    columns: int
    eps: float

    @cached_property
    def eigenvalues(self) -> Float[np.ndarray, " m"]:
        """λ_i of K, falling, without those that are zero because N > P. Below `floor` they are noise."""
        return self.singular_values**2

    @property
    def largest(self) -> float:
        """λ_max."""
        return float(self.eigenvalues[0])

    @property
    def floor(self) -> float:
        """What eigenvalues must exceed to be told from rounding: (4 ε σ_max)²."""
        return float((ROUNDINGS * self.eps * self.singular_values[0]) ** 2)

    @property
    def resolved(self) -> int:
        """How many eigenvalues lie above the floor."""
        return int(np.sum(self.eigenvalues > self.floor))

    @property
    def trace(self) -> float:
        """tr K = Σ λ_i, the squared Frobenius norm of J."""
        return float(np.sum(self.eigenvalues))

    @property
    def effective_rank(self) -> float:
        """tr(K)² / ‖K‖²_F, between 1 and N: how many directions of the output share in learning."""
        return float(self.trace**2 / np.sum(self.eigenvalues**2)) if self.largest > 0 else 0.0

    @property
    def entropy_rank(self) -> float:
        """exp(-Σ p_i log p_i) with p_i = λ_i / tr K, the effective rank of Roy and Vetterli (EUSIPCO 2007, eq. 4).

        They take singular values; here p_i are those of K.
        """
        if not self.largest > 0:
            return 0.0
        p = self.eigenvalues[self.eigenvalues > 0] / self.trace
        return float(np.exp(-np.sum(p * np.log(p))))

    def numerical_rank(self, tolerance: float | None = None) -> int:
        """How many eigenvalues exceed `tolerance` times the largest; those resolved if none is said.

        A tolerance below what is resolved is refused: it would count rounding.
        """
        if tolerance is None:
            return self.resolved
        lowest = (ROUNDINGS * self.eps) ** 2
        if not tolerance >= lowest:
            raise ValueError(
                f"numerical_rank({tolerance:g}): eigenvalues are resolved down to {lowest:.1e} of the largest, and "
                f"what lies below is rounding: ask for no less"
            )
        return int(np.sum(self.eigenvalues > tolerance * self.largest))

    def effective_dimension(self, damping: float) -> float:
        """Σ λ_i / (λ_i + damping): how many directions a step damped by `damping` > 0 follows."""
        _check_damping(damping)
        return float(np.sum(self.eigenvalues / (self.eigenvalues + damping)))

    def damped_condition(self, damping: float) -> float:
        """(λ_max + damping) / (λ_min + damping), of all N eigenvalues of K."""
        _check_damping(damping)
        smallest = float(self.eigenvalues[-1]) if self.rows <= self.columns else 0.0
        return (self.largest + damping) / (smallest + damping)

    @property
    def condition(self) -> Condition:
        """λ_max / λ_min of K: a value where all N eigenvalues are resolved, else what it is at least."""
        if self.rows > self.columns:
            return Condition(np.inf, True, f"K has {self.rows} rows and rank {self.columns} at most")
        if self.resolved == self.rows:
            return Condition(self.largest / float(self.eigenvalues[-1]), True)
        lost = self.rows - self.resolved
        bound = self.largest / self.floor if self.largest > 0 else np.inf
        return Condition(bound, False, f"{lost} of {self.rows} eigenvalues lie below what rounding lets be told")

    def __str__(self) -> str:
        lines = (
            f"tangent kernel of {self.rows} rows and {self.columns} parameters",
            f"  largest eigenvalue  {self.largest:.4g}",
            f"  effective rank      {self.effective_rank:.4g}  (tr² / ‖K‖²_F)",
            f"  entropy rank        {self.entropy_rank:.4g}",
            f"  resolved            {self.resolved} of {self.rows} eigenvalues, those above {self.floor:.1e}",
            f"  condition number    {self.condition}",
        )
        return "\n".join(lines)


def _check_damping(damping: float) -> None:
    if not damping > 0:
        raise ValueError(f"damping={damping}: a positive number, in the units of the eigenvalues of K")
