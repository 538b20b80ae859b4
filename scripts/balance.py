"""Terms that compete: -u'' = 16 π² sin(4πx) with both ends as a term, by Adam alone and with each way out.

The equation's residual is a hundred times what the ends miss. Draws the weights and the cosine of the two gradients.
"""

from pathlib import Path

import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices
from tangrax.solve import History


def main(
    devices: int | None = None, emulate: bool = False, epochs: int = 3000, out: Path = Path("runs/balance")
) -> None:
    """Train with and without balancing.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps of each run.
        out: directory of the picture.
    """
    devices = use_devices(devices, emulate)
    domain = tx.domain.line(n=200)
    x, _ = domain.variable("interior")
    ends, _ = domain.variable("boundary")
    net = tx.nn.mlp(1, width=24, depth=2, key=0)
    u, exact = net(x), tx.np.sin(4 * tx.np.pi * x)
    pde, at_ends = u.d2(x) + 16 * tx.np.pi**2 * exact, net(ends)
    error = tx.np.relative_l2(u.held_out(1000), exact.held_out(1000))
    terms = {
        "pde": pde.mse,
        "ends": at_ends.mse,
        "cosine": tx.np.cosine(pde.mse.grad(net), at_ends.mse.grad(net)).tracker(50),
        "error": error.tracker(50),
    }
    ways = {
        "Adam": {},
        "grad_norm": {"balance": tx.optim.grad_norm(every=50)},
        "ntk_balance": {"balance": tx.optim.ntk_balance(every=50)},
        "config": {"conflict": tx.optim.config(every=50)},
    }
    histories = {}
    for name, how in ways.items():
        solver = tx.core(terms, optimizer=optax.adam(2e-3), devices=devices, **how).solve(epochs, progress=False)
        histories[name] = solver.history
        pde_loss, ends_loss, cosine = (solver.history[key][-1] for key in ("pde", "ends", "cosine"))
        print(
            f"{name:>12}: pde {pde_loss:.1e}, ends {ends_loss:.1e}, cosine {cosine:+.2f}, "
            f"relative L2 error {solver.eval(error):.1e}"
        )
    draw(histories, out)


def draw(histories: dict[str, History], out: Path) -> None:
    """Errors over epochs, and the weight of the ends relative to that of the equation."""
    try:
        from matplotlib.figure import Figure

        from tangrax import report
    except ImportError as error:
        print(f"no picture: {error}")
        return
    left, right = Figure(figsize=(10, 4), layout="constrained").subplots(1, 2)
    for index, (name, history) in enumerate(histories.items()):
        colour = report.COLOURS[index % len(report.COLOURS)]
        left.semilogy(history.epochs("error"), history["error"], color=colour, label=name)
        if "weight/ends" in history:
            share = history["weight/ends"] / history["weight/pde"]
            right.semilogy(history.epochs("weight/ends"), share, color=colour, label=name)
    left.set(xlabel="epoch", ylabel="relative L2 error", title="On held-out points")
    right.set(xlabel="epoch", ylabel="weight of the ends / of the equation", title="Balance")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, frameon=False)
    right.legend(frameon=False)
    print(f"picture: {report.save(left, out / 'balance.png')}")


if __name__ == "__main__":
    tyro.cli(main)
