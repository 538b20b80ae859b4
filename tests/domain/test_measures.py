"""Lengths, areas, volumes, and integrals over them: against closed forms, shapely and trimesh."""

import numpy as np
import optax
import pytest
import shapely
from scipy import integrate

import tangrax as tx

π = np.pi
NOTCHED = [(0.0, 0.0), (3.0, 0.0), (3.0, 2.0), (1.0, 1.0)]


def solver_of(x, devices=1):
    return tx.core({"term": (tx.nn.parameter(1.0) * x).mse}, optimizer=optax.sgd(0.1), devices=devices, dtype="float64")


def known():
    """Shapes with their volume and the lengths or areas of some sides, None being all of the boundary."""
    polygon = shapely.Polygon(NOTCHED)
    edges = [np.hypot(*np.subtract(a, b)) for a, b in zip(NOTCHED, NOTCHED[1:] + NOTCHED[:1], strict=True)]
    quarter = integrate.quad(lambda t: np.hypot(2 * np.sin(t), np.cos(t)), 0, π / 2)[0]
    named = tx.domain.polygon(NOTCHED, ["a", "b", "a", None])
    return {
        "line": (tx.domain.line(1.0, 4.0), 3.0, {None: 2.0, "left": 1.0}),
        "rect": (tx.domain.rect((0.0, 1.0), (2.0, 4.0)), 6.0, {None: 10.0, "left": 3.0, "top": 2.0}),
        "box": (tx.domain.box((0.0,) * 3, (1.0, 2.0, 3.0)), 6.0, {None: 22.0, "x_min": 6.0, "z_max": 2.0}),
        "disk": (tx.domain.disk((1.0, 1.0), 2.0).named("rim"), 4 * π, {None: 4 * π, "rim": 4 * π}),
        "ball": (tx.domain.ball((1.0, 1.0, 0.0), 2.0), 32 / 3 * π, {None: 16 * π}),
        "ellipse": (tx.domain.ellipse((0.0, 0.0), (2.0, 1.0)), 2 * π, {None: 4 * quarter}),
        "polygon": (named, polygon.area, {None: polygon.length, "a": edges[0] + edges[2], "b": edges[1]}),
        "wedge": (
            tx.domain.extrusion(named, 0.0, 2.0),
            2 * polygon.area,
            {None: 2 * polygon.length + 2 * polygon.area, "b": 2 * edges[1], "z_max": polygon.area},
        ),
        "moved": (
            tx.domain.rect((0.0, 0.0), (2.0, 3.0)).scale(2.0).rotate(0.3),
            24.0,
            {None: 20.0, "left": 6.0},
        ),
    }


@pytest.mark.parametrize("name", known())
def test_exact_measures(name):
    domain, volume, areas = known()[name]
    assert domain.measure("interior") == pytest.approx(volume, rel=1e-9)
    over_time = domain.sample(n=10).over_time(1.0, 3.0)
    assert over_time.measure("interior") == pytest.approx(2 * volume, rel=1e-9)
    assert over_time.measure("initial") == over_time.measure("final") == pytest.approx(volume, rel=1e-9)
    for side, area in areas.items():
        assert domain.measure(side or "boundary") == pytest.approx(area, rel=1e-9)
        assert over_time.measure(side or "boundary") == pytest.approx(2 * area, rel=1e-9)


def test_measures_of_shapes_made_of_others():
    """Against shapely, whose circles are polygons of 4 · 2,000 corners."""
    disk = shapely.Point(0.9, 0.5).buffer(0.3, 2000)
    square, rect = shapely.box(0, 0, 1, 1), tx.domain.rect()
    hole = tx.domain.disk((0.9, 0.5), 0.3).named("rim")
    for ours, theirs in (
        (rect - hole, square - disk),
        (rect | hole, square | disk),
        (rect & hole, square & disk),
    ):
        assert ours.measure("interior") == pytest.approx(theirs.area, abs=3e-4)
        assert ours.measure("boundary") == pytest.approx(theirs.length, abs=3e-3)
        rim = theirs.boundary.intersection(disk.boundary.buffer(1e-6)).length
        assert ours.measure("rim") == pytest.approx(rim, abs=3e-3)


