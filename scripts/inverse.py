"""An unknown coefficient from measurements: k in -k u'' = 2π² sin(πx), u measured at 25 places.

The true k is 2, since then u = sin(πx). Network and coefficient are trained together, once with exact measurements and
once with noise in them: then k is as good as least squares make it, the noise over the root of the number of places.
"""

import numpy as np
import tyro

import tangrax as tx
from tangrax.launch import use_devices

TRUE = 2.0


def main(devices: int | None = None, emulate: bool = False, epochs: int = 60, noise: float = 0.01) -> None:
    """Find the coefficient from exact and from noisy measurements.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: steps of Gauss-Newton.
        noise: standard deviation of the error of noisy measurements.
    """
    devices = use_devices(devices, emulate)
    tx.setup(dtype="float64")
    places = np.random.default_rng(0).uniform(0.0, 1.0, 25)
    errors = noise * np.random.default_rng(1).standard_normal(len(places))
    expected = least_squares(places, np.sin(np.pi * places) + errors)
    exact, error = identify(places, np.sin(np.pi * places), epochs, devices)
    print(f"exact measurements: k = {exact:.10f}, off by {abs(exact - TRUE):.1e}; relative L2 error of u {error:.1e}")
    noisy, error = identify(places, np.sin(np.pi * places) + errors, epochs, devices)
    print(f"{noise:.1%} noise: k = {noisy:.6f}, off by {abs(noisy - TRUE):.1e}; relative L2 error of u {error:.1e}")
    print(f"least squares over all solutions sin(πx) 2/k: k = {expected:.6f}")


def identify(places, measured, epochs: int, devices: int | None) -> tuple[float, float]:
    """k and the relative error of u."""
    domain = tx.domain.line(mesh_size=0.02)
    x, _ = domain.variable("interior")
    ends, _ = domain.variable("boundary")
    sensor, _ = domain.points("sensors", places)
    reading = domain.values("sensors", measured)

    net = tx.nn.mlp(1, width=12, depth=2)
    k = tx.nn.parameter(1.0, name="k")
    u = net(x)
    terms = {
        # Heavy: the noise is in the readings, and should not be sought in the equation.
        "pde": 100 * (k * u.d2(x) + 2 * tx.np.pi**2 * tx.np.sin(tx.np.pi * x)).mse,
        "ends": 1e4 * net(ends).mse,
        "readings": (net(sensor) - reading).mse,
    }
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices)
    solver.solve(epochs)
    error = tx.np.relative_l2(u.held_out(1000), tx.np.sin(tx.np.pi * x).held_out(1000))
    result, error = solver.eval([k, error])
    return float(result), float(error)


def least_squares(places, measured) -> float:
    """The k whose exact solution is nearest to the measurements."""
    wave = np.sin(np.pi * places)
    return TRUE / float(measured @ wave / (wave @ wave))


if __name__ == "__main__":
    tyro.cli(main)
