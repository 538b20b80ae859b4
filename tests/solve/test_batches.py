"""Mini-batches: which points a step sees, and that it is the same on any number of devices."""

import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax.parallel import Layout


def line_net(a=0.5, b=0.0):
    """a x + b, so that everything is known by hand."""
    return tx.nn.wrap(
        lambda p, xs: p["a"] * xs[0] + p["b"], {"a": np.asarray(a, float), "b": np.asarray(b, float)}, name="line"
    )


def fit(domain, batch, optimizer=None, extra=(), **more):
    """Fit sin 3x by a line on the interior, and 1 on the boundary."""
    x, _ = domain.variable("interior")
    edge, _ = domain.variable("boundary")
    net = line_net()
    terms = {"fit": (net(x) - tx.np.sin(3 * x)).mse, "edge": (net(edge) - 1).mse}
    for name, make in extra:
        terms[name] = make(net, x)
    return tx.core(terms, optimizer=optimizer or optax.sgd(0.1), dtype="float64", batch=batch, **more)


def trained_by_hand(batches, edge, epochs):
    """Gradient descent in NumPy, step by step on the batches given; the losses before each step."""
    a, b, losses = 0.5, 0.0, []
    for epoch in range(epochs):
        x = batches[epoch % len(batches)]
        inner, outer = a * x + b - np.sin(3 * x), a * edge + b - 1
        losses.append(np.mean(inner**2))
        slope = 2 * np.mean(inner * x) + 2 * np.mean(outer * edge), 2 * np.mean(inner) + 2 * np.mean(outer)
        a, b = a - 0.1 * slope[0], b - 0.1 * slope[1]
    return (a, b), losses


def trained(solver):
    ((a, b),) = [(p["a"], p["b"]) for p in solver.training.parameters.values()]
    return float(a), float(b)


@pytest.mark.parametrize("devices", [1, 3])
def test_steps_by_hand(devices):
    """Sobol points, 60 in batches of 25: 0-24, 25-49, and the last 25."""
    domain = tx.domain.line(n=60, seed=4)
    solver = fit(domain, {"interior": 25}, devices=devices).solve(17, progress=False)
    x = domain.point_set("interior").coordinates[:, 0]
    wanted, losses = trained_by_hand([x[:25], x[25:50], x[35:]], np.array([0.0, 1.0]), 17)
    np.testing.assert_allclose(trained(solver), wanted, rtol=1e-13)
    np.testing.assert_allclose(solver.history["fit"], losses, rtol=1e-12)


def test_a_grid_is_shuffled():
    """Batches of 10 of 100 grid points spread over the line, and hold each point once."""
    domain = tx.domain.line(mesh_size=1 / 101)
    rows = domain.point_set("interior").coordinates[:, 0]
    solver = fit(domain, {"interior": 10}, devices=1).solve(1, progress=False)
    (batches,) = [np.asarray(placed)[..., 0] for placed in solver.training.loop.points.batches.values()]
    assert batches.shape == (10, 10)
    np.testing.assert_array_equal(np.sort(batches.ravel()), np.sort(rows))
    assert np.ptp(batches, axis=0).min() > 0.4
    wanted, _ = trained_by_hand(list(batches.T), np.array([0.0, 1.0]), 1)
    np.testing.assert_allclose(trained(solver), wanted, rtol=1e-13)


def test_layout_of_batches():
    """7 rows in batches of 3 on 2 shards: a shard asked alone gives what it has of the whole."""
    rows = np.arange(7.0)[:, None]
    actual = Layout(3, 2).batches(rows, np.float64)
    assert actual.shape == (4, 3, 1)
    np.testing.assert_array_equal(actual[:][..., 0].T, [[0, 1, 2, 2], [3, 4, 5, 5], [4, 5, 6, 6]])
    np.testing.assert_array_equal(actual[2:4], actual[:][2:4])


def test_trackers_and_eval_see_all_points():
    domain = tx.domain.line(n=64)
    extra = [("all", lambda net, x: (net(x) - tx.np.sin(3 * x)).mse.tracker(1))]
    solver = fit(domain, {"interior": 8}, extra=extra, devices=2).solve(3, progress=False)
    x = domain.point_set("interior").coordinates[:, 0]
    np.testing.assert_allclose(solver.history["all"][0], np.mean((0.5 * x - np.sin(3 * x)) ** 2), rtol=1e-12)
    assert abs(solver.history["all"][0] - solver.history["fit"][0]) > 1e-4


