"""Measurements: points and values that a user gives, from arrays and files, against NumPy."""

import numpy as np
import optax
import pytest

import tangrax as tx

PLACES = np.random.default_rng(1).uniform(0.05, 0.95, (17, 2))
VALUES = np.cos(PLACES[:, 0]) * PLACES[:, 1]


def square():
    return tx.domain.rect(n=30)


def measured():
    domain = square()
    return *domain.points("sensors", PLACES)[:2], domain.values("sensors", VALUES)


def test_values_stand_beside_their_points(devices):
    x, y, u = measured()
    solver = tx.core([(tx.nn.parameter(0.0) * x).mse], optimizer=optax.sgd(0.1), devices=devices, dtype="float64")
    actual, misfit, mean, group = solver.eval([u, x * y - u, (u**2).mean, (x + u)[y > 0.5]])
    np.testing.assert_array_equal(actual, VALUES)
    np.testing.assert_allclose(misfit, PLACES.prod(axis=1) - VALUES, atol=1e-15)
    np.testing.assert_allclose(mean, np.mean(VALUES**2), rtol=1e-14)
    chosen = PLACES[:, 1] > 0.5
    np.testing.assert_allclose(group, PLACES[chosen, 0] + VALUES[chosen], rtol=1e-15)


def test_derivatives_leave_them_alone():
    x, _, u = measured()
    solver = tx.core([(tx.nn.parameter(0.0) * x).mse], optimizer=optax.sgd(0.1), dtype="float64")
    np.testing.assert_array_equal(solver.eval((u * x**2).d(x)), 2 * PLACES[:, 0] * VALUES)


def test_a_line_through_measurements(devices):
    """Gauss-Newton on a linear model ends at what numpy.linalg.lstsq finds."""
    x, y, u = measured()
    a, b, c = (tx.nn.parameter(start, name=name) for name, start in (("a", 0.1), ("b", 0.2), ("c", 0.3)))
    optimizer = tx.optim.gauss_newton()
    solver = tx.core([(a * x + b * y + c - u).mse], optimizer=optimizer, devices=devices, dtype="float64")
    solver.solve(8, progress=False)
    expected, *_ = np.linalg.lstsq(np.column_stack([PLACES, np.ones(17)]), VALUES, rcond=None)
    np.testing.assert_allclose(solver.eval([a, b, c]), expected, atol=1e-12)


def test_weights_of_points_beside_measurements():
    """Both are columns beside the coordinates, whichever came first."""
    x, y, u = measured()
    a = tx.nn.parameter(0.5, name="a")
    how = {"optimizer": optax.sgd(0.0), "dtype": "float64", "balance": tx.optim.self_adaptive(rate=0.005, every=1)}
    solver = tx.core({"fit": (a * x - u).mse}, **how)
    # Adam's first step takes each weight from 1 to 1 + rate.
    start = np.mean((0.5 * PLACES[:, 0] - VALUES) ** 2)
    solver.solve(1, progress=False)
    np.testing.assert_allclose(solver.history["loss"][0], start * 1.005**2, rtol=1e-9)
    later = x.points.add("later", PLACES[:, 1])
    assert later == 4
    np.testing.assert_array_equal(solver.eval(y + u), PLACES[:, 1] + VALUES)


def test_columns_of_a_file(tmp_path):
    table, archive = tmp_path / "sensors.csv", tmp_path / "sensors.npz"
    np.savetxt(table, np.column_stack([VALUES, PLACES]), delimiter=",", header="u, x, y", comments="", fmt="%.17g")
    np.savez(archive, x=PLACES[:, 0], y=PLACES[:, 1], u=VALUES)
    for path in (table, str(archive)):
        domain = square()
        x, y, _ = domain.points("sensors", path)
        u = domain.values("sensors", "u")
        solver = tx.core([(tx.nn.parameter(0.0) * x).mse], optimizer=optax.sgd(0.1), dtype="float64")
        for actual, expected in zip(solver.eval([x, y, u]), [*PLACES.T, VALUES], strict=True):
            np.testing.assert_array_equal(actual, expected)
        assert str(x * u) == "(x * u)"


