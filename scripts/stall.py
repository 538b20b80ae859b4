"""Why training stalls: what is left of the residual lies in patterns that gradient steps hardly move.

Adam on -u'' = f for a solution of two sines. Twice, the residual is split along the eigenvectors of its tangent kernel:
a gradient step shrinks each part at a rate proportional to its eigenvalue. Then Gauss-Newton, which divides by these.
"""

from pathlib import Path

import numpy as np
import optax
import tyro
from jaxtyping import Float

import tangrax as tx
from tangrax.jacobian import Spectrum
from tangrax.launch import use_devices
from tangrax.solve import History

Parts = tuple[Spectrum, Float[np.ndarray, " n"]]


def main(
    devices: int | None = None, emulate: bool = False, epochs: int = 10_000, out: Path = Path("runs/stall")
) -> None:
    """Train until it stalls, and draw what is left.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Adam; Gauss-Newton makes a hundredth as many.
        out: directory of the picture.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")
    domain = tx.domain.line(n=200)
    x, _ = domain.variable("interior")
    net = tx.nn.mlp(1, width=24, depth=2, key=0)
    u = x * (1 - x) * net(x)
    low, high = tx.np.sin(tx.np.pi * x), tx.np.sin(4 * tx.np.pi * x)
    exact = low + high / 4
    pde = -u.d2(x) - tx.np.pi**2 * (low + 4 * high)
    error = tx.np.relative_l2(u.held_out(1000), exact.held_out(1000))
    terms = {"pde": pde.mse, "error": error.tracker(max(1, epochs // 500))}

    adam = tx.core(terms, optimizer=optax.adam(2e-3), devices=devices)
    parts: dict[int, Parts] = {}
    for more in (epochs * 3 // 100, epochs - epochs * 3 // 100):
        adam.solve(more, progress=False)
        spectrum, residual = adam.eval([pde.grad(net).spectrum(vectors=60), pde])
        parts[adam.epoch] = spectrum, abs(spectrum.vectors.T @ residual) / len(residual) ** 0.5
    terms["error"] = error.tracker(1)
    newton = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices)
    newton.solve(max(1, epochs // 100), progress=False)

    for name, solver in {"Adam": adam, "Gauss-Newton": newton}.items():
        print(f"{name:>12}: {solver.epoch} epochs, relative L2 error {solver.eval(error):.1e}")
    spectrum, left = parts[adam.epoch]
    slow = spectrum.eigenvalues[:60] < 1e-6 * spectrum.largest
    print(f"{np.sum(left[slow] ** 2) / np.sum(left**2):.1%} of what Adam leaves lies where λ < 1e-6 λ_max")
    draw(parts, {"Adam": adam.history, "Gauss-Newton": newton.history}, out)


def draw(parts: dict[int, Parts], histories: dict[str, History], out: Path) -> None:
    """Errors over epochs; parts of the residual over their eigenvalues."""
    try:
        from matplotlib.figure import Figure

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    left, right = Figure(figsize=(10, 3.8), layout="constrained").subplots(1, 2)
    for colour, (name, history) in zip(report.COLOURS, histories.items(), strict=False):
        left.loglog(history.epochs("error") + 1, history["error"], color=colour, label=name)
    left.set(xlabel="epoch", ylabel="relative L2 error on held-out points", title="Adam stalls, Gauss-Newton does not")
    left.legend(frameon=False)
    for colour, (epoch, (spectrum, part)) in zip(report.COLOURS[2:], parts.items(), strict=False):
        seen = spectrum.eigenvalues[:60] > spectrum.noise
        share = spectrum.eigenvalues[:60][seen] / spectrum.largest
        right.loglog(share, part[seen], "o-", markersize=4, color=colour, label=f"after {epoch:,} epochs of Adam")
    right.set(
        xlabel="eigenvalue / largest: fast patterns left, slow ones right",
        ylabel="residual along the eigenvector",
        title="What Adam leaves are the slow patterns",
        xlim=(10, 1e-24),
        ylim=(1e-9, None),
    )
    right.legend(frameon=False)
    print(f"picture: {report.save(left, out / 'stall.png', dpi=110)}")


if __name__ == "__main__":
    tyro.cli(main)