def test_stop_and_continue_is_one_run():
    domain = tx.domain.line(n=60)
    once = fit(domain, {"interior": 20}, devices=1).solve(8, progress=False)
    twice = fit(domain, {"interior": 20}, devices=1).solve(5, progress=False).solve(3, progress=False)
    assert trained(once) == trained(twice)


def test_moving_points_in_batches():
    """New points every 4 epochs: 3 batches are gone through again, of the new points."""
    domain = tx.domain.line(n=60)
    x, _ = domain.variable("interior")
    net = line_net()
    residual = net(x) - tx.np.sin(3 * x)
    terms = [residual.mse]
    solvers = [
        tx.core(
            terms,
            optimizer=optax.sgd(0.1),
            dtype="float64",
            devices=devices,
            batch={"interior": 20},
            resample=tx.optim.uniform(residual, every=4),
        ).solve(6, progress=False)
        for devices in (1, 3)
    ]
    np.testing.assert_allclose(trained(solvers[0]), trained(solvers[1]), rtol=1e-13)
    now = solvers[0].points("interior")[:, 0]
    (batches,) = [np.asarray(placed)[..., 0] for placed in solvers[0].training.loop.points.batches.values()]
    np.testing.assert_array_equal(np.sort(batches.ravel()), np.sort(now))


@pytest.mark.parametrize("steering", ["balance", "conflict"])
def test_beside_balance_and_conflict(steering):
    """What these measure is of all points; both train the same on 1 and 3 devices."""
    method = tx.optim.ntk_balance(every=4) if steering == "balance" else tx.optim.config()
    domain = tx.domain.line(n=60)
    one, three = [
        fit(domain, {"interior": 20}, devices=devices, **{steering: method}).solve(9, progress=False)
        for devices in (1, 3)
    ]
    assert one.history["loss"][-1] < one.history["loss"][0]
    np.testing.assert_allclose(trained(one), trained(three), rtol=1e-11)


def test_gauss_newton_on_batches():
    """A line through points of a line is found from any batch; 1 and 3 devices alike."""
    domain = tx.domain.line(n=60)
    x, _ = domain.variable("interior")
    for devices in (1, 3):
        net = line_net()
        solver = tx.core(
            [(net(x) - 2 * x - 1).mse],
            optimizer=tx.optim.gauss_newton(),
            dtype="float64",
            devices=devices,
            batch={"interior": 15},
        ).solve(12, progress=False)
        np.testing.assert_allclose(trained(solver), (2, 1), atol=1e-9)


def test_the_start_says_how_many():
    seen = []

    class Listen:
        def on_start(self, run):
            seen.append(run.where)

        def on_stretch(self, stretch):
            seen.append(stretch.epoch)

        def on_end(self): ...

    fit(tx.domain.line(n=60), {"interior": 20}, devices=1).solve(1, progress=False, listeners=[Listen()])
    assert "2 boundary + 20 of 60 interior points" in seen[0]


DOMAIN = tx.domain.line(n=60)
X, _ = DOMAIN.variable("interior")


@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        ({"inside": 20}, ValueError, "terms are on interior, boundary"),
        ({"interior": 0}, ValueError, "1 or more"),
        ({"interior": -3}, ValueError, "whole number"),
        ({"interior": True}, ValueError, "whole number"),
        ({"interior": 61}, ValueError, "has 60 points"),
    ],
)
def test_refused_sizes(batch, error, words):
    with pytest.raises(error, match=words):
        fit(DOMAIN, batch)


def test_refused_terms():
    net = line_net()
    fitted = net(X) - 1
    with pytest.raises(ValueError, match="a batch may hold no point"):
        tx.core([fitted[X < 0.5].mse], optimizer=optax.sgd(0.1), batch={"interior": 20}).solve(1)
    with pytest.raises(ValueError, match="weight of its own"):
        tx.core(
            {"fit": fitted.mse},
            optimizer=optax.sgd(0.1),
            balance=tx.optim.self_adaptive("fit"),
            batch={"interior": 20},
        )
