"""Heat equation u_t = u_xx/π² on (0, 1), u = sin(πx) at t = 0, u = 0 at both ends; solution exp(-t) sin(πx).

The initial condition and the ends are terms of the loss; the error is measured at new points.
"""

import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices


def main(devices: int | None = None, emulate: bool = False, epochs: int = 3000) -> None:
    """Solve the heat equation up to t = 2.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
    """
    devices = use_devices(devices, emulate)

    domain = tx.domain.line(n=1024).over_time(0.0, 2.0, initial=128)
    x, t = domain.variable("interior")
    x0, t0 = domain.variable("initial")
    xb, tb = domain.variable("boundary")

    net = tx.nn.mlp(2)
    u = net(x, t)
    terms = {
        "pde": (u.d(t) - u.d2(x) / tx.np.pi**2).mse,
        "initial": 10 * (net(x0, t0) - tx.np.sin(tx.np.pi * x0)).mse,
        "ends": 10 * net(xb, tb).mse,
    }
    schedule = optax.exponential_decay(3e-3, 1000, 0.4)
    solver = tx.core(terms, optimizer=optax.adam(schedule), devices=devices).solve(epochs)

    exact = tx.np.exp(-t) * tx.np.sin(tx.np.pi * x)
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 2, 101)), axis=-1).reshape(-1, 2)
    values, wanted = solver.eval([u, exact], points={"interior": grid})
    print(f"relative L2 error on a 101 x 101 grid: {np.linalg.norm(values - wanted) / np.linalg.norm(wanted):.1e}")
    final = solver.eval([net(*domain.variable("final"))])[0]
    print(f"largest u at t = 2: {final.max():.4f}, exact {np.exp(-2):.4f}")


if __name__ == "__main__":
    tyro.cli(main)
