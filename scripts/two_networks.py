"""-u'' = π² sin(πx) as a first-order system, q = -u', q' = π² sin(πx), with one network for u and one for q.

No second derivative is needed. Adam comes first; L-BFGS goes on from where it stopped.
"""

import numpy as np
import optax
import tyro

import tangrax as tx
from tangrax.launch import use_devices


def main(devices: int | None = None, emulate: bool = False, adam: int = 1000, lbfgs: int = 300) -> None:
    """Solve the first-order system.

    Args:
        devices: number of devices that share the points; all visible ones unless said.
        emulate: make that many devices of this machine's CPU.
        adam: epochs of Adam.
        lbfgs: epochs of L-BFGS after them.
    """
    devices = use_devices(devices, emulate)

    domain = tx.domain.line(mesh_size=0.005)
    x, _ = domain.variable("interior")
    potential = tx.nn.mlp(1, width=24, depth=2, key=0, name="potential")
    flux = tx.nn.mlp(1, width=24, depth=2, key=1, name="flux")
    u, q = potential(x) * x * (1 - x), flux(x)  # u is 0 at both ends whatever the network says
    solver = tx.core(
        {
            "gradient": (q + u.d(x)).mse,
            "balance": (q.d(x) - tx.np.pi**2 * tx.np.sin(tx.np.pi * x)).mse,
        },
        optimizer=optax.adam(3e-3),
        devices=devices,
    )

    wanted_u, wanted_q = tx.np.sin(tx.np.pi * x), -tx.np.pi * tx.np.cos(tx.np.pi * x)

    def errors() -> str:
        values = solver.eval([u, wanted_u, q, wanted_q])
        of_u, of_q = (np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in (values[:2], values[2:]))
        return f"relative L2 error of u {of_u:.1e}, of q {of_q:.1e}"

    print("Adam:  ", errors() if solver.solve(adam) else "")
    # One optimizer for both networks: L-BFGS steps them jointly.
    print("L-BFGS:", errors() if solver.optimizer(optax.lbfgs()).solve(lbfgs) else "")


if __name__ == "__main__":
    tyro.cli(main)
