"""What differs between hosts does not change results: the first process's points and parameters are everyone's."""

import contextlib
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from launching import PATIENCE, TRANSPORTS, environment, free_port, launch_variables, mpirun

import tangrax as tx

pytestmark = pytest.mark.processes
SCRIPT = Path(__file__).parent / "hosts.py"


def run_each(commands, environments):
    """Processes side by side to their good end; what they wrote."""
    with contextlib.ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(**e))
            )
            for c, e in zip(commands, environments, strict=True)
        ]
        outputs = [process.communicate(timeout=PATIENCE)[0] for process in running]
    assert not any(process.returncode for process in running), outputs
    return outputs


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_hosts_that_differ(transport, tmp_path):
    folder, out = tmp_path / "points", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for index in range(13):
        (folder / f"{index:x}.txt").write_text(str((index + 0.5) / 13))
    command = [sys.executable, str(SCRIPT), str(out), str(folder)]
    if transport == "xla":
        port = free_port()
        each = [{**launch_variables(rank, 2, port), "PYTHONHASHSEED": str(rank + 1)} for rank in range(2)]
        text = "".join(run_each([command] * 2, each))
    else:
        hashed = [["-n", "1", "-env", "PYTHONHASHSEED", str(rank + 1), *command] for rank in range(2)]
        text = run_each([[mpirun(), *hashed[0], ":", *hashed[1]]], [{}])[0]
    assert "the parameters of 'net' of process 1 differ from those of process 0, which are used" in text
    assert "the points of 'interior' of process 1 differ" in text

    first, second = (dict(np.load(out / f"{rank}.npz")) for rank in range(2))
    assert not np.array_equal(first["points"], second["points"])
    assert not np.array_equal(first["weights"], second["weights"])
    for name in first.keys() - {"points", "weights"}:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)

    # The same from what the first process had, without the other.
    net = tx.nn.wrap(lambda w, z: jax.numpy.tanh(w * z[0]).sum(), first["weights"], name="net")
    x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
    u = net(x)
    terms = [(u - x).mse, (u.d(x) ** 2).mean.tracker(7)]
    solver = tx.core(terms, optimizer=optax.adam(1e-2), dtype="float64", devices=1).solve(50, progress=False)
    for name in solver.history:
        np.testing.assert_allclose(first[f"history/{name}"], solver.history[name], rtol=1e-10, err_msg=name)
    np.testing.assert_allclose(first["trained"], np.asarray(solver.module(net)), rtol=1e-10)
    values = solver.eval(u, points={"interior": first["points"]})
    np.testing.assert_allclose(first["eval"], values, rtol=1e-10)


PROBLEM = """
import sys, optax, tangrax as tx
tx.setup()
rank = tx.parallel.settings().peers.rank
x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
net = tx.nn.mlp(1, width=3)
solver = tx.core([(net(x) - (2.0 + rank)).mse], optimizer=optax.adam(1e-3))
"""


OPTIMIZERS = """
import optax, tangrax as tx
tx.setup(dtype="float64")
rank = tx.parallel.settings().peers.rank
x, _ = tx.domain.line(mesh_size=0.1).variable("interior")
net = tx.nn.mlp(1, width=3, key=0)
terms = [(net(x) - 2.0).mse]
for own in (
    optax.adam(1e-3 * (1 + rank)),
    optax.adam(optax.cosine_decay_schedule(1e-3, 10 + rank)),
    tx.optim.gauss_newton(way="sketch", sketch=4, seed=rank),
    tx.optim.spring(rate=optax.linear_schedule(0.1, 0.2 + rank, 5)),
    optax.sgd(1e-3) if rank else optax.adam(1e-3),
):
    try:
        tx.core(terms, optimizer=own).solve(1, progress=False)
    except tx.parallel.ProcessMismatch as error:
        print("refused:", error, flush=True)
# With schedules, which are functions, and the same on both.
for own in (tx.optim.spring(rate=optax.linear_schedule(0.1, 0.2, 5)), optax.adam(optax.cosine_decay_schedule(1e-3, 9))):
    tx.core(terms, optimizer=own).solve(2, progress=False)
print("trained", flush=True)
"""


def test_other_settings_of_the_optimizer_on_each_process_are_refused():
    """Each updates its own copy of the parameters: rates, schedules, seeds and kinds are compared before training."""
    port = free_port()
    each = [launch_variables(rank, 2, port) for rank in range(2)]
    for text in run_each([[sys.executable, "-c", OPTIMIZERS]] * 2, each):
        assert text.count("refused: the optimizers of the processes differ") == 5, text
        assert "trained" in text


def test_another_problem_on_each_process_is_refused(tmp_path):
    """A constant that hangs on the rank: named, on every process, before anything is trained."""
    port = free_port()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROBLEM],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**launch_variables(rank, 2, port)),
        )
        for rank in range(2)
    ]
    for process in running:
        with process:
            text = process.communicate(timeout=PATIENCE)[0]
            assert process.returncode == 1
            assert "ProcessMismatch: the problems of the processes differ" in text
            assert "Constant(data=2.0" in text and "Constant(data=3.0" in text
