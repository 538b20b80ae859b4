"""Flow past a cylinder, without friction: a square with a hole, and a condition on the normal derivative at the hole.

The potential φ is harmonic, no fluid passes through the cylinder, ∂φ/∂n = 0, and far from it the speed is 1. Then
φ = x (1 + R²/r²), and at the top of the cylinder the speed is 2.
"""

from pathlib import Path

import numpy as np
import tyro

import tangrax as tx
from tangrax.launch import use_devices

RADIUS = 0.5


def main(
    devices: int | None = None,
    emulate: bool = False,
    epochs: int = 40,
    points: int = 1200,
    out: Path = Path("runs/cylinder"),
) -> None:
    """Solve Δφ = 0 round the cylinder in the square (-2, 2)², φ given on the square.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Gauss-Newton.
        points: collocation points inside.
        out: directory for the picture.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")

    square = tx.domain.rect((-2.0, -2.0), (2.0, 2.0)).named("far")
    cylinder = tx.domain.disk((0.0, 0.0), RADIUS).named("cylinder")
    flow = (square - cylinder).sample(n=points, boundary=points // 3)

    def exact(x, y):
        return x * (1 + RADIUS**2 / (x**2 + y**2))

    net = tx.nn.mlp(2, width=20, depth=2)
    x, y, _ = flow.variable("interior")
    far_x, far_y, _ = flow.variable("far")
    wall_x, wall_y, _ = flow.variable("cylinder")
    normal_x, normal_y = flow.normal("cylinder")
    at_wall = net(wall_x, wall_y)
    through = at_wall.d(wall_x) * normal_x + at_wall.d(wall_y) * normal_y
    terms = {
        "inside": net(x, y).laplacian(x, y).mse,
        "far": 10 * (net(far_x, far_y) - exact(far_x, far_y)).mse,
        "through": through.mse,
    }
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices)
    solver.solve(epochs)

    u = net(x, y)
    error = tx.np.relative_l2(u.held_out(2000), exact(x, y).held_out(2000))
    speed = tx.np.sqrt(at_wall.d(wall_x) ** 2 + at_wall.d(wall_y) ** 2)
    result, top = solver.eval([error, speed], points={"cylinder": np.array([[0.0, RADIUS]])})
    print(f"loss {solver.history['loss'][-1]:.1e}, relative L2 error {result:.1e} on points not trained on")
    print(f"speed at the top of the cylinder {top[0]:.8f}, exactly 2")
    side = np.linspace(-2, 2, 26)
    at = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    at = at[np.linalg.norm(at, axis=1) > RADIUS]
    along, across = solver.eval([u.d(x), u.d(y)], points={"interior": at})
    draw(at, along, across, out)


def draw(at, along, across, out: Path) -> None:
    """Arrows of the velocity, coloured by the speed."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Circle

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    figure = Figure(figsize=(5.6, 4.6), layout="constrained")
    axes = figure.subplots()
    arrows = axes.quiver(*at.T, along, across, np.hypot(along, across), cmap="viridis", pivot="mid")
    axes.add_patch(Circle((0, 0), RADIUS, color="0.8"))
    axes.set(aspect="equal", xlabel="x", ylabel="y", title="Flow past a cylinder")
    figure.colorbar(arrows, ax=axes, label="speed")
    print(f"picture: {report.save(axes, out / 'flow.png')}")


if __name__ == "__main__":
    tyro.cli(main)
