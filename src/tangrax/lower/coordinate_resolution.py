"""Whether a precision tells the points of a tag apart."""

import numpy as np
from jax.typing import DTypeLike

from ..expr import PointSet
from ..expr.points import Rows

# Spacing of numbers, of what an axis spans: moved by half of that, points add to the error of a run what Adam leaves of
# it (docs/precision.md). In [0, 1] it is 6e-8; a domain has to lie some thousand of its lengths away to come to it.
COARSEST = 1e-4
CONSTANT = 1e-13  # of a coordinate: what rounding in double precision makes of one that is the same at all points


def refuse_merged(tag: PointSet, rows: Rows, dtype: DTypeLike) -> None:
    """Raise where points far from the origin would be moved by their cast to `dtype`, onto each other or an edge."""
    # Points that are made as they are asked for lie in a domain whose spans are known: one tells how far away it is.
    known = (rows if isinstance(rows, np.ndarray) else rows[:1])[:, : len(tag.axes)]
    magnitudes = np.abs(known).max(axis=0)
    spans = np.maximum(np.ptp(known, axis=0), 0 if tag.spans is None else tag.spans)
    with np.errstate(over="ignore", invalid="ignore"):
        spacings = np.spacing(magnitudes.astype(dtype)).astype(np.float64)
    for axis, far, spacing, span in zip(tag.axes, magnitudes, spacings, spans, strict=True):
        if span > CONSTANT * far and not spacing <= COARSEST * span:
            wider = "" if np.dtype(dtype) == np.float64 else 'compute in float64 (tx.setup(dtype="float64")), or '
            raise ValueError(
                f"points of '{tag.tag}' of {tag.domain}: near {axis} = {far:.10g} numbers of {np.dtype(dtype)} are "
                f"{spacing:.3g} apart, {spacing / span:.2g} of the {span:.4g} that {axis} spans, so points would move "
                f"onto each other and over edges: {wider}put the origin near them, by shape.translate(…), over_time(0, "
                f"…), or an offset taken from your own points"
            )
