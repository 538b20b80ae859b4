"""`tangrax run slow.py OUT PAUSE`: a run with checkpoints that takes about 100 times PAUSE seconds."""

import os
import sys
import time
from pathlib import Path

import optax

import tangrax as tx

settings = tx.setup(dtype="float64")
out, pause = Path(sys.argv[1]), float(sys.argv[2])


class Pause:
    def on_start(self, run): ...

    def on_stretch(self, stretch):
        time.sleep(pause)

    def on_end(self): ...


if settings.writes:
    print(f"STARTED, job ends at {os.environ.get('SLURM_JOB_END_TIME')}", flush=True)
x, _ = tx.domain.line(n=50).variable("interior")
u = tx.nn.mlp(1, width=8, depth=2, key=0)(x) * x * (1 - x)
pde = u.d2(x) + tx.np.pi**2 * tx.np.sin(tx.np.pi * x)
solver = tx.core({"pde": pde.mse}, optimizer=optax.adam(1e-3), resample=tx.optim.uniform(pde, every=50))
solver.solve(500, progress=False, listeners=[Pause()], run_dir=out, checkpoint_every=5)
solver.save(out / "solver.npz")
