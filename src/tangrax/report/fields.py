"""Maps of a field over its points: a curve over one coordinate, colours over two, a frame a slice for more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.tri import Triangulation
from scipy.spatial import KDTree

from ..analysis import Record
from ..domain import Shape
from ..domain.serialization import shape_from
from .canvas import COLOURS, DIVERGING, REFERENCE, Axes, broken, finish, new_axes, plain

Inside = Callable[[np.ndarray], np.ndarray]  # which rows of coordinates lie in the domain

FRAMES = 8  # slices of a field over three coordinates
# Triangles with a side this many times as long as usual bridge a hole or a notch, where there are no points.
LONGEST_SIDE = 10.0
# Where in a triangle the domain is asked for: its middle, and near those of its sides. On these themselves, what lies
# between points of a curved edge would be cut off.
PROBES = np.array([[1, 1, 1], [1.35, 1.35, 0.3], [1.35, 0.3, 1.35], [0.3, 1.35, 1.35]]) / 3
BETWEEN = np.arange(1, 8)[:, None] / 8  # and between two points of a curve
# Width over length of six neighbours: 0.5 to 1 where they fill an area, near 0 along a curve.
FLAT = 0.2


@dataclass(frozen=True)
class Frame:
    """Points that one picture shows, and what they have in common: "t = 0.3", or nothing to say."""

    rows: Bool[np.ndarray, " n"]
    label: str


def varying(at: Float[np.ndarray, "n d"]) -> list[int]:
    """Return the columns of coordinates that are not the same at all points."""
    return [column for column in range(at.shape[1]) if np.ptp(at[:, column]) > 0] if len(at) else []


def frames(at: Float[np.ndarray, "n d"], names: Sequence[str], count: int = FRAMES) -> list[Frame]:
    """Return slices over the last of more than two coordinates that vary; of others that are left, the middle.

    Each point is in one slice at most; slices without enough points for a picture are left out.
    """
    columns = varying(at)
    inside = np.ones(len(at), bool)
    labels = []
    for column in columns[2:-1]:
        low, high = np.quantile(at[:, column], (0.4, 0.6))
        inside &= (at[:, column] >= low) & (at[:, column] <= high)
        labels.append(f"{names[column]} ≈ {(low + high) / 2:.2g}")
    if len(columns) < 3:
        return [Frame(inside, "")]
    last = at[:, columns[-1]]
    edges = np.linspace(last.min(), last.max(), count + 1)
    index = np.clip(np.searchsorted(edges, last, side="right") - 1, 0, count - 1)
    slices = []
    for i in range(count):
        rows = inside & (index == i)
        if _spread(at[rows][:, columns[:2]]):
            label = f"{names[columns[-1]]} from {edges[i]:.2g} to {edges[i + 1]:.2g}"
            slices.append(Frame(rows, ", ".join([*labels, label])))
    return slices


def field(
    at: Float[np.ndarray, "n d"],
    values: Float[np.ndarray, " n"],
    names: Sequence[str],
    axes: Axes | None = None,
    *,
    title: str = "",
    signed: bool = False,
    limits: tuple[float, float] | None = None,
    inside: Inside | None = None,
) -> Axes:
    """Draw a field as a curve over the one coordinate that varies, or colours over the first two; points in any order.

    `names` are those of the columns of `at`. `signed` centres the colours at zero; `limits` are those of the colours,
    by default of the values. Nothing is drawn between points where rows of coordinates are not `inside` the domain, nor
    next to values that are not finite: those are marked by crosses, and counted in the title.
    """
    columns = varying(at)[:2]
    lost = ~np.isfinite(values)
    if lost.any():
        title = f"{title}\n{lost.sum()} of {len(values)} values are not finite".lstrip()
    if len(columns) < 2:
        return _curve(at, values, names, columns, axes, title, inside)
    axes = new_axes(axes, (5.4, 4.2))
    low, high = limits or span(values, signed)
    style: dict[str, Any] = {"cmap": DIVERGING if signed else "viridis", "vmin": low, "vmax": high, "rasterized": True}
    x, y = at[:, columns[0]], at[:, columns[1]]
    if _spread(at[:, columns]) and not _on_curves(at[:, columns]):
        between = triangles(x, y, at, inside)
        off = False if between.mask is None else between.mask
        between.set_mask(off | lost[between.triangles].any(axis=1))
        mappable = axes.tripcolor(between, values, shading="gouraud", **style)
    else:
        mappable = axes.scatter(x, y, c=values, s=12, **style)
    if lost.any():
        axes.plot(x[lost], y[lost], linestyle="none", marker="x", markersize=4, color=REFERENCE)
    axes.margins(0.01)
    if "t" not in (names[columns[0]], names[columns[1]]) and _alike(np.ptp(x), np.ptp(y)):
        axes.set_aspect("equal")
    axes.set(xlabel=plain(names[columns[0]]), ylabel=plain(names[columns[1]]), title=title)
    axes.figure.colorbar(mappable, ax=axes)
    return axes


def span(values: Float[np.ndarray, "..."], signed: bool) -> tuple[float, float]:
    """Return the least and the largest finite value; the same on both sides of zero where the sign counts."""
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    most = float(np.abs(values).max())
    return (-most, most) if signed else (float(values.min()), float(values.max()))


def triangles(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    at: Float[np.ndarray, "n d"] | None = None,
    inside: Inside | None = None,
) -> Triangulation:
    """Return triangles between neighbours, none over a hole or a notch.

    Where these are depends on the points, and is exact where `inside` says which rows of coordinates lie in the domain:
    `at` are those of the points, by default (x, y).
    """
    # Coordinates in units of their ranges: time may be in days where space is in metres.
    scaled = np.stack([(column - column.min()) / np.ptp(column) for column in (x, y)], axis=1)
    between = Triangulation(*scaled.T).triangles
    corners = scaled[between]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    mask = longest > LONGEST_SIDE * np.median(longest)
    if inside is not None:
        rows = (np.stack([x, y], axis=1) if at is None else at)[between]
        for shares in PROBES:
            mask |= ~inside(np.einsum("c,tcd->td", shares, rows))
    return Triangulation(x, y, between, mask=mask)


def inside_of(region: Shape | None) -> Inside | None:
    """Return a test of which rows of coordinates lie in a region, whatever the time; None where there is none.

    There is none for clouds, nor for meshes where the library that knows is not installed.
    """
    if region is None:
        return None
    try:
        region.holds(np.zeros((1, region.dimension)))
    except ImportError:
        return None
    return lambda rows: region.holds(rows[:, : region.dimension])


def recorded_inside(record: Record, place: int) -> Inside | None:
    """Return the same for points in a record; None for fields over other quantities, and in older runs."""
    region = record.view["places"][place].get("region")
    return None if region is None else inside_of(shape_from(region, record.arrays))


def breaks(at: Float[np.ndarray, "n d"], column: int, inside: Inside | None) -> Sequence[float]:
    """Return where a curve over a column of coordinates would leave the domain."""
    if inside is None or len(at) < 2:
        return ()
    rows = at[np.argsort(at[:, column])]
    first, second = rows[:-1, None], rows[1:, None]
    between = first + BETWEEN * (second - first)
    within = inside(between.reshape(-1, at.shape[1])).reshape(between.shape[:2]).all(axis=1)
    return ((rows[:-1, column] + rows[1:, column])[~within] / 2).tolist()


def _curve(
    at: Any,
    values: Any,
    names: Sequence[str],
    columns: Sequence[int],
    axes: Axes | None,
    title: str,
    inside: Inside | None,
) -> Axes:
    axes = new_axes(axes)
    along = at[:, columns[0]] if columns else np.arange(len(values))
    order = np.argsort(along)
    style: dict[str, Any] = {"marker": "o", "linestyle": "none"} if len(values) < 10 else {"linewidth": 1.5}
    gaps = breaks(at, columns[0], inside) if columns else ()
    axes.plot(*broken(along[order], values[order], gaps), color=COLOURS[0], **style)
    axes.set(xlabel=plain(names[columns[0]]) if columns else "point", title=title)
    return finish(axes)


def _on_curves(at: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether points lie along curves, as those of a boundary: between these nothing is known."""
    scaled = (at - at.mean(axis=0)) / np.maximum(np.ptp(at, axis=0), 1e-300)
    near = scaled[KDTree(scaled).query(scaled, k=6)[1]]
    size = np.linalg.svd(near - near.mean(axis=1, keepdims=True), compute_uv=False)
    return float(np.median(size[:, 1] / np.maximum(size[:, 0], 1e-300))) < FLAT


def _alike(width: float, height: float) -> bool:
    """Return whether lengths can be drawn to scale, without a picture that is hardly more than a line."""
    return bool(max(width, height) < 5 * min(width, height))


def _spread(at: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether points fill a part of a plane, so that there are triangles between them."""
    if len(at) < 10:
        return False
    centred = (at - at.mean(axis=0)) / np.maximum(np.ptp(at, axis=0), 1e-300)
    return float(np.linalg.svd(centred, compute_uv=False)[-1]) > 1e-6
