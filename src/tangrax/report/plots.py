"""Matplotlib pictures: each function draws on the `Axes` given, or on a new figure, and returns the `Axes`.

Figures are made without pyplot: no window, no global state, any number of them at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError("tangrax.report draws with matplotlib: pip install 'tangrax[plot]'") from error

from ..solve import History

# Okabe and Ito's palette: told apart with every common kind of colour blindness. Black is kept for references.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
REFERENCE = "#000000"
FAINT = "#999999"
SIZE = (6.4, 4.0)  # inches


def solution(
    x: Float[np.ndarray, " n"],
    u: Float[np.ndarray, " n"],
    reference: Float[np.ndarray, " n"] | None = None,
    axes: Axes | None = None,
    *,
    xlabel: str = "x",
    ylabel: str = "u",
) -> Axes:
    """A solution of a one-dimensional problem over x, and the reference it should meet; points in any order."""
    axes = _axes(axes)
    order = np.argsort(x)
    label = "network"
    if reference is not None:
        error = np.linalg.norm(u - reference) / np.linalg.norm(reference)
        label = f"network (relative L2 error {error:.1e})"
        # Wide and pale beneath, thin and dark above: both stay visible where they agree.
        axes.plot(x[order], reference[order], color=COLOURS[4], linewidth=6, alpha=0.6, label="reference")
    axes.plot(x[order], u[order], color=COLOURS[0], linewidth=1.8, label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel, title="Solution")
    axes.legend(loc="best", frameon=False)
    return _finish(axes)


def losses(history: History, names: Sequence[str] | None = None, axes: Axes | None = None) -> Axes:
    """Every loss term and their total over epochs, on a logarithmic scale.

    `names` are the terms to draw; by default those with a number at every epoch, so name the terms where a tracker
    has one too.
    """
    axes = _axes(axes)
    total = history["loss"]
    if names is None:
        names = [name for name in history if name != "loss" and history[name].shape == total.shape]
    # The total lies wide and pale beneath: often one term is nearly all of it.
    axes.plot(history.epochs("loss"), total, color=FAINT, linewidth=5, alpha=0.5, label="total")
    for index, name in enumerate(names):
        axes.plot(history.epochs(name), history[name], color=COLOURS[index % len(COLOURS)], linewidth=1.3, label=name)
    axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="loss", title="Loss")
    axes.legend(loc="best", frameon=False)
    return _finish(axes)


def tracker(
    history: History,
    names: str | Sequence[str] | Mapping[str, str],
    axes: Axes | None = None,
    *,
    warn_below: float | None = None,
    cosine: bool = True,
    ylabel: str | None = None,
) -> Axes:
    """Tracked numbers over epochs; a mapping from names to labels says what the legend calls them.

    `cosine` fixes the range to -1 … 1 and draws 0; `warn_below` draws the threshold of a warning.
    """
    axes = _axes(axes)
    if isinstance(names, str):
        names = [names]
    labels = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
    for index, (name, label) in enumerate(labels.items()):
        values = history[name]
        if values.ndim != 1:
            raise ValueError(f"tracker '{name}' has values of shape {values.shape[1:]}: only numbers make a curve")
        epochs, colour = history.epochs(name), COLOURS[index % len(COLOURS)]
        style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(epochs) <= 100 else {}
        axes.plot(epochs, values, color=colour, linewidth=1.5, label=label, **style)
    if cosine:
        axes.set_ylim(-1.08, 1.08)
        axes.set_yticks([-1, -0.5, 0, 0.5, 1])
        axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    if warn_below is not None:
        axes.axhline(
            warn_below, color=REFERENCE, linewidth=1.2, linestyle=(0, (4, 3)), label=f"warning below {warn_below:g}"
        )
    axes.set(xlabel="epoch", ylabel=ylabel or ("cosine" if cosine else "value"), title="During training")
    # Below the axes, since a curve may run anywhere in them.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return _finish(axes)


def spectrum(eigenvalues: Float[np.ndarray, " n"], floor: float, axes: Axes | None = None) -> Axes:
    """Eigenvalues of a tangent kernel in falling order, both axes logarithmic.

    Those below `floor` (`Spectrum.floor`) are not resolved and drawn grey; those that are not positive are left out.
    """
    axes = _axes(axes)
    falling = np.sort(eigenvalues)[::-1]
    index = np.arange(1, len(falling) + 1)
    resolved = falling > floor
    grey = ~resolved & (falling > 0)
    style: dict[str, Any] = {"linestyle": "none", "markersize": 3.5}
    axes.plot(index[grey], falling[grey], marker=".", color=FAINT, label="not resolved", **style)
    axes.plot(index[resolved], falling[resolved], marker="o", color=COLOURS[0], label="resolved", **style)
    axes.axhline(
        floor,
        color=COLOURS[1],
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        label=f"resolution {floor:.1e}",
    )
    axes.set(xscale="log", yscale="log", xlabel="index", ylabel="eigenvalue", title="Tangent kernel")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.legend(loc="upper right", frameon=False, markerscale=1.5)
    return _finish(axes)


def cosine_matrix(
    matrix: Float[np.ndarray, "g g"], labels: Sequence[str] | None = None, axes: Axes | None = None
) -> Axes:
    """Cosines of all pairs of groups as a heat map from -1 to 1, each value written in its cell."""
    axes = _axes(axes)
    count = len(matrix)
    if labels is not None and len(labels) != count:
        raise ValueError(f"{len(labels)} labels for a matrix of {count} groups: give one label a group")
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    for row, column in np.ndindex(count, count):
        value = matrix[row, column]
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour)
    names = list(labels) if labels is not None else [str(index) for index in range(count)]
    axes.set_xticks(range(count), names)
    axes.set_yticks(range(count), names)
    axes.set_title("Cosines between groups")
    axes.figure.colorbar(image, ax=axes, label="cosine", shrink=0.85)
    return axes


def save(axes: Axes, path: str | Path, dpi: int = 150) -> Path:
    """Write the whole figure that `axes` belongs to; its directory is made where it is missing."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    return path


def _axes(axes: Axes | None) -> Axes:
    return Figure(figsize=SIZE, layout="constrained").add_subplot() if axes is None else axes


def _finish(axes: Axes) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes
