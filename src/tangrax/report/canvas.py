"""Parts of pictures: each function draws on the `Axes` given, or on a new figure, and returns the `Axes`.

Figures are made without pyplot: no window, no global state, any number of them at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..expr.markup import printable

try:
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError("tangrax.report draws with matplotlib: pip install 'tangrax[plot]'") from error

from ..checkpoint.atomic_files import atomic_write, refuse_unwritable

# Okabe and Ito's palette: distinct with every common kind of colour blindness. Black is kept for references.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
REFERENCE = "#000000"
FAINT = "#999999"
# Blue below zero, white, red above: distinct with every common kind of colour blindness.
DIVERGING = colormaps["RdBu_r"].with_extremes(bad=FAINT)
SIZE = (6.4, 4.0)  # inches


def new_axes(axes: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the axes given, or those of a new figure of `size` inches."""
    return Figure(figsize=size, layout="constrained").add_subplot() if axes is None else axes


def finish(axes: Axes) -> Axes:
    """Set the frame and the grid of a curve; return its axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def plain(name: str) -> str:
    """Return a name as matplotlib draws it letter by letter: neither mathematics, nor left out of a legend."""
    text = printable(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def broken(x: Any, values: Any, breaks: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve over rising x, with gaps at `breaks`, places where there is no domain."""
    index = np.searchsorted(x, breaks)
    return np.insert(np.asarray(x, float), index, breaks), np.insert(np.asarray(values, float), index, np.nan)


def save(axes: Axes, path: str | Path, dpi: int = 150) -> Path:
    """Write the whole figure that axes belong to; its directory is made where it is missing.

    Args:
        axes: what a picture returned.
        path: of the file, whose suffix selects the format; `.png` by default.
        dpi: pixels an inch.

    Returns:
        The path, with its suffix.

    Raises:
        OSError: the file cannot be written.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    path = Path(path)
    path = path if path.suffix else path.with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_unwritable(path, "write a picture to")
    with atomic_write(path) as file:
        figure.savefig(file, dpi=dpi, format=path.suffix[1:])
    return path
