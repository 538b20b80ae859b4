"""Exports of all kinds by several processes, each of which asks for files in a directory of its own.

`python exporting.py OUT`: files in OUT/0, OUT/1, …, and what each process saw in OUT/0.npz, OUT/1.npz, …
"""

import sys
from pathlib import Path

import numpy as np
import optax

import tangrax as tx

tx.setup(dtype="float64")
x, y, _ = tx.domain.rect(n=37).variable("interior")
u = tx.nn.mlp(2, width=5, depth=1)(x, y) * x
solver = tx.core([(u - x).mse], optimizer=optax.adam(1e-2)).solve(5, progress=False)
rank = tx.parallel.settings().peers.rank
out = Path(sys.argv[1]) / str(rank)
out.mkdir()
for name in ("u.jax", "u.csv", "u.npz", "u.vtu", "u.vtk"):
    solver.export(out / name, {"u": u, "slope": u.d(x)})
solver.export(out / "parameters.npz")
refused = 0
for name, fields in (("no/u.csv", u), ("u.txt", u), ("u.jax", u - u.mean), ("u.csv", u.mean)):
    try:
        solver.export(out / name, fields)
    except (ValueError, OSError):
        refused += 1
np.savez(out.with_suffix(".npz"), u=solver.eval(u), refused=refused)