def test_points_over_time():
    domain = tx.domain.line(n=8).over_time(0.0, 2.0)
    x, t = domain.points("probe", [[0.5, 0.0], [0.5, 2.0]])
    assert x.points.axes == ("x", "t") and len(t.points) == 2
    with pytest.raises(ValueError, match=r"1 of 2 points lie outside .* the first in row 1, \(0\.5, 2\.1\)"):
        domain.points("late", [[0.5, 0.0], [0.5, 2.1]])


@pytest.mark.parametrize(
    "tag, points, says",
    [
        ("left", PLACES, r"has a tag 'left' already"),
        ("sensors", [[0.5, 0.5], [1.2, 0.5]], r"1 of 2 points lie outside rect.*, the first in row 1, \(1\.2, 0\.5\)"),
        ("sensors", PLACES[:, 0], r"points for 'sensors' have shape \(17,\): .* with the columns \(x, y\)"),
        ("sensors", np.full((2, 2), np.nan), "hold a number that is not finite"),
        ("sensors", np.zeros((0, 2)), "at least one"),
    ],
)
def test_points_that_do_not_fit(tag, points, says):
    with pytest.raises(ValueError, match=says):
        square().points(tag, points)


@pytest.mark.parametrize(
    "text, says",
    [
        ("a,b\n1,2\n", "no column x, y among a, b"),
        ("x,y\n1,two\n", "holds numbers below"),
        ("x,y\n", "begins with a line of names"),
        ("", "begins with a line of names"),
        ("x,y,\n1,2,3\n", "its first line names the columns"),
        ("x,y\n1,2,3\n", "2 names stand above 3 columns"),
    ],
)
def test_files_that_do_not_fit(text, says, tmp_path):
    path = tmp_path / "sensors.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        square().points("sensors", path)


@pytest.mark.parametrize(
    "text",
    [
        "x,y,u,note\n0.25,0.5,1,first\n0.75,0.5,-2e-1,\n",  # a column of text, with an empty cell
        'x,y,u\n"0.25","0.5","1"\n"0.75","0.5","-0.2"\n',
        'x;y;u;"where, if known"\r\n0.25;0.5;1;a\r\n0.75;0.5;-.2;"b;c"\r\n',
        "# of 3 May\nx,y,u\n# warm\n0.25,0.5,1  # the first\n\n0.75,0.5,-0.2\n",
        ",x,y,u\n0,0.25,0.5,1\n1,0.75,0.5,-0.2\n",
        "x,y,u,\n0.25,0.5,1,\n0.75,0.5,-0.2,\n",
        "x,y,u\n0.25,0.5,1,\n0.75,0.5,-0.2,\n",
        "\ufeffx\ty\tu\tu2\tu2\n0.25\t0.5\t1\t\t\n0.75\t0.5\t-0.2\t\t\n",  # two columns of one name
        "# x y u\n 0.25  0.5 1\n 0.75  0.5 -0.2\n",
    ],
)
def test_tables_as_other_programs_write_them(text, tmp_path):
    path = tmp_path / "sensors.csv"
    path.write_bytes(text.encode())
    domain = square()
    x, _, _ = domain.points("sensors", path)
    u = domain.values("sensors", "u")
    np.testing.assert_array_equal(x.points.coordinates, [[0.25, 0.5, 0], [0.75, 0.5, 0]])
    np.testing.assert_array_equal(x.points.rows[:][:, 3], [1, -0.2])
    assert str(u) == "u"


def test_a_file_with_other_letters_is_read(tmp_path):
    """Of a degree sign in Latin-1 nothing is asked."""
    path = tmp_path / "sensors.csv"
    path.write_bytes("x,y,T in °C\n0.25,0.5,20\n".encode("latin-1"))
    x, _, _ = square().points("sensors", path)
    np.testing.assert_array_equal(x.points.coordinates, [[0.25, 0.5, 0]])


