"""Points that move during training: which are drawn, when, and what goes on as before."""

import numpy as np
import optax
import pytest
from marks import slow_but
from scipy import stats

import tangrax as tx
from tangrax.optim import SamplingContext
from tangrax.optim.adaptive_sampling import above_mean, density, weighted_draw

DOMAIN = tx.domain.line(mesh_size=0.02)
X, _ = DOMAIN.variable("interior")


def line_net(a=0.5, b=0.0):
    """a x + b, so that everything is known by hand."""
    return tx.nn.wrap(
        lambda p, xs: p["a"] * xs[0] + p["b"], {"a": np.asarray(a, float), "b": np.asarray(b, float)}, name="line"
    )


def fit(rule, net=None, x=X, optimizer=None, **more):
    """Fit 2 x + 1; the residual is 1.5 x + 1 at the start."""
    net = net or line_net()
    residual = net(x) - 2 * x - 1
    terms = {"fit": residual.mse, **more.pop("extra", {})}
    optimizer = optimizer or optax.sgd(0.1)
    return tx.core(terms, optimizer=optimizer, dtype="float64", resample=rule(residual), **more)


RULES = {
    "uniform": lambda r: tx.optim.uniform(r, every=5),
    "rad": lambda r: tx.optim.rad(r, every=5, pool=500),
    "r3": lambda r: tx.optim.r3(r, every=5),
    "rar_d": lambda r: tx.optim.rar_d(r, every=5, add=10, pool=500, most=65),
}


# What is drawn


def test_density_against_the_formula():
    """Equation 2 of Wu et al.: |r|^k / E |r|^k + c."""
    r = np.array([0.0, 0.5, 2.0, 1.0])
    np.testing.assert_allclose(density(r, 1.0, 1.0), r / r.mean() + 1)
    np.testing.assert_allclose(density(r, 3.0, 0.2), r**3 / np.mean(r**3) + 0.2)
    np.testing.assert_allclose(density(1e-200 * r, 3.0, 0.2), r**3 / np.mean(r**3) + 0.2)
    np.testing.assert_allclose(density(np.zeros(4), 2.0, 0.0), np.ones(4))


def test_draws_go_with_the_weights():
    """One of six, and two of four without replacement: first i by p_i, then j by p_j / (1 - p_i)."""
    weights = np.array([0.2, 1.0, 3.0, 0.7, 0.05, 2.0])
    one = [weighted_draw(weights, 1, np.random.default_rng([0, i]))[0] for i in range(6000)]
    expected = 6000 * weights / weights.sum()
    assert stats.chisquare(np.bincount(one, minlength=6), expected).pvalue > 0.01
    p = np.array([0.1, 0.2, 0.3, 0.4])
    pairs = [tuple(weighted_draw(p, 2, np.random.default_rng([1, i]))) for i in range(6000)]
    of = lambda i, j: p[i] * p[j] * (1 / (1 - p[i]) + 1 / (1 - p[j]))
    different = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    expected = [6000 * of(i, j) for i, j in different]
    assert stats.chisquare([pairs.count(pair) for pair in different], expected).pvalue > 0.01
    np.testing.assert_array_equal(weighted_draw(np.array([0.0, 1.0, 0.0, 2.0]), 2, np.random.default_rng(0)), [1, 3])


def test_rad_draws_from_its_density():
    """With r = x on (0, 1), k = 2 and c = 1 the density is (3 x² + 1) / 2."""
    rule = tx.optim.rad(X, every=1, power=2.0, offset=1.0, pool=50_000)
    draw = lambda count: X.points.draw(count, 2, 3)
    points, new = rule.choose(np.zeros((1000, 2)), SamplingContext(draw, lambda c: c[:, 0], np.random.default_rng(0)))
    assert points.shape == (1000, 2) and new == 1000 and len(np.unique(points, axis=0)) == 1000
    assert stats.kstest(points[:, 0], lambda x: (x**3 + x) / 2).pvalue > 0.01
    assert stats.kstest(points[:, 0], "uniform").pvalue < 1e-6


def test_r3_retains_what_is_above_the_mean():
    r = np.array([1.0, 4.0, 2.0, 0.5, 2.5])
    np.testing.assert_array_equal(above_mean(r), [False, True, False, False, True])
    assert not above_mean(np.ones(3)).any()


