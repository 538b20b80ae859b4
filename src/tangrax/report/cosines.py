"""Pictures of cosines between gradients: of all pairs, over training, layer by layer."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Num

from .canvas import COLOURS, DIVERGING, SIZE, Axes, finish, new_axes, plain


def cosine_matrix(
    matrix: Float[np.ndarray, "g g"], labels: Sequence[str] | None = None, axes: Axes | None = None
) -> Axes:
    """Draw cosines of all pairs of groups as a heat map from -1 to 1, each value written in its cell.

    Args:
        matrix: value of `tx.np.cosine([a, b, c])`.
        labels: of the groups; their numbers by default.
        axes: what to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ValueError: there are more or fewer labels than groups.
    """
    axes = new_axes(axes)
    count = len(matrix)
    if labels is not None and len(labels) != count:
        raise ValueError(f"{len(labels)} labels for a matrix of {count} groups: give one label a group")
    image = axes.imshow(matrix, cmap=DIVERGING, vmin=-1, vmax=1)
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


def cosine_history(
    epochs: Num[np.ndarray, " t"],
    matrices: Float[np.ndarray, "t g g"],
    names: Sequence[str],
    axes: Axes | None = None,
) -> Axes:
    """Draw cosines of all pairs of groups over training, one row a pair.

    Cosines that are not finite are grey.

    Args:
        epochs: `history.epochs(name)` of a tracker of `tx.np.cosine([a, b, c])`.
        matrices: `history[name]` of it.
        names: of a, b, c.
        axes: what to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ValueError: there are more or fewer names than groups, or one group.
    """
    count = matrices.shape[-1]
    if len(names) != count or count < 2:
        raise ValueError(f"{len(names)} names for cosines of {count} groups: give one name a group, two at least")
    pairs = list(combinations(range(count), 2))
    axes = new_axes(axes, (SIZE[0], max(SIZE[1], 1.2 + 0.32 * len(pairs))))
    cosines = np.ma.masked_invalid([matrices[:, i, j] for i, j in pairs])
    rows = np.arange(len(pairs) + 1) - 0.5
    mesh = axes.pcolormesh(_edges(epochs), rows, cosines, cmap=DIVERGING, vmin=-1, vmax=1, rasterized=True)
    for row in rows[1:-1]:
        axes.axhline(row, color="white", linewidth=2)
    axes.set_yticks(range(len(pairs)), [plain(f"{names[i]} · {names[j]}") for i, j in pairs])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set(xlabel="epoch", title="Cosines during training")
    axes.figure.colorbar(mesh, ax=axes, label="cosine", ticks=[-1, -0.5, 0, 0.5, 1])
    return axes


def _edges(centres: Num[np.ndarray, " t"]) -> Float[np.ndarray, " t+1"]:
    """Return where the cells of rising numbers meet: halfway between them, and as far beyond the first and the last."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5], dtype=float)
    middle = (centres[1:] + centres[:-1]) / 2
    return np.array([2 * centres[0] - middle[0], *middle, 2 * centres[-1] - middle[-1]])


def leaf_cosines(names: Sequence[str], cosines: Float[np.ndarray, " l"], axes: Axes | None = None) -> Axes:
    """Draw cosines of two gradients layer by layer, a bar a parameter leaf, the first on top.

    Args:
        names: `net.leaf_names`.
        cosines: value of `tx.np.cosine(a, b, per_leaf=True)`.
        axes: what to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        ValueError: there are more or fewer names than cosines.
    """
    if len(names) != len(cosines):
        raise ValueError(f"{len(names)} names for cosines of {len(cosines)} leaves: give one name a leaf")
    axes = new_axes(axes, (SIZE[0], max(SIZE[1], 1.2 + 0.26 * len(names))))
    # The sides have the colours of the heat maps: red for help, blue for conflict.
    colours = [COLOURS[1] if cosine > 0 else COLOURS[0] for cosine in cosines]
    axes.barh(range(len(names)), cosines, color=colours, height=0.7)
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(names)), map(plain, names))
    axes.set(xlim=(-1.05, 1.05), xticks=[-1, -0.5, 0, 0.5, 1], ylim=(len(names) - 0.4, -0.6))
    axes.set(xlabel="cosine", title="Cosines layer by layer")
    finish(axes)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return axes
