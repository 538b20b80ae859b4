"""Results for other programs: heat in a square with a hole, as a function, a table, a VTK file and plain arrays.

Solves -Δu = 4, u = 1 - r² on the whole boundary, whose solution is 1 - r². The function is then read as a program
without Tangrax would read it.
"""

from pathlib import Path

import jax
import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices


def main(
    devices: int | None = None, emulate: bool = False, epochs: int = 1500, out: Path = Path("runs/export")
) -> None:
    """Solve, and export.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
        out: directory of the files.
    """
    devices = use_devices(devices, emulate)
    out.mkdir(parents=True, exist_ok=True)

    square = tx.domain.rect((-1, -1), (1, 1)) - tx.domain.disk((0, 0), 0.4)
    domain = square.sample(n=1000, boundary=400)
    x, y, _ = domain.variable("interior")
    xb, yb, _ = domain.variable("boundary")
    net = tx.nn.mlp(2, width=24, depth=2, name="net")
    u = net(x, y)
    terms = {"pde": (u.laplacian(x, y) + 4).mse, "edge": 10 * (net(xb, yb) - 1 + xb**2 + yb**2).mse}
    schedule = optax.exponential_decay(5e-3, 500, 0.4)
    solver = tx.core(terms, optimizer=optax.adam(schedule), devices=devices).solve(epochs)

    fields = {"u": u, "flux": -tx.np.stack([u.d(x), u.d(y)])}
    solver.export(out / "u.jax", fields)
    solver.export(out / "parameters.npz")
    solver.export(out / "u.csv", fields)
    places, quads = grid(41)
    solver.export(out / "u.vtu", fields, points={"interior": places}, cells={"quad": quads})

    function = jax.export.deserialize(bytearray((out / "u.jax").read_bytes()))
    result = function.call(places.astype(function.in_avals[0].dtype))
    exact = 1 - np.sum(places**2, axis=1)
    error = np.linalg.norm(result["u"] - exact) / np.linalg.norm(exact)
    print(f"{function.fun_name}, for {', '.join(function.platforms)}: relative L2 error {error:.1e}")
    for path in sorted(out.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


def grid(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a grid on the square, and the cells between them that lie outside the hole."""
    axis = np.linspace(-1, 1, count)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    corner = np.arange(count * (count - 1)).reshape(count - 1, count)[:, :-1].ravel()
    quads = np.stack([corner, corner + 1, corner + count + 1, corner + count], axis=1)
    outside = (np.sum(places**2, axis=1) >= 0.4**2)[quads].all(axis=1)
    used, numbers = np.unique(quads[outside], return_inverse=True)
    return places[used], numbers.reshape(-1, 4)


if __name__ == "__main__":
    tyro.cli(main)
