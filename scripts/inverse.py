"""An unknown coefficient from measurements: k in -k u'' = 2π² sin(πx), u measured with noise at 25 places.

The true k is 2, since then u = sin(πx). Network and coefficient are trained together, each with its own optimizer.
"""

import jax.numpy as jnp
import numpy as np
import optax
import tyro
from common import use_devices

import tangrax as tx

TRUE = 2.0


def main(devices: int | None = None, emulate: bool = False, epochs: int = 3000, noise: float = 0.01) -> None:
    """Find the coefficient from noisy measurements.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        epochs: optimizer steps.
        noise: standard deviation of the measurements' error.
    """
    devices = use_devices(devices, emulate)

    domain = tx.domain.line(mesh_size=0.005)
    x, _ = domain.variable("interior")
    ends, _ = domain.variable("boundary")
    sensors = tx.domain.line(n=25)
    xs, _ = sensors.variable("interior")
    places = sensors.point_set("interior").coordinates[:, 0]
    measured = np.sin(np.pi * places) + noise * np.random.default_rng(0).standard_normal(len(places))

    def misfit(at_sensors):
        return jnp.mean((at_sensors - measured.astype(at_sensors.dtype)) ** 2)

    net = tx.nn.mlp(1).optimizer(optax.adam(optax.exponential_decay(3e-3, 1000, 0.4)))
    k = tx.nn.parameter(1.0, name="k").optimizer(optax.adam(1e-2))
    u = net(x)
    solver = tx.core(
        {
            "pde": (-k * u.d2(x) - 2 * tx.np.pi**2 * tx.np.sin(tx.np.pi * x)).mse / 100,
            "ends": net(ends).mse,
            "data": tx.np.function(misfit, [net(xs)], returns="term"),
            "k": k.tracker(epochs // 10 or 1),
        },
        devices=devices,
    ).solve(epochs)

    found, values, wanted = solver.eval([k, u, tx.np.sin(tx.np.pi * x)])
    print("k over training:", " ".join(f"{value:.3f}" for value in solver.history["k"]))
    print(f"k = {found:.4f}, true {TRUE}: off by {abs(found - TRUE) / TRUE:.1%}, measurements with {noise:.1%} noise")
    print(f"relative L2 error of u: {np.linalg.norm(values - wanted) / np.linalg.norm(wanted):.1e}")


if __name__ == "__main__":
    tyro.cli(main)
