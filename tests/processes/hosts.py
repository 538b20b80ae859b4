"""A script with what differs between hosts: hash seeds, random numbers nobody seeded, the order of files.

`python hosts.py OUT FOLDER`: FOLDER holds files of points, one coordinate in each.
"""

import os
import random
import sys

import jax
import numpy as np
import optax

import tangrax as tx

out, folder = sys.argv[1:]
tx.setup(dtype="float64")
rank = tx.parallel.settings().peers.rank

files = list(set(os.listdir(folder)))  # the order of a set of strings hangs on the hash seed
random.shuffle(files)
points = np.array([[float(open(os.path.join(folder, name)).read())] for name in files])  # noqa: SIM115
weights = np.random.standard_normal(4)  # of no seed

net = tx.nn.wrap(lambda w, z: jax.numpy.tanh(w * z[0]).sum(), weights, name="net")
x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
u = net(x)
solver = tx.core([(u - x).mse, (u.d(x) ** 2).mean.tracker(7)], optimizer=optax.adam(1e-2))
solver.solve(50, progress=False)
result = {f"history/{name}": solver.history[name] for name in solver.history}
result |= {"eval": solver.eval(u, points={"interior": points}), "trained": np.asarray(solver.module(net))}
np.savez(f"{out}/{rank}.npz", points=points, weights=weights, **result)
