"""`python killed.py OUT HOW`: a run with checkpoints, which says when it compiles and when it trains.

Its number is in OUT/pid-RANK, its phase in OUT/phase-RANK; OUT/done.npz is there once it is through. It rests for PAUSE
seconds (of the environment) after each stretch.
"""

import os
import sys
import time
from pathlib import Path

import tangrax as tx

settings = tx.setup(dtype="float64")
from run_problem import make  # noqa: E402  (points and networks are made in double precision)

out, rank = Path(sys.argv[1]), settings.peers.rank
out.mkdir(exist_ok=True)


class Phase:
    def on_start(self, run):
        (out / f"phase-{rank}").write_text("compiling")

    def on_stretch(self, stretch):
        (out / f"phase-{rank}").write_text("training")
        time.sleep(float(os.environ.get("PAUSE", "0")))  # training that takes longer than a start

    def on_end(self): ...


(out / f"phase-{rank}").write_text("starting")
(out / f"pid-{rank}").write_text(str(os.getpid()))
solver = make(sys.argv[2], devices=None)
solver.solve(300, progress=False, listeners=[Phase()], run_dir=out, checkpoint_every=5, keep=1000)
solver.save(out / "done.npz")
