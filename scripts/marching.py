"""Time slab by slab: Lorenz' equations for longer than one network can follow them.

Each slab has a network of its own and starts, by a hard constraint, from where the slab before it ended. Errors
grow a hundredfold in five units of time whatever the method: trajectories that start close together part so fast.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import tyro
from scipy.integrate import solve_ivp

import tangrax as tx
from tangrax.launch import use_devices

START = (-8.0, 7.0, 27.0)


def main(
    end: float = 6.0,
    slabs: int = 16,
    devices: int | None = None,
    emulate: bool = False,
    epochs: int = 50,
    points: int = 80,
    out: Path = Path("runs/marching"),
) -> None:
    """Solve x' = 10 (y - x), y' = x (28 - z) - y, z' = xy - 8/3 z in slabs, and in one piece.

    Args:
        end: the last time.
        slabs: pieces of time.
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Gauss-Newton in each slab; in one piece, as many as in all slabs together.
        points: collocation points of each slab; in one piece, as many as in all slabs together.
        out: directory for the picture.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")
    curves = {
        f"{slabs} slabs": march(end, slabs, epochs, points, devices),
        "one network": march(end, 1, epochs * slabs, points * slabs, devices),
    }
    draw(curves, out)


def rate(_, state):
    """The right-hand side, of numbers and of fields."""
    x, y, z = state
    return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z


def march(end: float, slabs: int, epochs: int, points: int, devices: int | None) -> np.ndarray:
    """Rows of times and relative errors there."""
    exact = solve_ivp(rate, (0, end), START, method="DOP853", rtol=1e-13, atol=1e-13, dense_output=True).sol
    result, start = [], np.array(START)
    for number, span in enumerate(pairwise(np.linspace(0, end, slabs + 1))):
        times = np.linspace(*span, 21)[1:]
        states = slab(start, span, times, number, epochs, points, devices)
        wanted = exact(times).T
        errors = np.linalg.norm(states - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        result.append(np.stack([times, errors], axis=1))
        print(f"{slabs} slab(s): error {errors[-1]:.1e} at t = {span[1]:g}", flush=True)
        start = states[-1]
    return np.concatenate(result)


def slab(
    start: np.ndarray,
    span: tuple[float, float],
    times: np.ndarray,
    seed: int,
    epochs: int,
    points: int,
    devices: int | None,
) -> np.ndarray:
    """x, y, z at some times of a slab, a row each, from their values at its start."""
    t0, t1 = span
    t, _ = tx.domain.line(t0, t1, n=points).variable("interior")
    net = tx.nn.mlp(1, 3, width=20, depth=2, key=seed)
    share = (t - t0) / (t1 - t0)
    state = [float(first) + 10 * share * out for first, out in zip(start, net(2 * share - 1), strict=True)]
    terms = {
        name: (each.d(t) / 10 - slope / 10).mse for name, each, slope in zip("xyz", state, rate(t, state), strict=True)
    }
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices)
    solver.solve(epochs, progress=False)
    return np.stack(solver.eval(state, points={"interior": times}), axis=1)


def draw(curves: dict[str, np.ndarray], out: Path) -> None:
    """The error over time, slab by slab and in one piece."""
    try:
        from tangrax import report
        from tangrax.report.canvas import COLOURS, finish, new_axes
    except ImportError as error:
        print(f"no picture: {error}")
        return
    axes = new_axes(None)
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        axes.semilogy(*curve.T, color=colour, label=name)
    axes.set(xlabel="t", ylabel="relative error", title="Lorenz' equations: a network for each slab of time, or one")
    axes.legend(frameon=False)
    print(f"picture: {report.save(finish(axes), out / 'marching.png')}")


if __name__ == "__main__":
    tyro.cli(main)
