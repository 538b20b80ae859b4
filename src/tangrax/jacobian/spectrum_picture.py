"""Eigenvalues as a notebook draws them: a small picture within the page, without a plotting library."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from ..expr import markup

WIDTH, HEIGHT = 400, 240  # units of the picture, pixels at its natural size
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34  # margins, for labels
MOST = 300  # eigenvalues that are drawn: more would lie on each other
# Of the floor, which is some 4e4 times what rounding makes of zero: what lies below is that, of any magnitude.
NEGLIGIBLE = 1e-5


def picture(
    eigenvalues: Float[np.ndarray, " m"], resolved: Bool[np.ndarray, " m"], floor: float
) -> markup.Element | None:
    """Falling eigenvalues over their index from 1, both axes logarithmic; the floor is dashed.

    Those that are not `resolved` are rings in grey. Zeros, and what lies far below the floor, are left out; of many,
    those evenly spaced on the axis are drawn. None where nothing can be drawn.
    """
    indices = chosen(eigenvalues, floor)
    if len(indices) == 0:
        return None
    values, dashed = eigenvalues[indices], floor > 0 and math.isfinite(floor)
    low, high = _bounds(np.append(values, floor) if dashed else values)
    end = max(len(eigenvalues), 2)

    def across(index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (0.02 + 0.96 * math.log(index) / math.log(end))

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(value) - low) / (high - low)

    parts = _axes(across, up, end, low, high)
    if dashed:
        y = up(floor)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, stroke_dasharray="5 4"))
        parts.append(_text(LEFT + 6, y - 4 if y > HEIGHT / 2 else y + 12, f"right to 1 % above {floor:.1e}", "start"))
    for index, value in zip(indices.tolist(), values.tolist(), strict=True):
        fill, stroke = ("currentColor", "currentColor") if resolved[index] else ("none", "gray")
        at = {"cx": f"{across(index + 1):.1f}", "cy": f"{up(value):.1f}", "r": "2.5"}
        parts.append(markup.element("circle", **at, fill=fill, stroke=stroke))
    return markup.element(
        "svg",
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=str(WIDTH),
        height=str(HEIGHT),
        role="img",
        aria_label=f"{len(indices)} of {len(eigenvalues)} eigenvalues over their index, both axes logarithmic",
        style="max-width: 100%; font: 10px sans-serif",
    )


def chosen(eigenvalues: Float[np.ndarray, " m"], floor: float) -> np.ndarray:
    """Indices of the eigenvalues that are drawn."""
    lowest = NEGLIGIBLE * floor if math.isfinite(floor) else 0.0
    count = len(eigenvalues)
    even = np.arange(count) if count <= MOST else np.geomspace(1, count, MOST).round().astype(int) - 1
    return np.array(
        [i for i in np.unique(even) if np.isfinite(eigenvalues[i]) and eigenvalues[i] > max(lowest, 0.0)], int
    )


def _bounds(values: np.ndarray) -> tuple[float, float]:
    """Powers of ten at the ends of the axis, with a little room."""
    low, high = float(np.log10(values.min())), float(np.log10(values.max()))
    room = max(0.05 * (high - low), 0.1)
    return low - room, high + room


def _axes(
    across: Callable[[float], float], up: Callable[[float], float], end: int, low: float, high: float
) -> list[markup.Element]:
    bottom, parts = HEIGHT - BOTTOM, []
    for power in _powers(low, high):
        y = up(10.0**power)
        parts.append(_line(LEFT - 4, y, LEFT, y))
        parts.append(_text(LEFT - 7, y + 3.5, f"1e{power}", "end"))
    for index in _indices(end):
        x = across(index)
        parts.append(_line(x, bottom, x, bottom + 4))
        parts.append(_text(x, bottom + 15, f"{index:,}", "middle"))
    frame = f"M {LEFT} {TOP} V {bottom} H {WIDTH - RIGHT}"
    parts.append(markup.element("path", d=frame, fill="none", stroke="currentColor", stroke_opacity="0.6"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, "index of the eigenvalue", "middle"))
    return parts


def _powers(low: float, high: float) -> list[int]:
    """At most seven whole powers of ten between two."""
    first, last = math.ceil(low), math.floor(high)
    step = max(1, -(-(last - first) // 6))
    return [power for power in range(first, last + 1) if power % step == 0]


def _indices(end: int) -> list[int]:
    """1, 2, 5, 10, …, of many indices powers of ten alone."""
    steps = (1, 2, 5) if end < 200 else (1,)
    ticks = [step * 10**power for power in range(len(str(end))) for step in steps]
    return [index for index in ticks if index <= end]


def _line(x1: float, y1: float, x2: float, y2: float, **more: str) -> markup.Element:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return markup.element("line", **ends, stroke="currentColor", stroke_opacity="0.6", **more)


def _text(x: float, y: float, text: str, anchor: str) -> markup.Element:
    return markup.element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, fill="currentColor")
