"""Spectral density of K, estimated from a few random vectors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .spectrum import refuse_not_finite


@dataclass(frozen=True)
class Estimate:
    """An estimate, and its standard error over the random vectors."""

    value: float
    error: float

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.1g}"


@dataclass(frozen=True)
class Density:
    """Gauss quadratures for the spectral density of JᵀJ, one a random vector; that of K but for zeros.

    `nodes` and `weights` are (probes, steps): Σ_j weights_j f(nodes_j) estimates Σ_i f(λ_i) over P eigenvalues.
    `rows` and `columns` are N and P; `eps` is the unit round-off of J. Raises NotFinite where a node is no number.
    """

    nodes: Float[np.ndarray, "probes steps"]
    weights: Float[np.ndarray, "probes steps"]
    rows: int
    columns: int
    eps: float

    def __post_init__(self):
        refuse_not_finite("nodes", self.nodes)

    def sum(self, f: Callable[[np.ndarray], np.ndarray]) -> Estimate:
        """Σ f(λ_i) over the eigenvalues of K.

        Args:
            f: function of an array of eigenvalues, with f(0) = 0, as K and JᵀJ have different numbers of zeros.

        Raises:
            ValueError: f(0) is not 0.
        """
        if float(np.asarray(f(np.zeros(1)))[0]) != 0:
            raise ValueError("Density.sum(f): f(0) is not 0, and how many eigenvalues are zero is not known")
        estimates = np.sum(self.weights * f(self.nodes), axis=1)
        return Estimate(float(estimates.mean()), float(estimates.std(ddof=1) / np.sqrt(len(estimates))))

    @property
    def trace(self) -> Estimate:
        """tr K = Σ λ_i."""
        return self.sum(lambda x: x)

    @property
    def largest(self) -> float:
        """The largest node: λ_max, or a little less."""
        return float(self.nodes.max())

    @property
    def effective_rank(self) -> float:
        """tr(K)² / ‖K‖²_F, of the two estimates."""
        square = float(self.sum(np.square))
        return float(self.trace) ** 2 / square if square > 0 else 0.0

    def effective_dimension(self, damping: float) -> Estimate:
        """Σ λ_i / (λ_i + damping).

        Args:
            damping: positive, in the units of the eigenvalues.

        Raises:
            ValueError: the damping is not positive.
        """
        if not damping > 0:
            raise ValueError(f"damping={damping}: a positive number, in the units of the eigenvalues of K")
        return self.sum(lambda x: x / (x + damping))

    def count_above(self, value: float) -> Estimate:
        """Number of eigenvalues above a value.

        Args:
            value: positive, in the units of the eigenvalues.

        Raises:
            ValueError: the value is not positive.
        """
        if not value > 0:
            raise ValueError(
                f"count_above({value}): a positive number; below it lie all zeros, whose number is unknown"
            )
        return self.sum(lambda x: (x > value).astype(float))

    def __str__(self) -> str:
        lines = (
            f"density of the tangent kernel of {self.rows} rows and {self.columns} parameters, from {len(self.nodes)} "
            f"random vectors",
            f"  trace               {self.trace}",
            f"  largest node        {self.largest:.4g}",
            f"  effective rank      {self.effective_rank:.4g}",
            *(
                f"  above {share:.0e} λ_max   {self.count_above(share * self.largest)}"
                for share in (1e-2, 1e-4, 1e-6)
                if share > 16 * self.eps
            ),
        )
        return "\n".join(lines)
