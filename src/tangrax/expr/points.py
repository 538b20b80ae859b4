"""A set of collocation points, as the language sees it."""

from typing import Any

import numpy as np
from jaxtyping import Float


class PointSet:
    """N points under one tag of one domain; two point sets are the same only if they are one object.

    `coordinates` has one column per space axis and a last one for time (zero where the problem is
    steady); float64, in the user's point order, whatever precision the run has.
    """

    def __init__(
        self,
        tag: str,
        coordinates: Float[np.ndarray, "n columns"],
        axes: tuple[str, ...],
        steady: bool,
        domain: str,
    ):
        if len(coordinates) == 0:
            raise ValueError(
                f"tag '{tag}' of {domain} holds no points: use a smaller mesh_size, or a larger n or boundary"
            )
        self.tag = tag
        self.coordinates = coordinates
        self.axes = axes
        self.steady = steady
        self.domain = domain
        coordinates.flags.writeable = False

    def __len__(self) -> int:
        return len(self.coordinates)

    def __repr__(self) -> str:
        return f"PointSet('{self.tag}', {len(self)} points of {self.domain})"

    def conform(self, points: Any) -> np.ndarray:
        """New points for this tag, in the columns that `coordinates` has.

        A steady problem takes its points without the time column too, a one-dimensional one as a vector.
        """
        columns = len(self.axes)
        points = np.asarray(points, dtype=np.float64)
        given = points.shape
        if points.ndim == 1 and columns - self.steady == 1:
            points = points[:, None]
        if self.steady and points.ndim == 2 and points.shape[1] == columns - 1:
            points = np.column_stack([points, np.zeros(len(points))])
        if points.ndim != 2 or points.shape[1] != columns or len(points) == 0:
            wanted = ", ".join(self.axes[: columns - self.steady])
            raise ValueError(
                f"points for '{self.tag}' have shape {given}: give one row per point, at least one, "
                f"with the columns ({wanted})"
            )
        if not np.isfinite(points).all():
            raise ValueError(f"points for '{self.tag}' hold a number that is not finite")
        return points
