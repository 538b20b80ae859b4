"""K by factors on shards against J Jᵀ from rows, and what it takes in memory."""

import jax
import numpy as np
import optax
import pytest
from marks import slow_but
from programs import kernel_program

import tangrax as tx
from tangrax.jacobian import sharded_jacobian

DOMAIN = tx.domain.rect(n=13, boundary=7)


@pytest.fixture(params=slow_but([False, True], False), ids=["as it pays", "all factors"])
def price(request, monkeypatch):
    """Small networks keep rows; where the speed of the device is not known they too go by factors."""
    if request.param:
        monkeypatch.setattr(sharded_jacobian, "rates", lambda transport, dtype: None)


def problem(outputs=1):
    x, y, _ = DOMAIN.variable("interior")
    xb, yb, _ = DOMAIN.variable("boundary")
    net = tx.nn.mlp(2, outputs=outputs, width=6, depth=2, key=0)
    u = net(x, y)
    return (x, y), net, u, net(xb, yb)


def solver_of(term, devices, **more):
    return tx.core([term], optimizer=optax.adam(1e-3), devices=devices, dtype="float64", **more)


def agree(actual, expected):
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_values_residuals_and_blocks(devices, price):
    """K_uu, K_rr, K_ub between tags, and a group's."""
    (x, y), net, u, ub = problem()
    pde = u.laplacian(x, y) + u * u.d(x) - x
    J, R, B = u.grad(net), pde.grad(net), ub.grad(net)
    solver = solver_of(u.mse, devices)
    uu, rr, ub_block, bu, group, mixed = solver.eval(
        [J.gram(), R.gram(), J.gram(B), B.gram(J), J[x < 0.4].gram(), J[x < 0.4].gram(R)]
    )
    j, r, b, some = solver.eval([J, R, B, x < 0.4])
    agree(uu, j @ j.T)
    agree(rr, r @ r.T)
    agree(ub_block, j @ b.T)
    agree(bu, b @ j.T)
    agree(group, j[some] @ j[some].T)
    agree(mixed, j[some] @ r.T)
    np.testing.assert_array_equal(np.linalg.matrix_rank(uu), np.linalg.matrix_rank(j))


def test_components_masks_and_new_points(devices, price):
    (_, _), net, u, _ = problem(outputs=2)
    solver = solver_of(u.mse, devices)
    rows = solver.eval(u.grad(net)).reshape(26, -1)
    agree(solver.eval(u.grad(net).gram()), rows @ rows.T)
    masked = u[0].grad(net.mask(jax.tree.map(lambda leaf: leaf.ndim == 2, net.params)))
    rows = solver.eval(masked)
    agree(solver.eval(masked.gram()), rows @ rows.T)
    new = {"interior": np.random.default_rng(0).random((5, 2))}
    rows = solver.eval(masked, points=new)
    agree(solver.eval(masked.gram(), points=new), rows @ rows.T)


def test_several_networks_and_numbers(devices, price):
    (x, y), net, u, _ = problem()
    other, k = tx.nn.mlp(2, width=4, depth=1, key=1), tx.nn.parameter(0.3, name="k")
    field = u.d(x) * other(x, y) + k * u
    J = field.grad(net, other, k)
    solver = solver_of(field.mse, devices)
    rows = solver.eval(J)
    agree(solver.eval(J.gram()), rows @ rows.T)


def test_fields_that_hold_values_of_all_points(devices):
    """Their Jacobian is not one point's alone: K comes from rows."""
    _, net, u, ub = problem()
    J, B = (u - u.mean).grad(net), ub.grad(net)
    solver = solver_of(u.mse, devices)
    j, b = solver.eval([J, B])
    agree(solver.eval(J.gram()), j @ j.T)
    agree(solver.eval(J.gram(B)), j @ b.T)


def test_rows_of_k_stay_on_their_devices(devices):
    _, net, u, _ = problem()
    solver = solver_of(u.mse, devices)
    K = solver.eval(u.grad(net).gram(), sharded=True)
    rows = solver.eval(u.grad(net))
    assert K.shape == (13, 13)
    agree(np.asarray(K), rows @ rows.T)
    v = np.linspace(-1, 1, 13)
    agree((K @ v).gather(), rows @ (rows.T @ v))


def test_memory_of_factors():
    """Wide networks: the temporaries of the whole kernel are less than the rows of J alone would be."""
    x, y, _ = tx.domain.rect(n=600).variable("interior")
    net = tx.nn.mlp(2, width=128, depth=3, key=0)
    u = net(x, y)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=1, dtype="float32")
    K = solver.eval(u.grad(net).gram())
    compiled = kernel_program(solver, u.grad(net))
    rows = 600 * sum(np.size(leaf) for leaf in jax.tree.leaves(net.params)) * 4
    assert compiled.memory_analysis().temp_size_in_bytes < rows / 5
    some = solver.eval(u.grad(net), points={"interior": DOMAIN.point_set("interior").coordinates[:, :2]})
    again = solver.eval(u.grad(net).gram(), points={"interior": DOMAIN.point_set("interior").coordinates[:, :2]})
    np.testing.assert_allclose(again, some @ some.T, rtol=1e-4)
    assert K.shape == (600, 600) and np.all(np.diag(K) > 0)


def test_refusals():
    (x, _), net, u, ub = problem()
    other = tx.nn.mlp(2, width=3, key=1)
    solver = solver_of(u.mse, 1)
    with pytest.raises(TypeError, match="only a Jacobian has one"):
        u.gram()
    with pytest.raises(TypeError, match="only a Jacobian has one"):
        u.grad(net).gram(ub)
    with pytest.raises(ValueError, match="by the same parameters"):
        u.grad(net).gram((u * other(x, x)).grad(other))
    with pytest.raises(ValueError, match=r"is an array of \(13, 13\), .* sharded=True"):
        solver.eval(u.grad(net).gram(), limit=1000)
    # A plan says so, and what each way would take all the same.
    plan = solver.plan(u.grad(net).gram(), limit=1000)
    assert plan.chosen is None and ", not held" in str(plan)
    assert str(plan).endswith("or fewer points") and "sharded=True" in plan._repr_html_()
    assert solver.plan(u.grad(net).gram(), limit=13 * 13 * 8).chosen is not None
    with pytest.raises(ValueError, match="evaluate it without sharded=True"):
        solver.eval((u - u.mean).grad(net)[x < 0.5].gram(), sharded=True)
    with pytest.raises(ValueError, match="'typo'"):
        solver.eval(u.grad(net).gram(), points={"typo": np.zeros((2, 2))})
