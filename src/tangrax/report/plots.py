"""Curves: solutions, losses and tracked numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ..solve import History
from .canvas import COLOURS, FAINT, REFERENCE, Axes, broken, finish, new_axes, plain


def solution(
    x: Float[np.ndarray, " n"],
    u: Float[np.ndarray, " n"],
    reference: Float[np.ndarray, " n"] | None = None,
    axes: Axes | None = None,
    *,
    xlabel: str = "x",
    ylabel: str = "u",
    breaks: Sequence[float] = (),
) -> Axes:
    """Draw a solution of a one-dimensional problem over x, and the reference it should meet.

    Args:
        x: coordinates, in any order.
        u: values there.
        reference: its values there.
        axes: what to draw on; a new figure by default.
        xlabel: label of the horizontal axis.
        ylabel: label of the vertical axis.
        breaks: places between points where there is no domain; curves are broken there.

    Returns:
        The axes.
    """
    axes = new_axes(axes)
    order = np.argsort(x)
    label = "network"
    if reference is not None:
        error = np.linalg.norm(u - reference) / np.linalg.norm(reference)
        label = f"network (relative L2 error {error:.1e})"
        # Wide and pale beneath, thin and dark above: both stay visible where they agree.
        axes.plot(
            *broken(x[order], reference[order], breaks), color=COLOURS[4], linewidth=6, alpha=0.6, label="reference"
        )
    axes.plot(*broken(x[order], u[order], breaks), color=COLOURS[0], linewidth=1.8, label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel, title="Solution")
    axes.legend(loc="best", frameon=False)
    return finish(axes)


def losses(history: History, names: Sequence[str] | None = None, axes: Axes | None = None) -> Axes:
    """Draw loss terms and their total over epochs, on a logarithmic scale; linear about zero where one is not positive.

    Args:
        history: of a solver, or of a run's record.
        names: of the terms to draw; by default all with a number at every epoch, so name the terms where a tracker has
            one too.
        axes: what to draw on; a new figure by default.

    Returns:
        The axes.

    Raises:
        KeyError: nothing is recorded under a name.
    """
    axes = new_axes(axes)
    total = history["loss"]
    if names is None:
        names = [name for name in history if name != "loss" and history[name].shape == total.shape]
    # The total lies wide and pale beneath: often one term is nearly all of it.
    axes.plot(history.epochs("loss"), total, color=FAINT, linewidth=5, alpha=0.5, label="total")
    for index, name in enumerate(names):
        axes.plot(
            history.epochs(name), history[name], color=COLOURS[index % len(COLOURS)], linewidth=1.3, label=plain(name)
        )
    sizes = np.abs(np.concatenate([total, *(history[name] for name in names)]))
    if all(np.all(history[name] > 0) for name in ("loss", *names)):
        axes.set_yscale("log")
    else:
        # A logarithmic scale would leave out what is zero or below.
        axes.set_yscale("symlog", linthresh=min(sizes[sizes > 0], default=1.0))
    axes.set(xlabel="epoch", ylabel="loss", title="Loss")
    axes.legend(loc="best", frameon=False)
    return finish(axes)


def tracker(
    history: History,
    names: str | Sequence[str] | Mapping[str, str],
    axes: Axes | None = None,
    *,
    warn_below: float | None = None,
    cosine: bool = True,
    ylabel: str | None = None,
) -> Axes:
    """Draw tracked numbers over epochs.

    Args:
        history: of a solver, or of a run's record.
        names: of the trackers; a mapping from names to labels says what the legend calls them.
        axes: what to draw on; a new figure by default.
        warn_below: threshold of a warning, drawn as a line.
        cosine: whether the values are cosines: the range is -1 to 1, and 0 is drawn.
        ylabel: label of the vertical axis.

    Returns:
        The axes.

    Raises:
        KeyError: nothing is recorded under a name.
        ValueError: a tracker's values are arrays.
    """
    axes = new_axes(axes)
    if isinstance(names, str):
        names = [names]
    labels = dict(names) if isinstance(names, Mapping) else {name: plain(name) for name in names}
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
    return finish(axes)
