"""The spectrum of the tangent kernel K = J Jᵀ, with the errors of its eigenvalues."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from ..expr import markup
from .spectrum_picture import picture

# Backward-stable QR and SVD leave an error of a few ε σ_max in every singular value, whatever its own size.
SINGULAR_VALUE_ULPS = 4
# An eigenvalue counts as resolved if rounding leaves it right to this fraction.
RESOLVED = 0.01
# Forming K, or products with it, leaves an error of so many unit round-offs of λ_max in every eigenvalue.
EIGENVALUE_ULPS = 8


class NotFinite(ValueError):
    """Eigenvalues that are NaN or infinite."""


def eigenvalue_error(dtype: DTypeLike) -> float:
    """Error of an eigenvalue of a K that was formed, or applied, in `dtype`, relative to λ_max."""
    return EIGENVALUE_ULPS * float(jnp.finfo(dtype).eps)


def refuse_not_finite(name: str, values: Any) -> None:
    """Raises NotFinite unless all are numbers."""
    bad = int(np.sum(~np.isfinite(values)))
    if bad:
        raise NotFinite(f"{bad} of {np.size(values)} {name} are not finite: J is not, or its products overflow")


@dataclass(frozen=True)
class Condition:
    """A condition number (`exact`), or a lower bound of it with the reason."""

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
    """Eigenvalues of K = J Jᵀ, as squares of the singular values of J.

    `singular_values` are in falling order: all min(N, P) of them, or the largest. K's other N - P eigenvalues, where
    N > P, are zero. `rows` is N, the rows of J (points, times components of the field), `columns` is P, the parameters.
    `eps` is the unit round-off of J; `error` is a further error of the eigenvalues, one number or one for each: 0
    where singular values of J were computed, some ulps of λ_max where K was formed, the residual of each where Lanczos'
    method found them.

    `exact_trace` and `exact_square` are Σ λ and Σ λ² of all eigenvalues, needed where not all are known. `vectors` are
    the first eigenvectors of K in columns: (N, k), one row a point, or (N, C, k), if requested. `way` names the method.

    Raises NotFinite where an eigenvalue, or a sum of them, is no number: comparisons with NaN are false, and would make
    ranks of 0 of it.
    """

    singular_values: Float[np.ndarray, " m"]
    rows: int
    columns: int
    eps: float
    error: Any = 0.0
    exact_trace: float | None = None
    exact_square: float | None = None
    vectors: np.ndarray | None = None
    way: str = "singular values of J"

    def __post_init__(self):
        refuse_not_finite("eigenvalues", self.eigenvalues)
        refuse_not_finite("sums of eigenvalues", [self.trace, self.square])

    @cached_property
    def eigenvalues(self) -> Float[np.ndarray, " m"]:
        """λ_i of K, falling, without those that are zero because N > P. Below `floor` they may be rounding."""
        return self.singular_values**2

    @property
    def complete(self) -> bool:
        """Whether all eigenvalues are known, not only the largest."""
        return len(self.singular_values) == min(self.rows, self.columns)

    @property
    def largest(self) -> float:
        """λ_max."""
        return float(self.eigenvalues[0])

    @property
    def _rounding(self) -> float:
        """Error of a singular value."""
        return float(SINGULAR_VALUE_ULPS * self.eps * self.singular_values[0])

    @cached_property
    def errors(self) -> Float[np.ndarray, " m"]:
        """Bound of the error of each eigenvalue."""
        e = self._rounding
        return 2 * self.singular_values * e + e**2 + np.broadcast_to(self.error, self.singular_values.shape)

    @property
    def noise(self) -> float:
        """Bound of a computed eigenvalue whose true value is 0: (4 ε σ_max)², plus the error of a K that was formed."""
        return self._rounding**2 + float(np.min(self.error))

    @property
    def floor(self) -> float:
        """Smallest eigenvalue that is right to 1 %."""
        e, r = self._rounding, RESOLVED
        # The λ whose error, 2 e √λ + e² + error, is r λ.
        root = (e + np.sqrt(e**2 + r * (e**2 + float(np.min(self.error))))) / r
        return float(root**2)

    @cached_property
    def is_resolved(self) -> Bool[np.ndarray, " m"]:
        """True for eigenvalues that are right to 1 %."""
        # The comparison fails for zeros, and for errors that are not finite.
        return (self.errors <= RESOLVED * self.eigenvalues) & (self.eigenvalues > self.floor)

    @property
    def resolved(self) -> int:
        """Number of eigenvalues that are right to 1 %."""
        return int(np.sum(self.is_resolved))

    @property
    def detectable(self) -> int:
        """Number of eigenvalues above `noise`, and larger than their error."""
        return int(np.sum((self.eigenvalues > self.noise) & (self.errors <= self.eigenvalues)))

    @property
    def trace(self) -> float:
        """tr K = Σ λ_i, the squared Frobenius norm of J."""
        return float(np.sum(self.eigenvalues)) if self.exact_trace is None else self.exact_trace

    @property
    def square(self) -> float:
        """‖K‖²_F = Σ λ_i²."""
        return float(np.sum(self.eigenvalues**2)) if self.exact_square is None else self.exact_square

    @property
    def effective_rank(self) -> float:
        """tr(K)² / ‖K‖²_F, between 1 and N: how many directions of the output share in learning."""
        return self.trace**2 / self.square if self.square > 0 else 0.0

    @property
    def entropy_rank(self) -> float:
        """exp(-Σ p_i log p_i) with p_i = λ_i / tr K, the effective rank of Roy and Vetterli (EUSIPCO 2007, eq. 4).

        They take singular values; here p_i are those of K.
        """
        self._need_all("entropy_rank")
        if not self.largest > 0:
            return 0.0
        p = self.eigenvalues[self.eigenvalues > 0] / self.trace
        return float(np.exp(-np.sum(p * np.log(p))))

    def numerical_rank(self, tolerance: float | None = None) -> int:
        """Number of eigenvalues above `tolerance` times the largest; the detectable ones by default.

        Args:
            tolerance: relative to λ_max.

        Raises:
            ValueError: the tolerance is below the noise, where it would count rounding, or more eigenvalues than are
                known may be above it.
        """
        if tolerance is None:
            self._need_all("numerical_rank")
            return self.detectable
        lowest = self.noise / self.largest if self.largest > 0 else SINGULAR_VALUE_ULPS**2 * self.eps**2
        # The quotient itself is rounded.
        if not tolerance >= lowest * (1 - 1e-12):
            raise ValueError(
                f"numerical_rank({tolerance:g}): eigenvalues are resolved down to {lowest:.1e} of the largest, and "
                f"what lies below is rounding: ask for no less"
            )
        rank = int(np.sum(self.eigenvalues > tolerance * self.largest))
        if rank == len(self.eigenvalues):
            self._need_all(f"numerical_rank({tolerance:g})")
        return rank

    def effective_dimension(self, damping: float) -> float:
        """Σ λ_i / (λ_i + damping): number of directions that a damped step follows.

        Args:
            damping: positive, in the units of the eigenvalues.

        Raises:
            ValueError: the damping is not positive, or not all eigenvalues are known.
        """
        _check_damping(damping)
        self._need_all("effective_dimension")
        return float(np.sum(self.eigenvalues / (self.eigenvalues + damping)))

    def damped_condition(self, damping: float) -> float:
        """(λ_max + damping) / (λ_min + damping), of all N eigenvalues of K.

        Args:
            damping: positive, in the units of the eigenvalues.

        Raises:
            ValueError: the damping is not positive, or not all eigenvalues are known.
        """
        _check_damping(damping)
        if self.rows <= self.columns:
            self._need_all("damped_condition")
        smallest = float(self.eigenvalues[-1]) if self.rows <= self.columns else 0.0
        return (self.largest + damping) / (smallest + damping)

    @property
    def condition(self) -> Condition:
        """λ_max / λ_min of K: exact where all N eigenvalues are resolved, else a lower bound."""
        if self.rows > self.columns:
            return Condition(np.inf, True, f"K has {self.rows} rows and rank {self.columns} at most")
        if self.resolved == self.rows:
            return Condition(self.largest / float(self.eigenvalues[-1]), True)
        # The smallest computed eigenvalue may be too small by its error.
        upper = float(self.eigenvalues[-1] + self.errors[-1])
        bound = self.largest / upper if self.largest > 0 and upper > 0 else np.inf
        if not self.complete:
            return Condition(bound, False, f"the {len(self.eigenvalues)} largest of {self.rows} eigenvalues are known")
        unresolved = self.rows - self.resolved
        return Condition(bound, False, f"{unresolved} of {self.rows} eigenvalues are not resolved to 1 %")

    def _need_all(self, what: str) -> None:
        if not self.complete:
            raise ValueError(
                f"{what}: it needs all {min(self.rows, self.columns)} eigenvalues, and the {len(self.eigenvalues)} "
                f"largest are known. Ask for J.spectrum() of fewer points or parameters, or estimate it with "
                f'J.spectrum(way="density")'
            )

    @property
    def _title(self) -> str:
        return f"tangent kernel of {self.rows} rows and {self.columns} parameters, by {self.way}"

    def _figures(self) -> list[tuple[str, str]]:
        known = f"{self.rows}" if self.complete else f"the {len(self.eigenvalues)} largest"
        return [
            ("largest eigenvalue", f"{self.largest:.4g}"),
            ("effective rank", f"{self.effective_rank:.4g}  (tr² / ‖K‖²_F)"),
            *([("entropy rank", f"{self.entropy_rank:.4g}")] if self.complete else []),
            ("resolved to 1 %", f"{self.resolved} of {known} eigenvalues, those above {self.floor:.1e}"),
            ("detectable", f"{self.detectable} of {known}, those above {self.noise:.1e}"),
            ("condition number", str(self.condition)),
        ]

    def __str__(self) -> str:
        return "\n".join([self._title, *(f"  {name:<18}  {value}" for name, value in self._figures())])

    def _repr_html_(self) -> str:
        figure = picture(self.eigenvalues, self.is_resolved, self.floor)
        return markup.view(self._title, markup.table(self._figures()), *([] if figure is None else [figure]))


def _check_damping(damping: float) -> None:
    if not damping > 0:
        raise ValueError(f"damping={damping}: a positive number, in the units of the eigenvalues of K")
