"""Points that every shard makes for itself: memory over what is predicted, and whether they are those of one device.

Each number of devices is a process of its own. Its memory is what it holds at most, while points are made, beyond what
it held before. Exit code 1 says that this was more than predicted, or that points differ.
"""

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import optax
import tyro
from timing import MARK

import tangrax as tx
from tangrax.domain.samplers import BLOCK
from tangrax.parallel.layout import PIECE

MIB = 2**20
ROOM = 48 * MIB  # what an allocator and compiled programs may take beside the points
SHAPES = {
    "box": lambda: tx.domain.box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "hole": lambda: tx.domain.rect() - tx.domain.disk((0.5, 0.5), 0.3).named("hole"),
}


@dataclass
class Options:
    """What is drawn."""

    points: int = 10_000_000
    devices: tuple[int, ...] = (1, 8)
    shape: str = "box"
    """box or hole"""
    sampler: str = "sobol"
    epochs: int = 1
    """of training on them; they are not part of the memory that is compared"""


def main(options: Options) -> None:
    if options.shape not in SHAPES:
        sys.exit(f"--shape {options.shape}: there are {', '.join(SHAPES)}")
    if len(options.devices) == 1:
        print(MARK + json.dumps(measured(options, options.devices[0])))
        return
    print(f"{options.points:,} points of a {options.shape} by {options.sampler}")
    print(f"{'devices':>8}{'seconds':>9}{'MiB':>7}{'predicted':>11}{'ratio':>7}{'epoch, s':>10}   points")
    result = []
    for count in options.devices:
        one = measured_by(options, count)
        result.append(one)
        held, predicted = one["held"] / MIB, one["predicted"] / MIB
        times = f"{one['seconds']:>9.1f}{held:>7.0f}{predicted:>11.0f}{held / predicted:>7.2f}{one['epoch']:>10.1f}"
        print(f"{count:>8}{times}   {one['digest'][:16]}", flush=True)
    if any(one["held"] > one["predicted"] + ROOM for one in result):
        sys.exit(f"more memory than predicted and {ROOM // MIB} MiB: MISSED")
    if len({one["digest"] for one in result}) > 1:
        sys.exit("the points DIFFER")


def measured_by(options: Options, count: int) -> dict[str, Any]:
    """What a process with so many devices measured."""
    flags = f"--xla_force_host_platform_device_count={count}"
    arguments = [f"--{name}={getattr(options, name)}" for name in ("points", "shape", "sampler", "epochs")]
    command = [sys.executable, __file__, *arguments, "--devices", str(count)]
    done = subprocess.run(
        command, env={**os.environ, "XLA_FLAGS": flags}, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.split(MARK)[-1])


def measured(options: Options, devices: int) -> dict[str, Any]:
    """Points made and read back on so many devices, then trained on."""
    problem(options, devices, 1000)  # imports and compiles what takes memory of its own
    before, began = resident(), time.perf_counter()
    fields, solver = problem(options, devices, options.points)
    rows = solver.eval(fields, sharded=True)
    jax.block_until_ready([each.padded for each in rows])
    seconds = time.perf_counter() - began
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    digest = hashlib.sha256(np.concatenate([each.local for each in rows]).tobytes()).hexdigest()
    del rows
    began = time.perf_counter()
    solver.solve(options.epochs, progress=False)
    epoch = (time.perf_counter() - began) / options.epochs
    # The points on the devices with a column for time, and what is read back; what is made at once, in float64: the
    # block, its points, what of them counts, and their rows put together.
    columns = len(fields) + 1
    predicted = 4 * options.points * (columns + len(fields)) + 8 * columns * (3 * BLOCK + PIECE)
    return {"seconds": seconds, "held": held, "predicted": predicted, "digest": digest, "epoch": epoch}


def problem(options: Options, devices: int, points: int) -> tuple[list[Any], tx.Solver]:
    """A small network fitted to a sine: coordinates, and a solver with one epoch behind it if there are few points."""
    domain = SHAPES[options.shape]().sample(n=points, boundary=100, sampler=options.sampler)
    *space, _ = domain.variable("interior")
    net = tx.nn.mlp(len(space), width=8, depth=1)
    term = (net(*space) - tx.np.sin(space[0])).mse
    solver = tx.core({"fit": term}, optimizer=optax.adam(1e-3), devices=devices)
    if points < options.points:
        jax.block_until_ready([each.padded for each in solver.eval(list(space), sharded=True)])
        solver.solve(1, progress=False)
    return list(space), solver


def resident() -> int:
    """Bytes of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main(tyro.cli(Options))
