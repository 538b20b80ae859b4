"""What a training step communicates among processes, as each of them sees it.

`python communication.py OUT`: 10 epochs, then 30, with a line in the output before and after each.
"""

import json
import sys

import numpy as np
import optax
from programs import collectives, training_program

import tangrax as tx

tx.setup()
domain = tx.domain.line(mesh_size=0.1)
(x, _), (ends, _) = domain.variable("interior"), domain.variable("boundary")
net = tx.nn.mlp(1, width=4, depth=1)
pde = net(x).d2(x) + 1
solver = tx.core([pde.mse, net(ends).mse], optimizer=optax.adam(1e-3))
size = net.trainable.size
rank = tx.parallel.settings().peers.rank
solver.solve(20, progress=False)  # the first stretch is short
for epochs in (10, 30):
    sys.stdout.write(f"begin {epochs}\n")
    solver.solve(epochs, progress=False)
    sys.stdout.write(f"end {epochs}\n")
sys.stdout.flush()
kinds = {} if tx.parallel.settings().launch.transport == "mpi" else collectives(training_program(solver))
with open(f"{sys.argv[1]}/{rank}.json", "w") as file:
    json.dump({"numbers": int(size) + 2, "kinds": kinds, "epochs": int(np.size(solver.history["loss"]))}, file)