def test_r3_during_training(devices):
    solver = fit(RULES["r3"], optimizer=optax.sgd(0.0), devices=devices).solve(5, progress=False)
    before = solver.points("interior")
    np.testing.assert_array_equal(before, X.points.coordinates)
    solver.solve(1, progress=False)
    after = solver.points("interior")
    residual = np.abs(1.5 * before[:, 0] + 1)
    retained = before[residual > residual.mean()]
    assert 0 < len(retained) < len(before) == len(after)
    np.testing.assert_array_equal(after[: len(retained)], retained)
    assert not np.isin(after[len(retained) :, 0], before[:, 0]).any()
    np.testing.assert_array_equal(solver.history["resample/interior"], [len(before) - len(retained)])
    np.testing.assert_array_equal(solver.history.epochs("resample/interior"), [5])


def test_rar_d_adds_until_there_are_most(devices):
    solver = fit(RULES["rar_d"], extra={"seen": X.mean.tracker(1)}, devices=devices)
    first = solver.points("interior")
    solver.solve(5, progress=False).solve(15, progress=False)
    np.testing.assert_array_equal(solver.history["resample/interior"], [10, 6])
    np.testing.assert_array_equal(solver.history.epochs("resample/interior"), [5, 10])
    assert solver.timing.compilations == 3
    now = solver.points("interior")
    assert now.shape == (65, 2)
    np.testing.assert_array_equal(now[: len(first)], first)
    np.testing.assert_allclose(solver.history["seen"][[4, 5, 10]], [now[:n, 0].mean() for n in (49, 59, 65)])
    assert len(solver.eval(X)) == 65 and len(solver.history["loss"]) == 20


# What goes on


@pytest.mark.parametrize("name", RULES)
def test_training_goes_on_with_its_optimizer(name, devices):
    """The same steps of Adam with optax alone, at the points that the solver has had."""
    solver = fit(RULES[name], optimizer=optax.adam(0.1), devices=devices)
    optimizer, params = optax.adam(0.1), {"a": np.float64(0.5), "b": np.float64(0.0)}
    state, losses = optimizer.init(params), []
    # Calls that end where points move: those seen after a call are those it had.
    for epochs in (3, 2, 5, 5):
        solver.solve(epochs, progress=False)
        x = solver.points("interior")[:, 0]
        for _ in range(epochs):
            r = params["a"] * x + params["b"] - 2 * x - 1
            losses.append(np.mean(r**2))
            slope = {"a": np.mean(2 * r * x), "b": np.mean(2 * r)}
            updates, state = optimizer.update(slope, state, params)
            params = {k: params[k] + np.asarray(updates[k]) for k in params}
    np.testing.assert_array_equal(solver.history.epochs("resample/interior"), [5, 10])
    np.testing.assert_allclose(solver.history["fit"], losses, rtol=1e-10)
    np.testing.assert_allclose(solver.eval(X), solver.points("interior")[:, 0])
    assert solver.timing.compilations == (3 if name == "rar_d" else 1)


def problem(devices, **more):
    """Three tags that move in their own ways, a group of points, points held out."""
    domain = tx.domain.line(n=40).over_time(0.0, 1.0, initial=12)
    x, t = domain.variable("interior")
    xb, tb = domain.variable("boundary")
    x0, t0 = domain.variable("initial")
    net = tx.nn.mlp(2, width=6, depth=1, key=3)
    pde = net(x, t).d(t) + 3 * net(x, t).d(x) - tx.np.exp(-30 * (x - 0.4) ** 2)
    ends, start = net(xb, tb) - tb, net(x0, t0) - x0
    terms = {
        "pde": pde.mse,
        "late": pde[t > 0.5].mse,
        "ends": ends.mse,
        "start": start.mse,
        "held": pde.held_out(64).mse.tracker(7),
    }
    rules = [
        tx.optim.rad(pde, every=7, pool=300),
        tx.optim.r3(ends, every=4),
        tx.optim.uniform(start, every=6, seed=2),
    ]
    solver = tx.core(terms, optimizer=optax.sgd(0.01), dtype="float64", devices=devices, resample=rules, **more)
    return solver, (x, xb, x0, pde, t)


@pytest.fixture(scope="module")
def alone():
    return problem(1)[0].solve(20, progress=False)


