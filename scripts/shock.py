"""A steep layer with few points: -u'' = f on (0, 1), u = 0 at both ends, u = tanh((x - 0.3) / 0.03) + a straight line.

Fixed points miss the layer; points that move where the residual is large find it. The error is measured on points that
none of the runs is trained on.
"""

from pathlib import Path

import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices

LAYER, WIDTH = 0.3, 0.03


def main(
    devices: int | None = None,
    emulate: bool = False,
    epochs: int = 3000,
    points: int = 24,
    every: int = 50,
    out: Path = Path("runs/shock"),
) -> None:
    """Train four times: with fixed points, and with each way of moving them.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
        points: collocation points.
        every: epochs between two moves.
        out: directory for the picture.
    """
    devices = use_devices(devices, emulate)
    x, _ = tx.domain.line(n=points).variable("interior")
    ends = np.tanh((np.array([0.0, 1.0]) - LAYER) / WIDTH)
    step = tx.np.tanh((x - LAYER) / WIDTH)
    exact = step - ends[0] * (1 - x) - ends[1] * x
    source = 2 * step * (1 - step**2) / WIDTH**2  # -u''
    ways = {
        "fixed": lambda pde: None,
        "uniform": lambda pde: tx.optim.uniform(pde, every=every),
        "rad": lambda pde: tx.optim.rad(pde, every=every, pool=1000),
        "r3": lambda pde: tx.optim.r3(pde, every=every),
    }
    result = {}
    for name, way in ways.items():
        net = tx.nn.mlp(1, width=24, depth=3, key=0)
        u = net((x - LAYER) / 0.1) * x * (1 - x)
        pde = (u.d2(x) + source) * WIDTH**2
        error = tx.np.relative_l2(u.held_out(2000), exact.held_out(2000))
        terms = {"pde": pde.mse, "held out": pde.held_out(2000).mse.tracker(100), "error": error.tracker(100)}
        rate = optax.cosine_decay_schedule(5e-3, epochs)
        solver = tx.core(terms, optimizer=optax.adam(rate), devices=devices, resample=way(pde))
        places = []
        while solver.epoch < epochs:
            solver.solve(min(every, epochs - solver.epoch), progress=False)
            places.append((solver.epoch, solver.points(x)[:, 0]))
        near = np.mean([np.mean(abs(place - LAYER) < 2 * WIDTH) for _, place in places])
        print(
            f"{name:>8}: loss {solver.history['loss'][-1]:.1e}, held out {solver.eval(terms['held out']):.1e}, "
            f"relative L2 error {solver.eval(error):.1e}, {near:.0%} of the points in the layer on average"
        )
        result[name] = solver.eval(u, points={"interior": np.linspace(0, 1, 401)}), places
    draw(result, lambda x: np.tanh((x - LAYER) / WIDTH) - ends[0] * (1 - x) - ends[1] * x, out)


def draw(result, exact, out: Path) -> None:
    """The solutions, and beneath them where points that follow the residual have been."""
    try:
        from matplotlib.figure import Figure

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    figure = Figure(figsize=(6.4, 6.0), layout="constrained")
    above, beneath = figure.subplots(2, 1, sharex=True)
    grid = np.linspace(0, 1, 401)
    above.plot(grid, exact(grid), color=report.REFERENCE, linewidth=6, alpha=0.25, label="exact")
    colours = dict(zip(result, report.COLOURS, strict=False))
    for name, (values, _) in result.items():
        above.plot(grid, values, color=colours[name], linewidth=1.4, label=name)
    for epoch, place in result["rad"][1]:
        beneath.plot(place, np.full(len(place), epoch), ".", color=colours["rad"], markersize=2.5)
    above.set(ylabel="u", title="A steep layer with few points")
    above.legend(frameon=False)
    beneath.set(xlabel="x", ylabel="epoch", title="Points of rad")
    print(f"picture: {report.save(above, out / 'shock.png')}")


if __name__ == "__main__":
    tyro.cli(main)
