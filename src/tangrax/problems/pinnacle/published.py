"""The score points of PINNacle's own reference files, where a copy of them is at hand."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = "TANGRAX_PINNACLE"


@dataclass(frozen=True)
class Layout:
    """How a file holds its values: `axes` columns of coordinates, then `outputs`, at each of the header's times.

    A file of `rows` has no header, and the time among the coordinates.
    """

    file: str
    axes: int
    outputs: int = 1
    rows: bool = False


LAYOUTS = {
    "pinnacle/burgers1d-c": Layout("burgers1d.dat", 1),
    "pinnacle/burgers2d-c": Layout("burgers2d_0.dat", 2, 2),
    "pinnacle/poisson2d-c": Layout("poisson1_cg_data.dat", 2),
    "pinnacle/poisson2d-cg": Layout("poisson_boltzmann2d.dat", 2),
    "pinnacle/poisson3d-cg": Layout("poisson_3d.dat", 3),
    "pinnacle/poisson2d-ms": Layout("poisson_manyarea.dat", 2),
    "pinnacle/heat2d-vc": Layout("heat_darcy.dat", 2),
    "pinnacle/heat2d-cg": Layout("heat_complex.dat", 2),
    "pinnacle/heat2d-lt": Layout("heat_longtime.dat", 2),
    "pinnacle/ns2d-c": Layout("lid_driven_a4.dat", 2, 3),
    "pinnacle/ns2d-cg": Layout("ns_0_obstacle.dat", 2, 3),
    "pinnacle/ns2d-lt": Layout("ns_long.dat", 2, 3),
    "pinnacle/wave2d-cg": Layout("wave_darcy.dat", 2),
    "pinnacle/gs": Layout("grayscott.dat", 3, 2, rows=True),
    "pinnacle/ks": Layout("Kuramoto_Sivashinsky.dat", 2, 1, rows=True),
}


def published(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the coordinates and values of a case's reference file; None where it has none, or the file is not there.

    The folder is that of the environment variable `TANGRAX_PINNACLE`: `ref` of github.com/i207M/PINNacle.

    Args:
        name: of the case, such as `pinnacle/burgers1d-c`.

    Returns:
        Rows of coordinates, then the time (0 in a steady case), and rows of outputs. Rows with NaN are left out.

    Raises:
        ValueError: where the file has another number of columns than the case.
    """
    layout, folder = LAYOUTS.get(name), os.environ.get(FOLDER)
    if layout is None or folder is None or not (path := Path(folder, layout.file)).exists():
        return None
    at, values = read(path, layout)
    known = ~np.isnan(values).any(axis=1)
    return at[known], values[known]


def read(path: Path, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates, (n, axes + 1), and the values, (n, outputs), of a file, time by time."""
    table = np.loadtxt(path, comments="%", ndmin=2, encoding="utf-8")
    times = [0.0] if layout.rows else times_of(path)
    columns = layout.axes + layout.outputs * len(times)
    if table.shape[1] != columns:
        raise ValueError(
            f"{path}: {table.shape[1]} columns; {layout.axes} coordinates and {layout.outputs} outputs at "
            f"{len(times)} times are {columns}: give the file of github.com/i207M/PINNacle"
        )
    places, values = table[:, : layout.axes], table[:, layout.axes :]
    if layout.rows:
        return places, values
    at = np.column_stack([np.tile(places, (len(times), 1)), np.repeat(times, len(places))])
    by_time = values.reshape(len(places), len(times), layout.outputs)
    return at, by_time.swapaxes(0, 1).reshape(-1, layout.outputs)


def times_of(path: Path) -> list[float]:
    """Return the times in a file's header, each once; a steady one is at 0."""
    with path.open(encoding="utf-8") as lines:
        last = [line for line in lines if line.startswith("%")][-1]
    return list(dict.fromkeys(map(float, re.findall(r"t=(\S+)", last)))) or [0.0]