@pytest.mark.parametrize("count", slow_but([1, 2, 3], 3))
def test_the_same_on_any_number_of_devices(count, alone):
    solver, (x, xb, x0, pde, t) = problem(count)
    held = solver.eval(x.held_out(64))
    solver.solve(20, progress=False)
    for name in ("interior", "boundary", "initial"):
        np.testing.assert_array_equal(solver.points(name), alone.points(name))
    for name in ("loss", "pde", "late", "held"):
        np.testing.assert_allclose(solver.history[name], alone.history[name], rtol=1e-9)
    assert solver.timing.compilations == 1
    np.testing.assert_array_equal(solver.eval(x.held_out(64)), held)
    # Each tag has moved within its own set.
    inside, edge, first = (solver.points(field) for field in (x, xb, x0))
    assert ((inside > 0) & (inside <= 1)).all() and not np.isin(inside, x.points.coordinates).any()
    assert np.isin(edge[:, 0], [0.0, 1.0]).all() and (edge[:, 1] > 0).all()
    assert (first[:, 1] == 0).all() and not np.isin(first[:, 0], x0.points.coordinates).any()
    np.testing.assert_array_equal(solver.history.epochs("resample/interior"), [7, 14])
    np.testing.assert_array_equal(solver.history.epochs("resample/boundary"), [4, 8, 12, 16])
    # The group of late points is counted anew.
    residual, time = solver.eval([pde, t])
    expected = np.mean(residual[time > 0.5] ** 2)
    assert solver.eval(pde[t > 0.5].mse) == pytest.approx(expected)
    solver.solve(1, progress=False)
    assert solver.history["late"][-1] != solver.history["late"][-2]


@pytest.mark.parametrize("at", slow_but([9, 14], 9))
def test_continued_after_load_equals_uninterrupted(at, alone, tmp_path):
    """In the middle, and where points are due."""
    first = problem(2)[0].solve(at, progress=False)
    first.save(tmp_path / "run")
    second = problem(3)[0].load(tmp_path / "run")
    np.testing.assert_array_equal(second.points("interior"), first.points("interior"))
    second.solve(20 - at, progress=False)
    for name in ("interior", "boundary", "initial"):
        np.testing.assert_array_equal(second.points(name), alone.points(name))
    for name in alone.history:
        np.testing.assert_allclose(second.history[name], alone.history[name], rtol=1e-9)
        np.testing.assert_array_equal(second.history.epochs(name), alone.history.epochs(name))


def test_what_is_loaded_where(tmp_path):
    """Grown points go on growing; a solver that moves none takes them too, one of another domain does not."""
    grown = fit(RULES["rar_d"], devices=2).solve(8, progress=False)
    grown.save(tmp_path / "run")
    again = fit(RULES["rar_d"], devices=1).load(tmp_path / "run")
    assert len(again.points("interior")) == 59
    grown.solve(5, progress=False)
    again.solve(5, progress=False)
    np.testing.assert_array_equal(again.points("interior"), grown.points("interior"))
    np.testing.assert_allclose(again.history["loss"], grown.history["loss"], rtol=1e-12)
    still = fit(lambda r: None, devices=1).load(tmp_path / "run")
    assert len(still.eval(X)) == 59
    still.solve(2, progress=False)
    other = tx.domain.line(n=20).variable("interior")[0]
    separate = fit(lambda r: None, x=other, devices=1).load(tmp_path / "run")
    assert len(separate.points("interior")) == 20
    fit(lambda r: None, devices=1).save(tmp_path / "still")
    assert len(again.load(tmp_path / "still").points("interior")) == 49


@pytest.mark.parametrize("name", ["r3", "rar_d"])
def test_gauss_newton_at_points_that_move(name, devices, monkeypatch):
    optimizer = tx.optim.gauss_newton()
    wave = X + 0.3 * tx.np.sin(20 * X)
    net = line_net()
    residual = net(X) - wave
    rule = RULES[name](residual)
    solver = tx.core({"fit": residual.mse}, optimizer=optimizer, dtype="float64", devices=devices, resample=rule)
    for epochs in (5, 5, 5):
        solver.solve(epochs, progress=False)
        x = solver.points("interior")[:, 0]
        target = x + 0.3 * np.sin(20 * x)
        # A straight line: the least squares of these points are met in a few steps.
        (a, b), *_ = np.linalg.lstsq(np.column_stack([x, np.ones_like(x)]), target, rcond=None)
        assert solver.history["fit"][-1] == pytest.approx(np.mean((a * x + b - target) ** 2), rel=1e-9)


