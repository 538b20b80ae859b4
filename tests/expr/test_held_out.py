"""Fields at points that training does not see, and the relative error."""

import numpy as np
import optax
import pytest

import tangrax as tx

DOMAIN = tx.domain.rect(mesh_size=0.2)
X, Y, _ = DOMAIN.variable("interior")


def line_net(a=0.5, b=0.0):
    return tx.nn.wrap(
        lambda p, xs: p["a"] * xs[0] + p["b"], {"a": np.asarray(a, float), "b": np.asarray(b, float)}, name="line"
    )


def solver_of(net, x=X, **more):
    return tx.core({"fit": (net(x) - 2 * x - 1).mse, **more.pop("extra", {})}, dtype="float64", **more)


def test_the_same_expression_at_other_points(devices):
    net = line_net()
    solver = solver_of(net, optimizer=optax.sgd(0.1), devices=devices)
    x, y = solver.eval([X.held_out(37), Y.held_out(37)])
    np.testing.assert_allclose(solver.eval((X**3 * Y).d2(X).held_out(37)), 6 * x * y, rtol=1e-12)
    np.testing.assert_allclose(solver.eval((net(X) - X.mean).held_out(37)), 0.5 * x - x.mean(), rtol=1e-12)
    assert solver.eval((net(X) - 2 * X).held_out(37).mse) == pytest.approx(np.mean((1.5 * x) ** 2))
    np.testing.assert_allclose(solver.eval(net(X)[X < 0.5].held_out(37)), 0.5 * x[x < 0.5])
    rows = solver.eval(net(X).grad(net).held_out(37))
    np.testing.assert_allclose(rows, np.column_stack([x, np.ones(37)]), rtol=1e-12)
    wave = tx.np.function(lambda u: u - u.max(), [net(X)], returns="field")
    np.testing.assert_allclose(solver.eval(wave.held_out(37)), 0.5 * x - 0.5 * x.max(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "domain", [DOMAIN, tx.domain.rect(n=500), tx.domain.line(n=500), tx.domain.line(n=500, seed=1)]
)
def test_held_out_points_are_never_those_of_training(domain):
    x = domain.variable("interior")[0]
    trained = {tuple(point) for point in domain.point_set("interior").coordinates}
    actual = [x.held_out(1000, seed).points for seed in (0, 1, 2)]
    sets = [{tuple(point) for point in points.coordinates} for points in actual]
    for index, points in enumerate(sets):
        assert len(points) == 1000 and not points & trained
        assert not any(points & other for other in sets[:index])


def test_one_object_for_each_number_and_seed():
    u = X + Y
    assert u.held_out(50) is u.held_out(50) and X.held_out(50).points is Y.held_out(50).points
    assert u.held_out(50) is not u.held_out(50, seed=2) and u.held_out(50).points is not u.held_out(51).points
    assert len(u.held_out().points) == len(u.points) and u.held_out().points is not u.points
    assert u.points.tag == u.held_out(50).points.tag == "interior"


def test_trackers_of_held_out_points_leave_training_alone(devices):
    net = line_net()
    plain = solver_of(net, optimizer=optax.adam(0.1), devices=devices).solve(12, progress=False)
    x = plain.eval(X.held_out(200))
    exact = 2 * X + 1
    extra = {"error": tx.np.relative_l2(net(X).held_out(200), exact.held_out(200)).tracker(4)}
    watched = solver_of(net, extra=extra, optimizer=optax.adam(0.1), devices=devices).solve(12, progress=False)
    np.testing.assert_allclose(watched.history["fit"], plain.history["fit"], rtol=1e-13)
    first = np.linalg.norm(0.5 * x - 2 * x - 1) / np.linalg.norm(2 * x + 1)
    np.testing.assert_allclose(watched.history["error"][0], first, rtol=1e-12)
    assert len(watched.history["error"]) == 3


def test_relative_l2_against_numpy(devices):
    net = line_net(a=1.5, b=0.2)
    solver = solver_of(net, optimizer=optax.sgd(0.1), devices=devices)
    x, y = (DOMAIN.point_set("interior").coordinates[:, axis] for axis in (0, 1))
    u, e = 1.5 * x + 0.2, np.sin(3 * x) + y
    exact = tx.np.sin(3 * X) + Y
    norm = np.linalg.norm
    left = X < 0.5
    both, wanted = tx.np.stack([net(X), net(Y)]), tx.np.stack([exact, X])
    pairs = np.stack([u, 1.5 * y + 0.2]), np.stack([e, x])
    actual = solver.eval(
        [
            tx.np.relative_l2(net(X), exact),
            tx.np.relative_l2(net(X)[left], exact[left]),
            tx.np.relative_l2(both, wanted),
        ]
    )
    inside = x < 0.5
    expected = [
        norm(u - e) / norm(e),
        norm((u - e)[inside]) / norm(e[inside]),
        norm(pairs[0] - pairs[1]) / norm(pairs[1]),
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_refusals():
    net = line_net()
    u, rows = net(X), net(X).grad(net)
    with pytest.raises(TypeError, match=r"hold out the field that it is made of, as in pde.held_out\(30\).mse"):
        u.mse.held_out(30)
    for bad in ({"n": 0}, {"n": True}, {"seed": -1}):
        with pytest.raises(ValueError, match=r"held_out\((n|seed)=.*: a whole number"):
            u.held_out(**bad)
    weighed = rows @ (rows.T @ np.ones(len(X.points)))
    with pytest.raises(ValueError, match=r"an entry for each of the 16 points of 'interior'"):
        weighed.held_out(30)
    with pytest.raises(ValueError, match="no other points can be drawn for 'left'"):
        tx.domain.line(n=9).variable("left")[0].held_out(3)
    with pytest.raises(ValueError, match=r"no other points can be drawn for 'interior' of .*, held out"):
        u.held_out(30).held_out(30)
    with pytest.raises(ValueError, match="cannot be combined point by point"):
        u.held_out(30) - u
    with pytest.raises(TypeError, match=r"exact = 1.0 has no value at each point"):
        tx.np.relative_l2(u, 1.0)
    with pytest.raises(ValueError, match="the same group"):
        tx.np.relative_l2(u[X < 0.5], X)
    with pytest.raises(ValueError, match=r"shapes \(\) and \(2,\)"):
        tx.np.relative_l2(u, tx.np.stack([X, Y]))