@pytest.mark.parametrize("devices", [1, 3])
def test_integrals(devices):
    """Of x² t + 1 over a ring and over time, of half of the ring, and the flux of (x, y) through its edges."""
    domain = tx.domain.annulus((0.0, 0.0), 1.0, 2.0, n=4096, boundary=4096).over_time(0.0, 2.0)
    x, _, t = domain.variable("interior")
    xb, yb, _ = domain.variable("boundary")
    normal_x, normal_y = domain.normal("boundary")
    solver = solver_of(x, devices)
    value = x**2 * t + 1
    actual, error, half, half_error = solver.eval(
        [value.integral, value.integral_error, value[x > 0].integral, value[x > 0].integral_error]
    )
    # ∫ x² over the ring is π (2⁴ - 1⁴) / 4, ∫ t over (0, 2) is 2.
    wanted = π * 15 / 4 * 2 + 3 * π * 2
    assert actual == pytest.approx(wanted, rel=2e-3) and abs(actual - wanted) < 3 * error
    assert half == pytest.approx(wanted / 2, rel=5e-3)
    rows = solver.eval(value)
    inside = np.where(solver.eval(x) > 0, rows, 0)
    measure = domain.measure("interior")
    assert error == pytest.approx(measure * rows.std() / 64) and half_error == pytest.approx(
        measure * inside.std() / 64
    )
    flux = (xb * normal_x + yb * normal_y).integral
    assert solver.eval(flux) == pytest.approx(2 * 3 * π * 2, rel=1e-2)
    assert solver.eval((x * 0 + 1).held_out(64).integral) == pytest.approx(6 * π, rel=1e-3)


def test_monte_carlo_is_off_by_what_is_said():
    """Of 200 integrals over independent points, the spread is the error that each one tells."""
    errors, estimates = [], []
    x, *_ = tx.domain.rect(n=64, sampler="uniform").variable("interior")
    solver = solver_of(x)
    random = np.random.default_rng(0)
    for _ in range(200):
        at = {"interior": random.random((64, 2))}
        value, error = solver.eval([(x**2).integral, (x**2).integral_error], points=at)
        errors.append(value - 1 / 3)
        estimates.append(error)
    assert np.std(errors) == pytest.approx(np.mean(estimates), rel=0.2)


def test_an_integral_as_a_condition():
    """k from ∫ k x² = 2 over (0, 3), and from the values of k at both ends, which is their sum."""
    line = tx.domain.line(0.0, 3.0, n=1024)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    k = tx.nn.parameter(1.0)
    terms = {"whole": ((k * x**2).integral - 2) ** 2, "ends": 0 * (k * ends).integral}
    solver = tx.core(terms, optimizer=optax.adam(0.02), devices=2, dtype="float64").solve(400, progress=False)
    assert solver.eval((k * x**2).integral) == pytest.approx(2.0, rel=1e-6)
    assert solver.eval((0 * ends + 1).integral) == 2.0


def test_refused():
    grid = tx.domain.rect(mesh_size=0.2)
    x, y, _ = grid.variable("interior")
    with pytest.raises(ValueError, match=r"not spread evenly over a set.*take a field's .held_out"):
        _ = x.integral
    assert solver_of(x).eval(x.held_out(1024).integral) == pytest.approx(0.5, rel=1e-3)
    at, *_ = grid.points("sensors", np.array([[0.5, 0.5]]))
    with pytest.raises(ValueError, match=r"points of 'sensors'.*points that were given have none"):
        _ = at.integral
    with pytest.raises(TypeError, match="only a field has an integral"):
        _ = x.mean.integral
    pair = tx.nn.mlp(2, 2, width=4)(x, y)
    with pytest.raises(TypeError, match="integrate a component"):
        _ = pair.integral_error
    with pytest.raises(ValueError, match=r"measure\('sensors'\).*interior, boundary"):
        grid.measure("sensors")
