"""Lazy points: rows of a sequence that lie in a shape or on its boundary, made a slice at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from .point_memory import refuse_beyond
from .samplers import BLOCK, Cube

MOST = 2**20  # points that are looked through for those of a shape, or of one side of it
WASTE = 64  # or so many times those wanted, if that is more
SHOWN = 16  # rows at each end by which two processes tell whether their points are the same

Rows = Float[np.ndarray, "n columns"]
Draw = Callable[[Float[np.ndarray, "n dimension"]], tuple[Rows, Bool[np.ndarray, " n"]]]


@dataclass(frozen=True, eq=False)
class LazyPoints:
    """The first `count` rows that `draw` makes of a sequence and that count, in their order.

    Stands for an array: `points[start:stop]` makes these rows alone, whichever process asks for them. `ends` has how
    many rows count up to the end of each block of the sequence; None says that all do.
    """

    what: str
    count: int
    cube: Cube
    draw: Draw
    ends: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int]:
        return self.count, self._columns

    @cached_property
    def _columns(self) -> int:
        return self[:1].shape[1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float64)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice) -> Rows:
        start, stop, _ = rows.indices(self.count)
        refuse_beyond(f"n={self.count}", "a sequence", stop - start, self.cube.dimension + 1)
        if self.ends is None:
            pieces = [self.draw(uniform)[0] for uniform in self.cube.blocks(start, stop)]
        else:
            first, last = np.searchsorted(self.ends, (start, stop - 1), side="right").tolist()
            before = int(self.ends[first - 1]) if first else 0
            pieces = []
            for uniform in self.cube.blocks(first * BLOCK, min((last + 1) * BLOCK, self.cube.total)):
                candidates, counts = self.draw(uniform)
                candidates = candidates[counts]
                pieces.append(candidates[max(0, start - before) : max(0, stop - before)])
                before += len(candidates)
        return np.concatenate(pieces) if pieces else self[:1][:0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or np.float64, copy=False)

    @property
    def fingerprint(self) -> bytes:
        """Bytes that differ between these points and others, without making them all."""
        return self.what.encode() + self[:SHOWN].tobytes() + self[-SHOWN:].tobytes()


def lazy_points(what: str, where: str, count: int, cube: Cube, draw: Draw, all_count: bool) -> LazyPoints:
    """The first `count` that count of a sequence that is made longer until it holds as many.

    `what` tells all that the points depend on, `where` names the place in errors.
    """
    cube = replace(cube, total=count)
    if all_count:
        points = LazyPoints(what, count, cube, draw, None)
        _ = points.shape  # raises here where the sequence has no such number of points
        return points
    while True:
        ends = np.cumsum([draw(uniform)[1].sum() for uniform in cube.blocks()])
        if ends[-1] >= count:
            return LazyPoints(what, count, cube, draw, ends)
        if 2 * cube.total > max(MOST, WASTE * count):
            raise ValueError(f"{where}: fewer than {count} of {cube.total} points drawn for it lie on it; is it empty?")
        # The first points of a longer sequence are those of a shorter one (of a Latin hypercube, others).
        cube = replace(cube, total=2 * cube.total)
