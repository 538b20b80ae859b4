"""A run of several processes in which one goes wrong.

`python faults.py WHAT RANK`: process RANK does WHAT a moment after training began; the others are well.
"""

import contextlib
import os
import resource
import signal
import sys
import threading
import time

import optax

import tangrax as tx

what, guilty = sys.argv[1], int(sys.argv[2])
SIGNALS = {
    "killed": signal.SIGKILL,
    "stopped": signal.SIGSTOP,
    "terminated": signal.SIGTERM,
    "interrupted": signal.SIGINT,
}

# A shell without job control starts what it runs in the background with Ctrl-C ignored, and so does all beneath it.
signal.signal(signal.SIGINT, signal.default_int_handler)
tx.setup(timeout=60)
domain = tx.domain.line(mesh_size=0.1)
x, _ = domain.variable("interior")
net = tx.nn.mlp(1, width=4, depth=1)
u = net(x)
solver = tx.core([u.mse], optimizer=optax.adam(1e-3))
rank = tx.parallel.settings().peers.rank
sys.stdout.write(f"pid {os.getpid()}\n")
solver.solve(20, progress=False)


def now():
    if rank == guilty:
        # In one write: mpirun breaks lines that come in several.
        sys.stdout.write(f"fault at {time.time()} in pid {os.getpid()}\n")
        sys.stdout.flush()
    return rank == guilty


def signalled():
    time.sleep(1)  # in the middle of a compiled stretch, most likely
    now()
    os.kill(os.getpid(), SIGNALS[what])


if what in SIGNALS:
    if rank == guilty:
        threading.Thread(target=signalled, daemon=True).start()
elif now():
    if what == "raises":
        raise ValueError("a mistake on one process")
    if what == "breaks":  # Ctrl-C between two calls, where no one has agreed to stop
        signal.raise_signal(signal.SIGINT)
    if what == "ends":
        sys.exit(0)
    if what == "leaves":  # it goes on, but not with the others
        time.sleep(1000)
    if what == "exhausts":  # its descriptors
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        with contextlib.suppress(OSError):
            while True:
                os.open(os.devnull, os.O_RDONLY)
    if what == "strays":  # it calls what the others do not
        solver.eval(u.mean)

if what == "exhausts":
    solver.solve(10, progress=False, run_dir=os.environ["OUT"])
# One call that does not end: a signal never comes between two.
solver.solve(10**9, progress=False)
