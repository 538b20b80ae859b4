"""Groups of points: does what the network learns in one quarter of the square help the others?

Solves -Δu = 2π² sin(πx) sin(πy) on the unit square, compares the quarters by the mean rows of J = ∂u/∂θ, saves
the solver, loads it into a fresh one and evaluates it at new points.
"""

from pathlib import Path

import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax import report
from tangrax.launch import use_devices

QUARTERS = ("lower left", "lower right", "upper left", "upper right")


def main(
    devices: int | None = None, emulate: bool = False, epochs: int = 1500, out: Path = Path("runs/groups")
) -> None:
    """Compare groups of points.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
        out: directory of the picture and the saved solver.
    """
    devices = use_devices(devices, emulate)
    out.mkdir(parents=True, exist_ok=True)

    domain = tx.domain.rect(n=500)
    x, y, _ = domain.variable("interior")
    net = tx.nn.mlp(2)
    u = net(x, y) * x * (1 - x) * y * (1 - y)
    exact = tx.np.sin(tx.np.pi * x) * tx.np.sin(tx.np.pi * y)
    pde = -u.laplacian(x, y) - 2 * tx.np.pi**2 * exact

    west, south = x < 0.5, y < 0.5
    quarters = [west & south, ~west & south, west & ~south, ~west & ~south]
    J = u.grad(net)
    cosines = tx.np.cosine([J[quarter].mean for quarter in quarters])

    def new_solver() -> tx.Solver:
        terms = {"pde": pde.mse, "cosines": cosines.tracker(500)}
        return tx.core(terms, optimizer=optax.adam(optax.exponential_decay(5e-3, 500, 0.5)), devices=devices)

    solver = new_solver().solve(epochs)
    residuals = [(abs(pde)[quarter]).max for quarter in quarters]
    for name, largest in zip(QUARTERS, solver.eval(residuals), strict=True):
        print(f"largest residual, {name:>11}: {largest:.3f}")
    matrix = solver.eval(cosines)
    print("cosines of the quarters:\n" + np.array2string(matrix, precision=2))
    picture = report.save(
        report.cosine_matrix(matrix, [name.replace(" ", "\n") for name in QUARTERS]), out / "cosines.png"
    )

    solver.save(out / "solver.npz")
    again = new_solver().load(out / "solver.npz")
    axis = np.linspace(0, 1, 51)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values, wanted = again.eval([u, exact], points={"interior": grid})
    print(f"loaded at epoch {again.epoch}; relative L2 error on a 51 x 51 grid: ", end="")
    print(f"{np.linalg.norm(values - wanted) / np.linalg.norm(wanted):.1e}")
    print(f"picture: {picture}")


if __name__ == "__main__":
    tyro.cli(main)
