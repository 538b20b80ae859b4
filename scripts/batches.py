"""Many points, few a step: -Δu = f on the unit square, u = sin(3πx) sin(3πy), with all points a step or a part of them.

Both train for the same time. A step on a part of the points takes a part of the time, and its loss is that of the part.
"""

import time

import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices


def main(
    devices: int | None = None, emulate: bool = False, points: int = 50_000, batch: int = 500, seconds: float = 20.0
) -> None:
    """Train with all points in each step, and with batches.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        points: collocation points.
        batch: how many of them a step sees.
        seconds: time each way may train.
    """
    devices = use_devices(devices, emulate)
    x, y, _ = tx.domain.rect(n=points).variable("interior")
    pi = tx.np.pi
    exact = tx.np.sin(3 * pi * x) * tx.np.sin(3 * pi * y)
    for size in (None, batch):
        u = tx.nn.mlp(2, width=32, depth=3, key=0)(x, y) * x * (1 - x) * y * (1 - y)
        pde = (u.laplacian(x, y) + 18 * pi**2 * exact) / (18 * pi**2)
        terms = {"pde": pde.mse, "error": tx.np.relative_l2(u.held_out(2000), exact.held_out(2000)).tracker(50)}
        solver = tx.core(
            terms,
            optimizer=optax.adam(2e-3),
            devices=devices,
            batch=None if size is None else {"interior": size},
        ).solve(1, progress=False)  # compiled outside the time
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            solver.solve(50, progress=False)
        error = float(solver.history["error"][-1])
        print(
            f"{size or points:>8} points a step: {solver.epoch:6d} steps in {seconds:g} s, relative error {error:.1e}"
        )


if __name__ == "__main__":
    tyro.cli(main)
