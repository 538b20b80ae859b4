"""Forks: what would wait for JAX's threads for ever is refused, what does not compute goes on."""

import multiprocessing
import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from launching import PATIENCE, environment

import tangrax as tx


def forked(work):
    """What `work` says in a fork of this process: (kind, text)."""
    reading, writing = multiprocessing.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX's and Python's, of forks and threads: just what is tested
        number = os.fork()
    if number == 0:
        try:
            writing.send(("fine", str(work())))
        except BaseException as error:
            writing.send((type(error).__name__, str(error)))
        os._exit(0)
    result = reading.recv() if reading.poll(60) else ("nothing", "it hangs")
    os.kill(number, 9)
    os.waitpid(number, 0)
    return result


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    x, _ = tx.domain.line(n=12).variable("interior")
    net = tx.nn.mlp(1, width=4, depth=1, key=3)
    u = net(x) * x * (1 - x)
    solver = tx.core({"pde": (u.d2(x) + 1).mse}, optimizer=optax.adam(1e-3), devices=1, dtype="float64")
    path = tmp_path_factory.mktemp("forks") / "solver.npz"
    solver.save(path)
    return solver, net, u, path


COMPUTES = {
    "tx.setup": lambda solver, net, u, path: tx.setup(),
    "tx.nn": lambda solver, net, u, path: tx.nn.mlp(1, width=4),
    "wrap": lambda solver, net, u, path: tx.nn.wrap(lambda p, x: p * x, np.ones(1)),
    "computing": lambda solver, net, u, path: tx.core({"pde": u.mse}, optimizer=optax.adam(1e-3)),
    "solve": lambda solver, net, u, path: solver.solve(1, progress=False),
    "eval": lambda solver, net, u, path: solver.eval(u),
    "eval of a plan": lambda solver, net, u, path: solver.plan(u.grad(net).gram()),
    "eval of an export": lambda solver, net, u, path: solver.export(path.with_suffix(".csv"), u),
}


@pytest.mark.parametrize("what", COMPUTES)
def test_a_fork_computes_nothing(what, problem):
    assert jax.devices()  # JAX has started
    kind, text = forked(lambda: COMPUTES[what](*problem))
    assert kind == "RuntimeError", text
    assert text.startswith(what.split(" of ")[0])
    assert f"forked from process {os.getpid()}" in text and "get_context('spawn')" in text


def test_a_fork_reads_and_writes(problem):
    """What is on the host already: a checkpoint of a child, a table of a plot's process."""
    solver, net, _, path = problem
    before = path.read_bytes()

    def work():
        solver.save(path.with_name("other.npz"))
        solver.load(path)
        return solver.module(net), solver.points("interior").shape, repr(solver)

    kind, text = forked(work)
    assert kind == "fine" and "(12, 2)" in text, text
    assert path.with_name("other.npz").exists() and path.read_bytes() == before


def test_the_process_itself_goes_on_after_a_fork(problem):
    solver, _, u, _ = problem
    forked(os.getpid)
    assert np.isfinite(solver.eval(u)).all()


PROGRAM = """
import multiprocessing, os, sys, warnings
import numpy as np, optax, tangrax as tx
warnings.simplefilter("ignore")

def trained(seed, answers=None):
    try:
        x, _ = tx.domain.line(n=12).variable("interior")
        u = tx.nn.mlp(1, width=4, depth=1, key=seed)(x) * x * (1 - x)
        solver = tx.core({"pde": (u.d2(x) + 1).mse}, optimizer=optax.adam(1e-3), devices=1)
        found = float(solver.solve(3, progress=False).history["loss"][-1])
    except Exception as error:
        found = str(error)
    return found if answers is None else answers.put(found)

def child(way):
    context = multiprocessing.get_context(way)
    answers = context.SimpleQueue()
    started = context.Process(target=trained, args=(3, answers))
    started.start()
    found = answers.get()
    started.join()
    return found

if __name__ == "__main__":
    early, own, late, spawned = child("fork"), trained(3), child("fork"), child("spawn")
    assert early == own == spawned, (early, own, spawned)
    assert "was forked from" in late, late
"""


@pytest.mark.processes
def test_forks_before_jax_has_started_and_spawned_processes_train(tmp_path):
    """By `multiprocessing`, after `import tangrax`: the numbers of the process itself."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    search_path = os.pathsep.join([str(Path(tx.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    env = environment(JAX_PLATFORMS="cpu", PYTHONPATH=search_path)
    run = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=PATIENCE, env=env)
    assert run.returncode == 0, run.stdout + run.stderr
