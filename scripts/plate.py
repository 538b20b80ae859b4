"""A plate with four holes, written down as it is: Δu = 0, u = 1 on the sides, u = 0 on the holes, all weights 1.

Gauss-Newton alone ends at a nearly constant u, which solves the equation and no condition; with the conditions first it
ends at the solution. Compared with a series of multipoles. Draws the errors and the weight of the equation.
"""

import functools
import operator
from pathlib import Path

import tyro

import tangrax as tx
from tangrax.launch import use_devices
from tangrax.solve import History


def main(devices: int | None = None, emulate: bool = False, epochs: int = 120, out: Path = Path("runs/plate")) -> None:
    """Train with equal weights, and with the conditions first.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: Gauss-Newton steps of each run.
        out: directory of the picture.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")
    disks = [tx.domain.disk((x, y), 0.1) for x in (-0.3, 0.3) for y in (-0.3, 0.3)]
    holes = functools.reduce(operator.or_, disks).named("holes")
    plate = tx.domain.rect((-0.5, -0.5), (0.5, 0.5)).named("sides") - holes
    plate = plate.sample(n=1000, boundary=500)
    x, y, _ = plate.variable("interior")
    net = tx.nn.mlp(2, width=24, depth=2, key=0)
    terms = {
        "equation": net(x, y).laplacian(x, y).mse,
        "sides": (net(*plate.variable("sides")[:2]) - 1).mse,
        "holes": net(*plate.variable("holes")[:2]).mse,
    }
    multipoles = tx.problems.get("pinnacle/poisson2d-c").build(0).answers["u"]
    answer = tx.problems.Answer(net(x, y), multipoles.exact, multipoles.at)
    errors: dict[str, list[float]] = {}
    histories = {}
    for name, balance in (("equal weights", None), ("conditions first", tx.optim.conditions_first())):
        solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), balance=balance, devices=devices)
        errors[name] = []
        while solver.epoch < epochs:
            solver.solve(min(10, epochs - solver.epoch), progress=False)
            errors[name].append(answer.error(solver))
        histories[name] = solver.history
        losses = ", ".join(f"{term} {solver.history[term][-1]:.1e}" for term in terms)
        print(f"{name:>16}: {losses}, relative L2 error {errors[name][-1]:.1e}")
    draw(errors, histories["conditions first"], epochs, out)


def draw(errors: dict[str, list[float]], history: History, epochs: int, out: Path) -> None:
    """Draw errors over epochs, and the terms with the weight of the equation."""
    try:
        from matplotlib.figure import Figure

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    left, right = Figure(figsize=(10, 4), layout="constrained").subplots(1, 2)
    for colour, (name, values) in zip(report.COLOURS, errors.items(), strict=False):
        left.semilogy([min(10 * (k + 1), epochs) for k in range(len(values))], values, color=colour, label=name)
    for colour, name in zip(report.COLOURS, ("equation", "sides", "holes", "weight/equation"), strict=False):
        label = "weight of the equation" if name.startswith("weight") else name
        style = "--" if name.startswith("weight") else "-"
        right.semilogy(history.epochs(name), history[name], style, color=colour, label=label)
    left.set(xlabel="epoch", ylabel="relative L2 error", title="Against multipoles")
    right.set(xlabel="epoch", title="Conditions first: mean squares, and the weight")
    left.legend(frameon=False)
    right.legend(frameon=False, loc="upper right")
    print(f"picture: {report.save(left, out / 'plate.png')}")


if __name__ == "__main__":
    tyro.cli(main)
