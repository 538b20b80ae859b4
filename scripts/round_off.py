"""Poisson's equation on the unit square to round-off: a few epochs of Adam, then Gauss-Newton, in float64."""

import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices


def main(
    devices: int | None = None, emulate: bool = False, epochs: int = 90, points: int = 1000, spring: bool = False
) -> None:
    """Solve -Δu = 2π² sin(πx) sin(πy), u = 0 on the edge.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Gauss-Newton.
        points: collocation points.
        spring: take SPRING in place of Gauss-Newton.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")

    x, y, _ = tx.domain.rect(n=points).variable("interior")
    exact = tx.np.sin(tx.np.pi * x) * tx.np.sin(tx.np.pi * y)
    u = tx.nn.mlp(2, width=20, depth=3)(x, y) * x * (1 - x) * y * (1 - y)
    residual = u.laplacian(x, y) + 2 * tx.np.pi**2 * exact
    solver = tx.core({"pde": residual.mse}, optimizer=optax.adam(3e-3), devices=devices)
    new = np.random.default_rng(0).random((2000, 2))

    def report(name: str) -> None:
        result, expected = solver.eval([u, exact], points={"interior": new})
        error = np.linalg.norm(result - expected) / np.linalg.norm(expected)
        print(f"{name}: epoch {solver.epoch}, loss {solver.history['loss'][-1]:.1e}, relative L2 error {error:.1e}")

    solver.solve(300)
    report("Adam")
    name = "SPRING" if spring else "Gauss-Newton"
    solver.optimizer(tx.optim.spring() if spring else tx.optim.gauss_newton())
    for _ in range(3):
        solver.solve(epochs // 3)
        report(name)
    if solver.stalled:
        print(solver.stalled)


if __name__ == "__main__":
    tyro.cli(main)
