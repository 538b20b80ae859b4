"""A process of `train_step.py`: the tutorial problem in jNO 0.4.2, run by the Python of an environment that has it."""

import os
import sys
import time
from importlib.metadata import version

os.environ.setdefault("JNO_COMPILE_CACHE", "0")

import foundax
import jax
import jno
import optax
from jno.utils.adaptive.callbacks import Callback
from timing import serve

IN_FLIGHT = 10


class Clock(Callback):
    """Times the steps after the first call of jNO's program: all that solve() sets up is left out.

    Waits for every `IN_FLIGHT`th step: with points split over emulated devices, jNO's queue of steps dead-locks in
    an all-reduce otherwise.
    """

    started: tuple[float, float] | None = None

    def on_epoch_end(self, **kwargs):
        if self.started is None or kwargs["epoch"] % IN_FLIGHT == 0:
            jax.block_until_ready(kwargs["total_loss"])
        self.started = self.started or (time.perf_counter(), time.process_time())
        return False

    def on_training_end(self, **kwargs):
        assert self.started is not None
        self.taken = time.perf_counter() - self.started[0], time.process_time() - self.started[1]


def solver(mesh_size):
    domain = jno.domain.line(mesh_size=mesh_size)
    (x, _), (edge, _) = domain.variable("interior"), domain.variable("boundary")
    module = foundax.mlp(in_features=1, hidden_dims=32, num_layers=3, key=jax.random.PRNGKey(0))
    net = jno.nn.wrap(module).optimizer(optax.adam(optax.exponential_decay(1e-3, 10, 0.5, end_value=1e-5)))
    pde = -net(x).d2(x) - jno.np.sin(jno.np.pi * x)
    return jno.core([pde.mse, net(edge).mse])


def main(mesh_size: float, fused: int) -> None:
    """`fused` is how many steps jNO's own option `inner_steps` puts into one compiled program."""
    core = solver(mesh_size)

    def train(epochs: int, inner_steps: int) -> tuple[float, float]:
        clock = Clock()
        core.solve(inner_steps + epochs, inner_steps=inner_steps, callbacks=[clock])
        return clock.taken

    for inner_steps in (1, fused):
        train(fused, inner_steps)  # compiles
    placed = core._shard_data(core.domain_data.context)["interior"]
    rows = placed.sharding.shard_shape(placed.shape)[2]
    how = "split" if rows < placed.shape[2] else "all points on every device" if len(core.devices) > 1 else "one device"
    serve(
        {
            "jNO": lambda epochs: train(epochs, 1),
            "jNO fused": lambda epochs: train(epochs, fused),
        },
        {"version": version("jax-numerical-operators"), "points": int(placed.shape[2]), "rows": rows, "how": how},
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
