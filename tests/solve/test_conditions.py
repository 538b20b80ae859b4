"""Conditions of docs/conditions.md, against closed forms."""

import jax
import numpy as np
import optax
import pytest

import tangrax as tx

π = np.pi


def solved(terms, epochs, devices=2):
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices, dtype="float64")
    return solver.solve(epochs, progress=False)


@pytest.mark.parametrize("devices", [1, 3])
def test_shifted_coordinates(devices):
    """net(x, t) - net(x + 2, t) and its slope at the points of one side, against the module itself."""
    ring = tx.domain.line(-1.0, 1.0, n=20).over_time(0.0, 1.0)
    left, time = ring.variable("left")
    net = tx.nn.mlp(2, width=6, key=1)
    gap = net(left, time) - net(left + 2, time)
    solver = tx.core({"values": gap.mse}, optimizer=tx.optim.gauss_newton(), devices=devices, dtype="float64")
    values, slopes = solver.eval([gap, gap.d(left)])
    module, rows = solver.module(net), ring.point_set("left").coordinates

    def by_hand(x, t):
        return (module(jax.numpy.array([x, t])) - module(jax.numpy.array([x + 2, t])))[0]

    np.testing.assert_allclose(values, [by_hand(*row) for row in rows], atol=1e-13)
    np.testing.assert_allclose(slopes, [jax.grad(by_hand)(*row) for row in rows], atol=1e-13)


@pytest.mark.slow
def test_two_materials():
    """-(k u')' = 0, k = 1 and 3, u(0) = 0, u(2) = 1: slopes 3/4 and 1/4, u = 3/4 at the seam."""
    sides = [tx.domain.line(float(a), a + 1.0, n=20) for a in (0, 1)]
    nets = [tx.nn.mlp(1, width=6, key=a) for a in (0, 1)]
    terms = {}
    for name, side, net in zip(("first", "second"), sides, nets, strict=True):
        x, _ = side.variable("interior")
        terms[name] = net(x).d2(x).mse
    (start, _), (seam, _), (end, _) = sides[0].variable("left"), sides[0].variable("right"), sides[1].variable("right")
    terms["ends"] = nets[0](start).mse + (nets[1](end) - 1).mse
    terms["same"] = (nets[0](seam) - nets[1](seam)).mse
    terms["balance"] = (nets[0](seam).d(seam) - 3 * nets[1](seam).d(seam)).mse
    solver = solved(terms, 40)
    x, _ = sides[1].variable("interior")
    at = np.linspace(1, 2, 5)
    actual = solver.eval(nets[1](x), points={"interior": at})
    np.testing.assert_allclose(actual, 3 / 4 + (at - 1) / 4, atol=1e-5)


@pytest.mark.slow
def test_an_integral_inside_the_equation():
    """u(x) = x + ½ ∫ u over (0, 1): u = x + ½, the mean of Sobol points being that of these."""
    x, _ = tx.domain.line(n=128).variable("interior")
    u = tx.nn.mlp(1, width=6)(x)
    terms = {"equation": (u - x - u.integral / 2).mse}
    solver = tx.core(terms, optimizer=optax.lbfgs(), devices=2, dtype="float64").solve(500, progress=False)
    mean = solver.eval(x.mean)
    np.testing.assert_allclose(solver.eval(u), solver.eval(x) + mean, atol=1e-4)
    assert mean == pytest.approx(0.5, abs=1e-2)


@pytest.mark.slow
def test_time_slabs():
    """u_t = u_xx/10 from sin(πx) in two slabs, continuous where they meet."""

    def start(x):
        return tx.np.sin(π * x)

    ends = []
    for t0 in (0.0, 0.5):
        x, t = tx.domain.line(n=120).over_time(t0, t0 + 0.5).variable("interior")
        net = tx.nn.mlp(2, width=8, depth=2, key=0)

        def field(net, x, t, start=start, t0=t0):
            return start(x) + (t - t0) * x * (1 - x) * net(x, t)

        u = field(net, x, t)
        solver = solved({"pde": (u.d(t) - u.d2(x) / 10).mse}, 30)
        done = tx.nn.wrap(solver.module(net)).freeze()

        def start(x, field=field, done=done, end=t0 + 0.5):
            return field(done, x, 0 * x + end)

        at = np.stack([np.linspace(0, 1, 9), np.full(9, t0)], axis=1)
        later = at + np.array([0, 0.5])
        ends.append([solver.eval(u, points={"interior": rows}) for rows in (at, later)])
    np.testing.assert_array_equal(ends[0][1], ends[1][0])
    np.testing.assert_allclose(ends[1][1], np.exp(-(π**2) / 10) * np.sin(π * at[:, 0]), atol=1e-5)
