"""Poisson's equation on an L-shaped polygon, whose inner corner makes the solution rough.

There every solution behaves as a number times S = r^(2/3) sin(2θ/3), whose slope has no bound at the corner, and a
network alone comes no nearer than some 1e-3. Here the network has S, which is harmonic, beside it, times a number that
is trained with it. The exact solution is sin(πx) sin(πy) + S: the number is 1.
"""

from pathlib import Path

import numpy as np
import tyro

import tangrax as tx
from tangrax.launch import use_devices

CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (0.0, -1.0))


def main(
    devices: int | None = None,
    emulate: bool = False,
    epochs: int = 60,
    points: int = 800,
    alone: bool = False,
    out: Path = Path("runs/l_shape"),
) -> None:
    """Solve Δu = f on an L-shape, u given on its edges.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Gauss-Newton.
        points: collocation points inside.
        alone: leave the network without S.
        out: directory for the picture.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")

    domain = tx.domain.polygon(CORNERS).sample(n=points, boundary=points // 2)

    def smooth(x, y):
        return tx.np.sin(np.pi * x) * tx.np.sin(np.pi * y)

    def rough(x, y):
        # θ is 0 on one edge of the corner and 3π/2 on the other; where arctan2 jumps is outside the L.
        θ = 3 * np.pi / 4 - tx.np.arctan2(x + y, y - x)
        return (x**2 + y**2) ** (1 / 3) * tx.np.sin(2 * θ / 3)

    net = tx.nn.mlp(2, width=20, depth=2)
    strength = tx.nn.parameter(0.0)
    x, y, _ = domain.variable("interior")
    edge_x, edge_y, _ = domain.variable("boundary")

    def solution(x, y):
        return net(x, y) if alone else net(x, y) + strength * rough(x, y)

    on_edges = smooth(edge_x, edge_y) + rough(edge_x, edge_y)
    terms = {
        "inside": (net(x, y).laplacian(x, y) + 2 * np.pi**2 * smooth(x, y)).mse,
        "edges": 100 * (solution(edge_x, edge_y) - on_edges).mse,
    }
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices)
    solver.solve(epochs)

    u, exact = solution(x, y), smooth(x, y) + rough(x, y)
    result = solver.eval(tx.np.relative_l2(u.held_out(2000), exact.held_out(2000)))
    print(f"loss {solver.history['loss'][-1]:.1e}, relative L2 error {result:.1e} on points not trained on")
    if not alone:
        print(f"S times {solver.eval(strength):.8f}, exactly 1")
    side = np.linspace(-1, 1, 81)
    at = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    values = solver.eval(u, points={"interior": at})
    draw(side, np.where((at[:, 0] > 0) & (at[:, 1] < 0), np.nan, values), out)


def draw(side, values, out: Path) -> None:
    """Lines of equal values."""
    try:
        from matplotlib.figure import Figure

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    figure = Figure(figsize=(4.4, 3.6), layout="constrained")
    axes = figure.subplots()
    filled = axes.contourf(side, side, values.reshape(len(side), -1), levels=15, cmap="viridis")
    axes.plot(*np.transpose([*CORNERS, CORNERS[0]]), color="0.2", linewidth=1)
    axes.set(aspect="equal", xlabel="x", ylabel="y", title="Poisson's equation on an L-shape")
    figure.colorbar(filled, ax=axes, label="u")
    print(f"picture: {report.save(axes, out / 'l_shape.png')}")


if __name__ == "__main__":
    tyro.cli(main)
