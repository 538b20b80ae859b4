"""`python profiled.py DIR`: a run of several processes, all told to profile, the first where."""

import sys

import optax

import tangrax as tx

tx.setup(dtype="float64")
x, _ = tx.domain.line(n=20, seed=1).variable("interior")
net = tx.nn.mlp(1, width=4, depth=1, key=1)
solver = tx.core({"fit": (net(x) - x).mse, "seen": net(x).mse.tracker(5)}, optimizer=optax.adam(1e-3))
directory = sys.argv[1] if tx.parallel.settings().writes else "elsewhere"
solver.solve(30, progress=False, profile=directory)
