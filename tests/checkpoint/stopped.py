"""`python stopped.py OUT EPOCH`: a run of 32 epochs that gets SIGTERM at an epoch, in the first process."""

import os
import signal
import sys
from pathlib import Path

import tangrax as tx

settings = tx.setup(dtype="float64")
from run_problem import make  # noqa: E402  (points and networks are made in double precision)

out, epoch = Path(sys.argv[1]), int(sys.argv[2])


class Stop:
    def on_start(self, run): ...

    def on_stretch(self, stretch):
        if stretch.epoch >= epoch and settings.peers.rank == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_end(self): ...


make("moving", devices=None).solve(32, progress=False, listeners=[Stop()], run_dir=out, checkpoint_every=8)