@pytest.mark.parametrize(
    "text, says",
    [
        ("# hm\nx,y,u,v\n0.25,0.5,1,1\n\n0.75,0.5,nan,1\n", "line 5 holds 'nan' in column 'u'"),
        ("x,y,u\n0.25,0.5,\n", "line 2 has no 'u'"),
        ("x,y,u\n0.25,0.5\n", "line 2 has no 'u'"),
        ("x;y;u\n0.25;0.5;1\n0.25;0.5;1,5\n", "line 3 holds '1,5' in column 'u'"),
        ("x,y,u\n0.25,0.5,1_0\n", "line 2 holds '1_0' in column 'u'"),
        ("x,y,u,u\n0.25,0.5,1,2\n", "2 columns are named 'u'"),
        (
            "x,y\n0.25,0.5\n0.25,1.5\n",
            r"1 of 2 points lie outside .* the first in line 3 of .*sensors\.csv, \(0\.25, 1\.5\)",
        ),
        ("0.25,0.5,1\n", "line 1 is the first, and holds numbers and no names"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_by_line_and_column(text, says, tmp_path):
    path = tmp_path / "sensors.csv"
    path.write_text(text)
    domain = square()
    with pytest.raises(ValueError, match=says):
        domain.points("sensors", path)
        domain.values("sensors", "u")


def test_an_archive_with_other_things_in_it(tmp_path):
    path = tmp_path / "sensors.npz"
    x, y = PLACES.T
    np.savez(path, x=x, y=y, u=VALUES, unit=np.array("K"), pair=np.zeros((2, 2)), who=np.array([{}], dtype=object))
    domain = square()
    domain.points("sensors", path)
    np.testing.assert_array_equal(domain.values("sensors", "u").points.rows[:][:, 3], VALUES)
    for name, says in (("unit", r"'unit' holds <U1 of shape \(\)"), ("who", "'who': Object arrays")):
        with pytest.raises(ValueError, match=says):
            domain.values("sensors", name)


def masked(values, *place):
    """With -999 beneath the mask of one entry."""
    actual = np.ma.array(values, dtype=float, copy=True)
    actual[place] = -999
    actual[place] = np.ma.masked
    return actual


def test_masked_arrays_are_refused_and_those_without_a_masked_entry_pass(devices):
    domain = square()
    x, y, _ = domain.points("sensors", np.ma.array(PLACES))
    u = domain.values("sensors", np.ma.masked_equal(VALUES, -999))
    net = tx.nn.parameter(np.ma.array(0.5))
    solver = tx.core([(net * x).mse], optimizer=optax.sgd(0.1), devices=devices, dtype="float64")
    np.testing.assert_array_equal(solver.eval(u), VALUES)
    J, places = (net * x).grad(net), PLACES[:3]
    line, params = lambda p, point: p * point[0], np.array(0.5)
    rows = solver.eval(J, sharded=True)
    held = masked(np.ones(17), 3)
    for refused, what in (
        (lambda: domain.values("sensors", held), "values for 'sensors': entry 3 is masked"),
        (lambda: domain.values("sensors", [*VALUES[:16], np.ma.masked]), "values for 'sensors': entry 16 is masked"),
        (lambda: domain.points("more", masked(PLACES, 2, 1)), "points for 'more': entry 2, 1 is masked"),
        (lambda: domain.points("more", [masked(PLACES[0], 1), PLACES[1]]), "points for 'more': entry 0, 1 is masked"),
        (lambda: tx.domain.cloud({"a": masked(PLACES, 0, 0)}), "points for 'a': entry 0, 0 is masked"),
        (lambda: tx.domain.cloud({"a": PLACES}, {"a": masked(PLACES, 1, 0)}), "entry 1, 0 is masked"),
        (lambda: solver.eval(x, points={"sensors": masked(places, 0, 1)}), "points for 'sensors': entry 0, 1"),
        (lambda: (x * np.ones(2)) * masked([1.0, 2.0], 1), "an array in an expression: entry 1 is masked"),
        (lambda: x * np.ma.masked, "an array in an expression: the value is masked"),
        (lambda: tx.np.where(x > 0.5, y, masked([1.0, 2.0], 0)), "an array in an expression: entry 0 is masked"),
        (lambda: J.T @ held, "array: entry 3 is masked"),
        (lambda: rows.T @ held, "array: entry 3 is masked"),
        (lambda: rows @ masked([1.0], 0), "array: entry 0 is masked"),
        (lambda: tx.nn.parameter(masked([1.0, 2.0], 1)), "entry 1 is masked"),
        (lambda: tx.domain.rect().translate(masked([1.0, 2.0], 1)), r"translate\(offset=…\): entry 1 is masked"),
        (lambda: tx.domain.mesh((masked([(0, 0), (1, 0), (0, 1)], 1, 1), [(0, 1, 2)])), "entry 1, 1 is masked"),
        (lambda: tx.jacobian.rows(line, params, masked(places, 1, 0)), "points: entry 1, 0 is masked"),
        (
            lambda: tx.jacobian.means(line, params, places, [np.ma.array([True] * 3, mask=[0, 0, 1])]),
            "group 0: entry 2",
        ),
        (lambda: tx.jacobian.products(line, params, places).T @ masked(np.ones(3), 1), "entry 1 is masked"),
    ):
        with pytest.raises(ValueError, match=what):
            refused()


def test_complex_numbers_and_dates_are_refused():
    """NumPy would drop the imaginary part, and count nanoseconds."""
    domain = square()
    domain.points("sensors", PLACES)
    with pytest.raises(TypeError, match=r"values for 'sensors': complex numbers \(complex128\)"):
        domain.values("sensors", VALUES * 1j)
    with pytest.raises(TypeError, match=r"values for 'sensors' holds datetime64\[ns\], times with a unit"):
        domain.values("sensors", np.full(17, np.datetime64("2026-01-01", "ns")))


def test_an_archive_of_objects_is_not_read(tmp_path):
    path = tmp_path / "sensors.npz"
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="holds one array of numbers for each name"):
        square().points("sensors", path)


def test_values_that_do_not_fit():
    domain = square()
    domain.points("sensors", PLACES)
    with pytest.raises(ValueError, match=r"values for 'sensors' has shape \(3,\): give \(17,\)"):
        domain.values("sensors", [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="holds nan in row 0: leave out points without a value"):
        domain.values("sensors", np.full(17, np.nan))
    with pytest.raises(ValueError, match="'sensors' was not read from a file"):
        domain.values("sensors", "u")
    with pytest.raises(ValueError, match=r"unknown tag 'sensor'.* has interior, .*, sensors"):
        domain.values("sensor", VALUES)
    with pytest.raises(ValueError, match="have points without a time"):
        domain.over_time(0.0, 1.0)


def test_values_say_nothing_of_other_points():
    x, _, u = measured()
    solver = tx.core([(tx.nn.parameter(0.0) * x - u).mse], optimizer=optax.sgd(0.1), dtype="float64")
    with pytest.raises(ValueError, match="was measured at the points of 'sensors': of other points it says nothing"):
        solver.eval(x - u, points={"sensors": PLACES[:3]})
    with pytest.raises(ValueError, match=r"no other points can be drawn|an entry for each"):
        (x - u).held_out(10)
    np.testing.assert_array_equal(solver.eval(x, points={"sensors": PLACES[:3]}), PLACES[:3, 0])


def test_measured_points_do_not_move():
    domain = square()
    x, _, _ = domain.variable("interior")
    u = domain.values("interior", np.arange(30.0))
    field = tx.nn.parameter(0.0) * x - u
    with pytest.raises(ValueError, match="move, and a term, tracker or residual holds values"):
        tx.core([field.mse], optimizer=optax.sgd(0.1), resample=tx.optim.uniform(x, every=2))
