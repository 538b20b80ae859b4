"""Pictures of the tangent kernel: its eigenvalues and the patterns over the points that belong to them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from ..jacobian.spectrum import RESOLVED, eigenvalue_error
from .canvas import COLOURS, DIVERGING, FAINT, Axes, colormaps, finish, new_axes
from .fields import Inside, triangles

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def spectrum(eigenvalues: Float[np.ndarray, " n"], floor: float, axes: Axes | None = None) -> Axes:
    """Draw eigenvalues of a tangent kernel in falling order, both axes logarithmic.

    Those that are not positive have no place on a logarithmic axis, and the legend counts them.

    Args:
        eigenvalues: in any order.
        floor: `Spectrum.floor`; those below it are not resolved and drawn grey.
        axes: what to draw on; a new figure by default.

    Returns:
        The axes.
    """
    axes = new_axes(axes)
    falling = np.sort(eigenvalues)[::-1]
    index = np.arange(1, len(falling) + 1)
    resolved = falling > floor
    grey = ~resolved & (falling > 0)
    style: dict[str, Any] = {"linestyle": "none", "markersize": 3.5}
    unseen = np.sum(~(falling > 0))
    label = f"not resolved, and {unseen} not above zero" if unseen else "not resolved"
    axes.plot(index[grey], falling[grey], marker=".", color=FAINT, label=label, **style)
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
    return finish(axes)


def spectrum_history(
    epochs: Num[np.ndarray, " t"],
    eigenvalues: Float[np.ndarray, "t k"],
    floor: float,
    axes: Axes | None = None,
) -> Axes:
    """The largest eigenvalues of a tangent kernel over epochs, λ₁ on top.

    They are `history["name/eigenvalues"]` of a spectrum's tracker; `floor` is what rounding leaves, in those of λ₁.
    """
    axes = new_axes(axes)
    count = eigenvalues.shape[1]
    for index in range(count):
        # From dark to light, since the order is what tells them apart.
        colour = colormaps["viridis"](0.9 * index / max(1, count - 1))
        label = f"λ{str(index + 1).translate(SUBSCRIPTS)}" if index in (0, count - 1) else None
        axes.plot(epochs, eigenvalues[:, index], color=colour, linewidth=1.4, label=label)
    style: dict[str, Any] = {"color": COLOURS[1], "linewidth": 1.2, "linestyle": (0, (4, 3))}
    axes.plot(epochs, floor * eigenvalues[:, 0], label="resolution", **style)
    axes.set(yscale="log", xlabel="epoch", ylabel="eigenvalue", title="Tangent kernel during training")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return finish(axes)


def relative_floor(precision: str) -> float:
    """What an eigenvalue watched during training must exceed to be resolved, in those of λ₁."""
    return eigenvalue_error(np.dtype(precision.split(",")[0])) / RESOLVED


def eigenfunctions(
    x: Float[np.ndarray, " n"],
    vectors: Float[np.ndarray, "n k"],
    eigenvalues: Sequence[float] | Float[np.ndarray, " m"] | None = None,
    axes: Axes | None = None,
    *,
    xlabel: str = "x",
) -> Axes:
    """Draw the first eigenvectors of a kernel as curves over x, each scaled to the largest value 1.

    Args:
        x: coordinates of the points, in any order.
        vectors: `Spectrum.vectors`; at most six columns are drawn, as many as the colours tell apart.
        eigenvalues: for the legend.
        axes: what to draw on; a new figure by default.
        xlabel: label of the horizontal axis.

    Returns:
        The axes.

    Raises:
        ValueError: there are fewer eigenvalues than curves.
    """
    count = min(vectors.shape[1], len(COLOURS))
    if eigenvalues is not None and len(eigenvalues) < count:
        raise ValueError(f"{len(eigenvalues)} eigenvalues for {vectors.shape[1]} eigenvectors: give one a column")
    axes = new_axes(axes)
    order = np.argsort(x)
    for index in range(count):
        number = str(index + 1).translate(SUBSCRIPTS)
        label = f"v{number}" if eigenvalues is None else f"λ{number} = {_short(eigenvalues[index])}"
        axes.plot(x[order], _scaled(vectors[order, index]), color=COLOURS[index], linewidth=1.6, label=label)
    axes.axhline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.set(ylim=(-1.08, 1.08), yticks=[-1, -0.5, 0, 0.5, 1])
    axes.set(xlabel=xlabel, ylabel="eigenfunction", title="Eigenfunctions of the tangent kernel")
    # Below the axes, since the curves run everywhere in them.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2 if count == 4 else 3, frameon=False)
    return finish(axes)


def eigenfunction(
    points: Float[np.ndarray, "n 2"],
    vector: Float[np.ndarray, " n"],
    axes: Axes | None = None,
    *,
    title: str = "Eigenfunction of the tangent kernel",
    xlabel: str = "x",
    ylabel: str = "y",
    inside: Inside | None = None,
) -> Axes:
    """Draw an eigenvector of a kernel over points in the plane, scaled to the largest value 1, as a filled map.

    Lines mark where the pattern changes sign. Nothing is drawn where there are no points.

    Args:
        points: rows (x, y).
        vector: a column of `Spectrum.vectors`.
        axes: what to draw on; a new figure by default.
        title: of the picture.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        inside: function of rows (x, y) that says which lie in the domain; nothing is drawn elsewhere.

    Returns:
        The axes.

    Raises:
        ValueError: there are fewer than three points.
    """
    if len(points) < 3:
        raise ValueError(f"{len(points)} points: a map needs three at least, not on one line")
    axes = new_axes(axes, (5.4, 4.4))
    x, y, value = points[:, 0], points[:, 1], _scaled(vector)
    between = triangles(x, y, inside=inside)
    filled = axes.tripcolor(between, value, shading="gouraud", cmap=DIVERGING, vmin=-1, vmax=1, rasterized=True)
    if value.min() < 0 < value.max():
        axes.tricontour(between, value, levels=[0], colors=FAINT, linewidths=0.8)
    axes.margins(0)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.figure.colorbar(filled, ax=axes, label="eigenfunction", ticks=[-1, -0.5, 0, 0.5, 1])
    return axes


def _scaled(vector: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Of size 1 where it is largest, and positive there (at the first of the places within 1% of that)."""
    size = np.abs(vector)
    if not size.max() > 0:
        return vector
    # A pattern may come as far on both sides of zero: rounding must not choose the side.
    sign = np.sign(vector[np.argmax(size > 0.99 * size.max())])
    return vector / (sign * size.max())


def _short(value: float) -> str:
    """Two digits: 3.2e2."""
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"