def test_points_of_two_domains_have_names_of_their_own():
    other = tx.domain.line(n=9).variable("interior")[0]
    net = line_net()
    solver = fit(lambda r: tx.optim.uniform(net(other), every=2), net, extra={"far": net(other).mse}, devices=2)
    solver.solve(5, progress=False)
    assert list(solver.history.epochs("resample/interior_1")) == [2, 4]
    assert len(solver.points(other)) == 9 and len(solver.points(X)) == 49
    with pytest.raises(ValueError, match="several domains have it: give a field"):
        solver.points("interior")
    with pytest.raises(ValueError, match=r"points\('top'\): terms are on interior, interior_1"):
        solver.points("top")


# What is refused


def test_a_group_that_would_be_empty_stops_before_anything_moves():
    net = line_net()
    middle = (net(X) - X)[abs(X - 0.5) < 1e-9]
    solver = fit(RULES["uniform"], net, extra={"middle": middle.mse}, devices=2)
    for _ in range(2):
        with pytest.raises(ValueError, match="holds none of the 49 points"):
            solver.solve(20, progress=False)
        assert solver.epoch == 5 and "resample/interior" not in solver.history
        np.testing.assert_array_equal(solver.points("interior"), X.points.coordinates)


def test_a_residual_that_is_not_finite_stops_before_anything_moves():
    net = line_net()
    solver = fit(lambda r: tx.optim.rad(tx.np.log(X - 0.01) + r, every=5), net, devices=3)
    with pytest.raises(
        tx.NonFiniteLoss, match=r"resampling at epoch 5: .log.* of 10000 points of 'interior', such as x ="
    ):
        solver.solve(20, progress=False)
    assert solver.epoch == 5
    np.testing.assert_array_equal(solver.points("interior"), X.points.coordinates)


def test_refusals():
    net = line_net()
    r = net(X)
    optim = tx.optim
    with pytest.raises(TypeError, match=r"uniform.*give the field whose points should move"):
        optim.uniform(r.mse, every=5)
    with pytest.raises(TypeError, match=r"write tx.np.where\(.*, line\(x\), 0\)"):
        optim.rad(r[X < 0.5], every=5)
    with pytest.raises(TypeError, match="not made of real numbers"):
        optim.r3(X < 0.5, every=5)
    with pytest.raises(ValueError, match=r"r3\(every=0\): a whole number, 1 or more"):
        optim.r3(r, every=0)
    with pytest.raises(ValueError, match=r"uniform\(seed=-1\)"):
        optim.uniform(r, every=5, seed=-1)
    with pytest.raises(ValueError, match=r"rad\(power=-1.0\): a finite number, 0 or more"):
        optim.rad(r, every=5, power=-1.0)
    with pytest.raises(ValueError, match=r"rad\(pool=48\): a whole number, 49 or more"):
        optim.rad(r, every=5, pool=48)
    with pytest.raises(ValueError, match=r"rar_d\(pool=9\): a whole number, 10 or more"):
        optim.rar_d(r, every=5, add=10, pool=9)
    with pytest.raises(ValueError, match=r"rar_d\(most=40\): a whole number, 49 or more: 'interior' has 49 points"):
        optim.rar_d(r, every=5, add=10, most=40)
    with pytest.raises(ValueError, match="no other points can be drawn for 'left'"):
        optim.uniform(net(DOMAIN.variable("left")[0]), every=5)
    with pytest.raises(TypeError, match=r"give what tx.optim.uniform, rad, rar_d or r3 returned"):
        fit(lambda r: 5)
    with pytest.raises(ValueError, match="two rules move the points of 'interior'"):
        fit(lambda r: [optim.r3(r, every=5), optim.uniform(net(X), every=3)])
    with pytest.raises(ValueError, match="which no term is trained on"):
        fit(lambda r: optim.r3(net(tx.domain.line(n=4).variable("interior")[0]), every=5))
    rows = net(X).grad(net)
    watched = {"product": (rows @ (rows.T @ np.ones(49))).mse.tracker(5)}
    with pytest.raises(ValueError, match="an entry for each of the first points"):
        fit(RULES["r3"], net, extra=watched)
    grown = fit(RULES["rar_d"], net, devices=2).solve(6, progress=False)
    with pytest.raises(ValueError, match="a row for each of the 49 points that 'interior' had at first; it has 59 now"):
        grown.eval(rows @ (rows.T @ np.ones(49)))
    assert grown.eval(rows).shape == (59, 2) and grown.eval(rows.gram()).shape == (59, 59)
    assert grown.eval(rows[X < 0.5].gram()).shape[0] == np.sum(grown.points("interior")[:, 0] < 0.5)
