"""Steady heat in a part from an STL file: a turned bushing with a flange, heat flowing through its bore.

The temperature is harmonic, given on the outside, and its flux through the bore is given: there the normals of the
surface are needed. Both are those of u = x² + y² - 2z² + x, so that the error is known.
"""

from pathlib import Path

import numpy as np
import tyro

import tangrax as tx
from tangrax.launch import use_devices

# Radius and height of the corners of the part's section, from the bore's lower end round and back to it.
SECTION = [(0.4, 0.0), (1.2, 0.0), (1.2, 0.3), (0.7, 0.3), (0.7, 1.2), (0.4, 1.2), (0.4, 0.0)]


def main(
    file: Path | None = None,
    devices: int | None = None,
    emulate: bool = False,
    epochs: int = 40,
    points: int = 1000,
    out: Path = Path("runs/part"),
) -> None:
    """Solve Δu = 0 inside of a closed surface of triangles.

    Args:
        file: an STL file of another part; its bore is what faces the z axis.
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Gauss-Newton.
        points: collocation points inside.
        out: directory for the picture, and for the STL file of the part if none was given.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")
    part = tx.domain.mesh(file or turned(out / "bushing.stl"), pieces, n=points, boundary=points)
    solid = part.shape
    assert isinstance(solid, tx.domain.Mesh)
    print(f"{solid}, volume {solid.volume:.4f}")

    def exact(x, y, z):
        return x**2 + y**2 - 2 * z**2 + x

    net = tx.nn.mlp(3, width=20, depth=2)
    inside = part.variable("interior")[:3]
    outside = part.variable("outside")[:3]
    bore = part.variable("bore")[:3]
    normal = part.normal("bore")
    at_bore = net(*bore)

    def flux(u):
        along_x, along_y, along_z = (u.d(axis) * component for axis, component in zip(bore, normal, strict=True))
        return along_x + along_y + along_z

    terms = {
        "inside": net(*inside).laplacian(*inside).mse,
        "outside": 10 * (net(*outside) - exact(*outside)).mse,
        "bore": (flux(at_bore) - flux(exact(*bore))).mse,
    }
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices)
    solver.solve(epochs)
    error = tx.np.relative_l2(net(*inside).held_out(2000), exact(*inside).held_out(2000))
    print(f"loss {solver.history['loss'][-1]:.1e}, relative L2 error {solver.eval(error):.1e} on points not trained on")
    draw(solid.vertices, solid.triangles, solver.eval(net(*inside), points={"interior": solid.vertices}), out)


def pieces(centers: np.ndarray, normals: np.ndarray) -> list[str]:
    """Which triangles are of the bore: those that face the axis."""
    inwards = np.sum(centers[:, :2] * normals[:, :2], axis=1) / np.linalg.norm(centers[:, :2], axis=1)
    return np.where(inwards < -0.5, "bore", "outside").tolist()


def turned(path: Path) -> Path:
    """The part, as a file that a drawing program could have written."""
    import trimesh

    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.revolve(SECTION, sections=48).export(path)
    return path


def draw(corners: np.ndarray, triangles: np.ndarray, values: np.ndarray, out: Path) -> None:
    """The temperature on the surface, from two sides."""
    try:
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.figure import Figure
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    scale = ScalarMappable(Normalize(values.min(), values.max()), colormaps["viridis"])
    figure = Figure(figsize=(8.0, 4.0), layout="constrained")
    for place, (elevation, azimuth) in enumerate(((28, -50), (-28, 130)), start=1):
        axes = figure.add_subplot(1, 2, place, projection="3d")
        colours = scale.to_rgba(values[triangles].mean(axis=1))
        axes.add_collection3d(
            Poly3DCollection(corners[triangles], facecolors=colours, edgecolors="0.4", linewidths=0.1)
        )
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), zlim=(0, 1.2), xlabel="x", ylabel="y", zlabel="z")
        axes.set_box_aspect((2, 2, 1))
        axes.view_init(elevation, azimuth)
    figure.colorbar(scale, ax=figure.axes, label="temperature", shrink=0.7)
    figure.suptitle("Steady heat in a part from an STL file")
    print(f"picture: {report.save(figure.axes[0], out / 'part.png')}")


if __name__ == "__main__":
    tyro.cli(main)
