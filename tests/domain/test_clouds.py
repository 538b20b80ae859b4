"""Clouds of points and their normals, against a disk that they were taken from."""

import numpy as np
import optax
import pytest

import tangrax as tx

RANDOM = np.random.default_rng(3)
ANGLES = RANDOM.uniform(0, 2 * np.pi, 40)
EDGE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
INSIDE = np.sqrt(RANDOM.uniform(0, 0.9, (60, 1))) * np.column_stack([np.cos(t := RANDOM.uniform(0, 7, 60)), np.sin(t)])


def scan():
    return tx.domain.cloud({"inside": INSIDE, "skin": EDGE}, normals={"skin": 3 * EDGE})


def evaluated(*fields, devices=1):
    solver = tx.core(
        [(tx.nn.parameter(0.0) * fields[0]).mse], optimizer=optax.sgd(0.1), devices=devices, dtype="float64"
    )
    return solver.eval(list(fields))


def test_points_and_unit_normals(devices):
    cloud = scan()
    x, y, _ = cloud.variable("skin")
    actual = evaluated(x, y, *cloud.normal("skin"), devices=devices)
    np.testing.assert_allclose(actual, [*EDGE.T, *EDGE.T], atol=1e-15)
    assert cloud.tags == ("inside", "skin")
    assert str(cloud) == "a cloud of 60 points 'inside', 40 points 'skin'"


def test_a_flux_condition_on_a_cloud(devices):
    """Δu = 0 with ∂u/∂n of x² - y² and u = 0 in mean: a quadratic model finds it from the points and normals."""
    cloud = scan()
    x, y, _ = cloud.variable("inside")
    xe, ye, _ = cloud.variable("skin")
    nx, ny = cloud.normal("skin")
    a, b, c = (tx.nn.parameter(start, name=name) for name, start in (("a", 0.3), ("b", 0.2), ("c", 0.1)))
    u = lambda x, y: a * x**2 + b * x * y + c * y**2
    inner, outer = u(x, y), u(xe, ye)
    flux = outer.d(xe) * nx + outer.d(ye) * ny - (2 * xe * nx - 2 * ye * ny)
    terms = [inner.laplacian(x, y).mse, flux.mse]
    solver = tx.core(terms, optimizer=tx.optim.gauss_newton(), devices=devices, dtype="float64")
    solver.solve(8, progress=False)
    np.testing.assert_allclose(solver.eval([a, b, c]), [1, 0, -1], atol=1e-12)


def test_files_with_normals_and_values(tmp_path):
    path = tmp_path / "skin.csv"
    rows = np.column_stack([EDGE, 2 * EDGE, ANGLES])
    np.savetxt(path, rows, delimiter=",", header="x,y,nx,ny,heat", comments="", fmt="%.17g")
    cloud = tx.domain.cloud({"skin": path})
    x, _, _ = cloud.variable("skin")
    actual = evaluated(x, *cloud.normal("skin"), cloud.values("skin", "heat"))
    np.testing.assert_allclose(actual, [EDGE[:, 0], *EDGE.T, ANGLES], atol=1e-15)


def test_clouds_on_a_line_and_over_time():
    x, _ = tx.domain.cloud({"rod": [0.1, 0.4, 0.9]}).variable("rod")
    np.testing.assert_array_equal(evaluated(x)[0], [0.1, 0.4, 0.9])
    over = tx.domain.cloud({"rod": [[0.1, 2.0], [0.4, 3.0]]}, over_time=True)
    x, t = over.variable("rod")
    np.testing.assert_array_equal(evaluated(x, t), [[0.1, 0.4], [2.0, 3.0]])
    assert not x.points.steady


def test_nothing_is_drawn_or_integrated():
    x, *_ = scan().variable("inside")
    with pytest.raises(ValueError, match="no other points can be drawn for 'inside'"):
        x.held_out(10)
    with pytest.raises(ValueError, match="points that were given have none"):
        _ = x.integral


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tx.domain.cloud({}), "give points for one tag or more"),
        (lambda: tx.domain.cloud({"a": EDGE, "b": [[1.0, 2.0, 3.0]]}), "'b' has 3 space axes and 'a' 2"),
        (lambda: tx.domain.cloud({"a": np.zeros((3, 4))}), "1 to 3"),
        (lambda: tx.domain.cloud({"a": np.zeros((3, 2, 2))}), "a row for each point"),
        (lambda: tx.domain.cloud({"a": [0.1, 0.2]}, over_time=True), "a last column for time"),
        (lambda: tx.domain.cloud({"a": [[np.inf, 1.0]]}), "not finite"),
        (lambda: tx.domain.cloud({"a": EDGE}, {"b": EDGE}), "unknown tag 'b'"),
        (lambda: tx.domain.cloud({"a": EDGE}, {"a": EDGE[:3]}), r"give \(40, 2\)"),
        (lambda: tx.domain.cloud({"a": EDGE}, {"a": 0 * EDGE}), "it has no direction"),
        (lambda: scan().normal("inside"), "has normals for skin"),
        (lambda: scan().variable("outside"), "unknown tag 'outside'"),
    ],
)
def test_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
