"""Many solvers, trackers and tags in one process; a solver that is trained alone is the oracle, to the last bit."""

import threading

import jax
import numpy as np
import optax
import pytest
from marks import slow_but

import tangrax as tx


def problem(seed, net=None, devices=1):
    x, _ = tx.domain.line(n=10, seed=1).variable("interior")
    net = net or tx.nn.mlp(1, width=4, depth=1, key=seed)
    u = net(x)
    terms = {"fit": (u - seed * x).mse, "seen": u.mean.tracker(3)}
    return tx.core(terms, optimizer=optax.adam(1e-2), devices=devices, dtype="float64")


def numbers(solver):
    recorded = [solver.history[name] for name in sorted(solver.history)]
    return [np.asarray(leaf) for leaf in jax.tree.leaves([list(solver.training.parameters.values()), recorded])]


def assert_alike(solvers, alone):
    for one, other in zip(solvers, alone, strict=True):
        jax.tree.map(np.testing.assert_array_equal, numbers(one), numbers(other))


@pytest.mark.parametrize("shared", slow_but([False, True], False))
def test_two_solvers_at_once_train_as_alone(shared, devices, tmp_path):
    check_at_once(2, shared, devices, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [3])
def test_ten_solvers_at_once_train_as_alone(devices, tmp_path):
    check_at_once(10, False, devices, tmp_path)


def check_at_once(count, shared, devices, tmp_path):
    """In threads, each with its run_dir, and in turn in one thread; with networks of their own or with one."""
    net = tx.nn.mlp(1, width=4, depth=1, key=7) if shared else None
    solvers = lambda: [problem(seed, net, devices) for seed in range(count)]
    alone = [solver.solve(12, progress=False) for solver in solvers()[:2]]
    in_turn = solvers()
    for _ in range(3):
        for solver in in_turn:
            solver.solve(4, progress=False)
    assert_alike(in_turn[:2], alone)

    def train(place, solver):
        solver.solve(12, progress=False, run_dir=tmp_path / str(place), checkpoint_every=5)

    in_threads = solvers()
    threads = [threading.Thread(target=train, args=each, daemon=True) for each in enumerate(in_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert not any(thread.is_alive() for thread in threads)
    assert_alike(in_threads, in_turn)
    resumed = problem(1, net, devices).solve(12, progress=False, run_dir=tmp_path / "1")
    assert resumed.timing.epochs == 0
    assert_alike([resumed], alone[1:2])


class Within:
    """What other calls say while training is under way."""

    def __init__(self, calls):
        self.calls, self.said = calls, []

    def on_start(self, run): ...

    def on_stretch(self, stretch):
        for call in self.calls:
            with pytest.raises(RuntimeError) as caught:
                call()
            self.said.append(str(caught.value))

    def on_end(self): ...


def test_a_solver_that_trains_is_changed_by_nothing_else(tmp_path):
    """Another `solve`, `load` and `optimizer`, by a listener and by a thread; evaluating is allowed."""
    alone = problem(1).solve(6, progress=False)
    solver = problem(1)
    solver.save(tmp_path / "start.npz")

    def in_a_thread():
        caught = []

        def call():
            try:
                solver.solve(1, progress=False)
            except RuntimeError as error:
                caught.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        raise caught[0]

    within = Within(
        [
            lambda: solver.solve(1, progress=False),
            in_a_thread,
            lambda: solver.load(tmp_path / "start.npz"),
            lambda: solver.optimizer(optax.sgd(1.0)),
        ]
    )
    solver.solve(6, progress=False, listeners=[within])
    names = ["solve", "solve", "load", "optimizer"]
    assert [text.split(":")[0] for text in within.said[:4]] == names
    assert all("is training already" in text for text in within.said)
    assert_alike([solver], [alone])
    assert solver.solve(1, progress=False).epoch == 7  # and after it, as ever


def test_a_second_run_of_one_process_in_a_run_dir_is_refused(tmp_path):
    """While the first trains, and no longer."""
    other, messages = problem(1), []

    class Other(Within):
        def on_stretch(self, stretch):
            with pytest.raises(ValueError) as caught:
                other.solve(4, progress=False, run_dir=tmp_path)
            messages.append(str(caught.value))

    problem(1).solve(4, progress=False, run_dir=tmp_path, listeners=[Other([])])
    assert messages and all("is in use by" in text and "Nothing was trained" in text for text in messages)
    assert other.solve(4, progress=False, run_dir=tmp_path).timing.epochs == 0


def test_a_solve_that_fails_leaves_the_solver_free():
    solver = problem(1)
    with pytest.raises(ValueError, match="whole number"):
        solver.solve(-1, progress=False)
    assert solver.solve(1, progress=False).epoch == 1


@pytest.mark.slow
@pytest.mark.parametrize("devices", [3])
def test_two_hundred_trackers_and_fifty_tags(devices):
    """In one problem and one program; NumPy on the values of the first epoch is the oracle."""
    tags = {f"tag_{i}": np.linspace(0, 1 + i, 8)[:, None] for i in range(50)}
    cloud = tx.domain.cloud(tags)
    net = tx.nn.mlp(1, width=4, depth=1, key=2)
    fields = {name: net(cloud.variable(name)[0]) for name in tags}
    terms = {f"fit_{name}": (field - 1).mse for name, field in fields.items()}
    trackers = {f"t_{i}": ((fields[f"tag_{i % 50}"] - i) ** 2).mean.tracker(1 + i % 7) for i in range(200)}
    solver = tx.core({**terms, **trackers}, optimizer=optax.adam(1e-3), devices=devices, dtype="float64")
    before = dict(zip(fields, solver.eval(list(fields.values())), strict=True))
    solver.solve(20, progress=False)
    assert solver.timing.compilations == 1 and len(solver.history) == 251
    for i in range(200):
        actual = solver.history[f"t_{i}"]
        assert len(actual) == -(-20 // (1 + i % 7))
        np.testing.assert_allclose(actual[0], np.mean((before[f"tag_{i % 50}"] - i) ** 2), rtol=1e-12)
    for name, values in before.items():
        np.testing.assert_allclose(solver.history[f"fit_{name}"][0], np.mean((values - 1) ** 2), rtol=1e-12)
