"""Points that single precision cannot tell apart are refused; what is merged is counted by NumPy's cast."""

import jax
import numpy as np
import optax
import pytest

import tangrax as tx

LOWER = np.array([500_000.0, 5_400_000.0])
rect, line = tx.domain.rect, tx.domain.line


def core(field, devices=1, dtype="float32", **more):
    net = tx.nn.parameter(1.0)
    return tx.core([(net * field).mse], optimizer=optax.sgd(0.1), devices=devices, dtype=dtype, **more)


def field(domain, tag="interior", axis=0):
    return domain.variable(tag)[axis]


def survey(**points):
    """Ten metres square, in metres east and north as maps have them."""
    return rect(LOWER, LOWER + 10, **points)


def test_a_square_far_from_the_origin(devices):
    rows = survey(n=200).point_set("interior").coordinates
    assert len(np.unique(rows[:, 1])) == 200 and len(np.unique(rows[:, 1].astype(np.float32))) < 25
    says = r"points of 'interior' of rect.*: near x = 5000\d\d.* numbers of float32 are 0.0312 apart, 0.0031 of the 10 "
    with pytest.raises(ValueError, match=says + r'.*tx.setup\(dtype="float64"\).*translate'):
        core(field(survey(n=200)), devices)
    core(field(survey(n=200)), devices, "float64")
    core(field(rect((0.0, 0.0), (10.0, 10.0), n=200)), devices)


@pytest.mark.parametrize(
    "made, axis",
    [
        (lambda: field(survey(mesh_size=1.0)), "x"),
        (lambda: field(survey(n=20, boundary=20), "left"), "x"),
        (lambda: field(rect((0.0, 5.4e6), (1e5, 5.4e6 + 10), n=20)), "y"),
        (lambda: field(line(n=64).over_time(1.7e9, 1.7e9 + 600)), "t"),
        (lambda: field(line(n=64).over_time(1.7e9, 1.7e9 + 600), "initial"), "t"),
        (lambda: survey().points("sensors", LOWER + np.eye(2))[0], "x"),
        (lambda: field(tx.domain.cloud({"scan": LOWER + np.random.default_rng(0).random((9, 2))}), "scan"), "x"),
        (lambda: field(tx.domain.polygon(LOWER + 10 * np.eye(3)[:, :2], n=20)), "x"),
        (lambda: field(rect().translate(LOWER).sample(n=20)), "x"),
    ],
)
def test_whatever_the_points_come_from(made, axis):
    with pytest.raises(ValueError, match=f"near {axis} = .* are .* apart"):
        core(made())


def test_points_that_come_later(devices):
    near = field(rect(n=20))
    solver = core(near, devices)
    far = LOWER + np.random.default_rng(0).random((5, 2))
    with pytest.raises(ValueError, match=r"near x = 50000.* apart"):
        solver.eval(near, points={"interior": far})
    with pytest.raises(ValueError, match=r"near y = 540000.* apart"):
        solver.eval(near, points={"interior": [[0.5, 5.4e6]]})
    with pytest.raises(ValueError, match=r"near x = 5000.* apart"):
        solver.eval(field(survey(n=20)).held_out(30))


def test_points_of_plain_functions():
    far = LOWER + np.random.default_rng(0).random((5, 2))
    function, params = (lambda p, x: p * x[0]), np.ones((), np.float32)
    with pytest.raises(ValueError, match=r"near x0 = 50000.* numbers of float32 are 0.0312 apart"):
        tx.jacobian.rows(function, params, far)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(tx.jacobian.rows(function, np.ones(()), far)[:, 0], far[:, 0])


def test_what_single_precision_holds_is_no_matter(devices):
    """Great and small domains, sides, sensors close together, a closer look, and edges constant but for rounding."""
    domain = rect((0.0, 0.0), (1e6, 1e-6), n=20, boundary=20)
    core(field(domain), devices)
    core(field(domain, "bottom", 1), devices)
    core(field(rect(LOWER, LOWER + 10_000, n=20)), devices)  # 0.5 m of 10 km
    core(field(line(n=20).over_time(2000.0, 2020.0), "final", 1), devices)
    edge = field(rect().rotate(0.3).sample(n=20, boundary=20), "left")
    solver = core(edge, devices)
    sensors = rect().points("sensors", 0.7 + 1e-7 * np.random.default_rng(0).random((5, 2)))[0]
    solver.eval([edge, sensors])
    near = field(rect(n=20))
    core(near, devices).eval(near, points={"interior": 1 - 1e-6 * np.random.default_rng(0).random((5, 2))})
    function, params = (lambda p, x: p * x[0]), np.ones((), np.float32)
    points = np.column_stack([np.linspace(0, 1, 7), np.full(7, 1e6)])  # a column that is the same at all points
    tx.jacobian.rows(function, params, points)
