"""A process of `train_step.py`: Tangrax, with and without a tracker, and the loop written by hand."""

import jax
import numpy as np
import optax
import tyro
from by_hand import make_loop
from timing import clocked, serve

import tangrax as tx

WARM = 100  # epochs of the first call, which compiles
SAME = 1e-4  # what terms of the first epochs may differ by, relative: float32 sums in another order


def main(devices: int, epochs: int) -> None:
    """Serve contestants on `devices` devices; `epochs` is what the loop by hand is compiled for."""
    domain = tx.domain.line(mesh_size=0.001)
    (x, _), (edge, _) = domain.variable("interior"), domain.variable("boundary")
    optimizer = optax.adam(optax.exponential_decay(1e-3, 10, 0.5, end_value=1e-5))
    net = tx.nn.mlp(1, width=32, depth=3, key=0).optimizer(optimizer)
    pde = -net(x).d2(x) - tx.np.sin(np.pi * x)
    ends = net(edge)

    # The tracker of the tutorial: how the two terms pull at the weights of the output layer.
    names = jax.tree_util.tree_map_with_path(lambda path, _: jax.tree_util.keystr(path), net.params)
    output = net.mask(jax.tree.map(lambda name: name == ".output_layer.weight", names))
    agreement = tx.np.dot(pde.mse.grad(output), ends.mse.grad(output)).tracker(100)

    plain = tx.core([pde.mse, ends.mse], devices=devices)
    tracked = tx.core([pde.mse, ends.mse, agreement], devices=devices)
    layers = [(layer.weight, layer.bias) for layer in (*net.module.layers, net.module.output_layer)]
    interior, boundary = (domain.point_set(tag).coordinates[:, 0] for tag in ("interior", "boundary"))
    by_hand = make_loop(layers, interior, boundary, optimizer, devices, epochs)

    plain.solve(WARM, progress=False)
    tracked.solve(WARM, progress=False)
    expected = by_hand()[:WARM]
    result = np.stack([plain.history[f"mse_{i}"] for i in (0, 1)], axis=1)[: len(expected)]
    error = float(np.max(np.abs(result - expected) / np.abs(expected).max(axis=0)))
    if not error < SAME:
        raise RuntimeError(f"the two loops differ by {error:.1e} in their first {WARM} epochs: not the same maths")

    serve(
        {
            "tangrax": lambda count: clocked(lambda: plain.solve(count, progress=False)),
            "tracked": lambda count: clocked(lambda: tracked.solve(count, progress=False)),
            "by hand": lambda count: clocked(by_hand),
        },
        {"points": len(interior), "difference": error},
    )


if __name__ == "__main__":
    tyro.cli(main)
