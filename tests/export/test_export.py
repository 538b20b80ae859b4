"""Exported functions, values and parameters, read by programs that know nothing of Tangrax."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import meshio
import numpy as np
import optax
import pytest
from launching import PATIENCE, TRANSPORTS, launched

import tangrax as tx

DOMAIN = tx.domain.rect(n=50, seed=4)
X, Y, _ = DOMAIN.variable("interior")
SPACE_TIME = tx.domain.line(n=30, seed=4).over_time(0.0, 2.0)
XT, T = SPACE_TIME.variable("interior")
GRID = np.random.default_rng(1).random((23, 2))

READER = """
import sys
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from jax import export
function = export.deserialize(open(sys.argv[1], "rb").read())
for count in (1, 5, 17):
    np.savez(f"{count}.npz", **function.call(np.load("points.npy")[:count]))
print(function.fun_name, function.nr_devices, *function.platforms, sep="|")
assert not any(name.split(".")[0] in ("tangrax", "equinox") for name in sys.modules)
"""


@functools.cache
def trained(devices=1, dtype="float64"):
    """A square's solver, with a factor that is trained too."""
    net = tx.nn.mlp(2, width=7, depth=2, key=1, name="net")
    scale = tx.nn.parameter(1.5, name="scale")
    u = scale * net(X, Y) * X * (1 - X)
    solver = tx.core(
        {"pde": (u.laplacian(X, Y) + 1).mse}, optimizer=optax.adam(1e-2), devices=devices, dtype=dtype
    ).solve(10, progress=False)
    return solver, u


def fields_of(u):
    return {"u": u, "slopes": tx.np.stack([u.d(X), u.d(Y)]), "bent": u.laplacian(X, Y), "left": X < 0.5}


@pytest.mark.processes
def test_a_function_where_there_is_only_jax(devices, tmp_path):
    solver, u = trained(devices)
    fields = fields_of(u)
    solver.export(tmp_path / "u.jax", fields)
    np.save(tmp_path / "points.npy", GRID)
    env = {**os.environ, "XLA_FLAGS": "", "PYTHONPATH": ""}
    command = [sys.executable, "-c", READER, "u.jax"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, cwd=tmp_path, env=env)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "u, slopes, bent, left of (x, y)|1|cpu|cuda|tpu"
    for count in (1, 5, 17):
        wanted = dict(zip(fields, solver.eval([*fields.values()], points={"interior": GRID[:count]}), strict=True))
        with np.load(tmp_path / f"{count}.npz") as actual:
            assert set(actual) == set(fields)
            for name, value in wanted.items():
                assert actual[name].dtype == value.dtype
                np.testing.assert_allclose(actual[name], value, rtol=1e-12, atol=1e-12)


def by_numpy(arrays, points):
    """The network of `trained` and what it is multiplied by, from the arrays of a file."""
    hidden = points
    for index in range(2):
        hidden = np.tanh(hidden @ arrays[f"net/layers/{index}/weight"].T + arrays[f"net/layers/{index}/bias"])
    out = hidden @ arrays["net/output_layer/weight"].T + arrays["net/output_layer/bias"]
    return arrays["scale"] * out[:, 0] * points[:, 0] * (1 - points[:, 0])


def test_parameters_by_name(devices, tmp_path):
    solver, u = trained(devices)
    solver.export(tmp_path / "parameters.npz")
    with np.load(tmp_path / "parameters.npz", allow_pickle=False) as arrays:
        assert len(arrays.files) == 7 and arrays["scale"].shape == ()
        value = by_numpy(arrays, GRID)
    np.testing.assert_allclose(value, solver.eval(u, points={"interior": GRID}), rtol=1e-12, atol=1e-14)
    # And the function agrees with them, by central differences too.
    solver.export(tmp_path / "u.jax", {"u": u, "ux": u.d(X)})
    actual = jax.export.deserialize((tmp_path / "u.jax").read_bytes()).call(GRID)
    np.testing.assert_allclose(actual["u"], value, rtol=1e-12, atol=1e-14)
    with np.load(tmp_path / "parameters.npz") as arrays:
        step = np.array([1e-5, 0])
        slope = (by_numpy(arrays, GRID + step) - by_numpy(arrays, GRID - step)) / 2e-5
    np.testing.assert_allclose(actual["ux"], slope, rtol=1e-6, atol=1e-9)


def test_a_steady_line_and_a_problem_over_time(tmp_path):
    """Columns are those that a user gives to eval: a time where there is one."""
    x, _ = tx.domain.line(n=8).variable("interior")
    line, plane = tx.nn.mlp(1, width=4, depth=1)(x), tx.nn.mlp(2, width=4, depth=1)(XT, T) * XT
    solver = tx.core([line.mse, plane.mse], optimizer=optax.adam(1e-2), dtype="float64", devices=1)
    for field, points in ((line, GRID[:, :1]), (plane.d(T), GRID)):
        solver.export(tmp_path / "f.jax", field.named("f"))
        function = jax.export.deserialize((tmp_path / "f.jax").read_bytes())
        assert function.fun_name == ("f of (x)" if field is line else "f of (x, t)")
        wanted = solver.eval(field, points={"interior": points})
        np.testing.assert_allclose(function.call(points), wanted, rtol=1e-12, atol=1e-14)


def read(path):
    """Coordinates in columns, and fields by name, as other programs read them."""
    if path.suffix == ".csv":
        names = path.read_text().split("\n", 1)[0].split(",")
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        assert names == ["x", "y", "u", "slopes[0]", "slopes[1]", "bent", "left"]
        actual = dict(zip(names, table.T, strict=True))
        slopes = np.stack([actual.pop("slopes[0]"), actual.pop("slopes[1]")], axis=1)
        return np.stack([actual.pop("x"), actual.pop("y")], axis=1), {**actual, "slopes": slopes}
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            actual = dict(file)
        return np.stack([actual.pop("x"), actual.pop("y")], axis=1), actual
    mesh = meshio.read(path)
    count = len(mesh.points)
    assert [block.type for block in mesh.cells] == ["vertex"]
    assert np.array_equal(mesh.cells[0].data.ravel(), np.arange(count))
    assert not mesh.points[:, 2].any() and not mesh.point_data["slopes"][:, 2].any()
    return mesh.points[:, :2], {**mesh.point_data, "slopes": mesh.point_data["slopes"][:, :2]}


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".vtu", ".vtk"])
@pytest.mark.parametrize("points", [None, {"interior": GRID}], ids=["own", "new"])
def test_values_as_others_read_them(devices, suffix, points, tmp_path):
    solver, u = trained(devices)
    fields = fields_of(u)
    path = tmp_path / f"u{suffix}"
    solver.export(path, fields, points=points)
    where, actual = read(path)
    assert np.array_equal(where, GRID if points else solver.points("interior")[:, :2])
    wanted = solver.eval([*fields.values()], points=points)
    assert set(actual) == set(fields)
    for name, value in zip(fields, wanted, strict=True):
        assert np.array_equal(actual[name], value), name


def test_the_same_on_any_number_of_devices(tmp_path):
    """Contents differ by the rounding of training alone."""
    for devices in (1, 3):
        solver, u = trained(devices)
        for name in ("u.csv", "u.npz", "u.jax"):
            solver.export(tmp_path / f"{devices}{name}", fields_of(u))
    for name in ("u.csv", "u.npz"):
        (where, one), (elsewhere, three) = (read(tmp_path / f"{devices}{name}") for devices in (1, 3))
        assert np.array_equal(where, elsewhere)
        for key, value in one.items():
            np.testing.assert_allclose(three[key], value, rtol=1e-9, atol=1e-11)
    one, three = (jax.export.deserialize((tmp_path / f"{k}u.jax").read_bytes()).call(GRID) for k in (1, 3))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), one, three)


def test_single_precision(tmp_path):
    """Numbers of float32 come back to the last bit, in as few digits as they have; `dtype` as in eval."""
    solver, u = trained(dtype="float32")
    solver.export(tmp_path / "u.csv", u.named("u"))
    table = np.loadtxt(tmp_path / "u.csv", delimiter=",", skiprows=1)
    value = solver.eval(u)
    assert value.dtype == np.float32 and np.array_equal(table[:, 2].astype(np.float32), value)
    assert max(len(line.split(",")[2]) for line in (tmp_path / "u.csv").read_text().split()) < 16
    for dtype in (None, "float64"):
        solver.export(tmp_path / "u.jax", u, dtype=dtype)
        function = jax.export.deserialize((tmp_path / "u.jax").read_bytes())
        assert function.in_avals[0].dtype == function.out_avals[0].dtype == (dtype or "float32")
        points = GRID.astype(dtype or "float32")
        wanted = solver.eval(u, points={"interior": points}, dtype=dtype)
        np.testing.assert_allclose(function.call(points), wanted, rtol=3e-6 if dtype is None else 1e-12)


def test_cells_and_times_in_vtk(tmp_path):
    solver, u = trained()
    corners = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    cells = {"triangle": triangles, "line": [[0, 1]]}
    solver.export(tmp_path / "u.vtu", {"u": u}, points={"interior": corners}, cells=cells)
    mesh = meshio.read(tmp_path / "u.vtu")
    assert np.array_equal(mesh.cells_dict["triangle"], triangles) and mesh.cells_dict["line"].tolist() == [[0, 1]]
    assert np.array_equal(mesh.point_data["u"], solver.eval(u, points={"interior": corners}))
    over = tx.nn.mlp(2, width=4, depth=1)(XT, T)
    solver = tx.core([over.mse], optimizer=optax.adam(1e-2), dtype="float64", devices=1)
    solver.export(tmp_path / "t.vtk", over)
    mesh, places = meshio.read(tmp_path / "t.vtk"), solver.points("interior")
    assert np.array_equal(mesh.points, np.pad(places, ((0, 0), (0, 1))))
    assert np.array_equal(mesh.point_data["t"], places[:, 1])
    assert np.array_equal(mesh.point_data["value"], solver.eval(over))


def test_points_that_have_moved_or_are_held_out(devices, tmp_path):
    """Values are at the points as they are now; a field of coordinates alone needs no network."""
    net = tx.nn.mlp(2, width=4, depth=1)
    pde = net(X, Y).laplacian(X, Y) + 1
    moving = tx.optim.uniform(pde, every=3)
    solver = tx.core([pde.mse], optimizer=optax.adam(1e-2), devices=devices, dtype="float64", resample=moving)
    solver.solve(5, progress=False).export(tmp_path / "u.csv", pde)
    table = np.loadtxt(tmp_path / "u.csv", delimiter=",", skiprows=1)
    assert not np.array_equal(table[:, :2], DOMAIN.point_set("interior").coordinates[:, :2])
    assert np.array_equal(table[:, :2], solver.points("interior")[:, :2])
    assert np.array_equal(table[:, 2], solver.eval(pde))
    held = (X * Y).held_out(12)
    solver.export(tmp_path / "h.npz", held.named("product"))
    with np.load(tmp_path / "h.npz") as arrays:
        assert len(arrays["x"]) == 12 and np.array_equal(arrays["product"], arrays["x"] * arrays["y"])
    solver.export(tmp_path / "h.jax", held)
    function = jax.export.deserialize((tmp_path / "h.jax").read_bytes())
    assert np.array_equal(function.call(GRID), GRID[:, 0] * GRID[:, 1])


def test_networks_of_ones_own_and_functions_of_the_users(tmp_path):
    """Lists and dicts of arrays have their paths; a matrix decomposition at each point goes to all platforms."""
    start = {"first": [np.ones((2, 3))], "file": np.arange(3.0)}

    def apply(params, inputs):
        return jnp.sin(inputs @ params["first"][0]) @ params["file"]

    net = tx.nn.wrap(apply, start, name="own")
    u = net(X, Y)
    largest = tx.np.function(lambda a, b: jnp.linalg.svd(jnp.outer(a, b) + jnp.eye(1))[1][0], [u, X], pointwise=True)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-2), dtype="float64", devices=1)
    solver.export(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert {name: arrays[name].tolist() for name in arrays} == {
            "own/first/0": np.ones((2, 3)).tolist(),
            "own/file": [0, 1, 2],
        }
    solver.export(tmp_path / "f.jax", {"s": largest, "row": u.grad(net)})
    actual = jax.export.deserialize((tmp_path / "f.jax").read_bytes()).call(GRID)
    wanted = np.abs(np.sin(GRID.sum(axis=1)) * 3 * GRID[:, 0] + 1)
    np.testing.assert_allclose(actual["s"], wanted, rtol=1e-12)
    np.testing.assert_allclose(
        actual["row"], solver.eval(u.grad(net), points={"interior": GRID}), rtol=1e-12, atol=1e-12
    )


def test_a_function_for_some_platforms(tmp_path):
    """JAX has eigenvalues of general matrices for some platforms alone, and none of these is the TPU."""

    def radius(a, b):
        return jnp.abs(jnp.linalg.eigvals(jnp.array([[a, 1.0], [0.0, b]]))).max()

    solver, _ = trained()
    solver.export(tmp_path / "f.jax", tx.np.function(radius, [X, Y], pointwise=True))
    function = jax.export.deserialize((tmp_path / "f.jax").read_bytes())
    assert "cpu" in function.platforms and "tpu" not in function.platforms
    np.testing.assert_allclose(function.call(GRID), GRID.max(axis=1), rtol=1e-12)


def test_what_cannot_be_a_function(tmp_path):
    solver, u = trained()
    path = tmp_path / "u.jax"
    sensors = tx.domain.rect(n=4)
    sx, sy, _ = sensors.points("sensors", GRID)
    measured = sensors.values("sensors", GRID[:, 0])
    centred = tx.np.function(lambda v: v - v.mean(), [u], returns="field")
    callback = tx.np.function(
        lambda v: jax.pure_callback(lambda a: np.asarray(a) * 2, jax.ShapeDtypeStruct((), v.dtype), v),
        [u],
        pointwise=True,
    )
    for field, why in (
        (u - u.mean, "holds .*mean.*all points"),
        (u - u.integral, "all points of a tag"),
        (centred, "all points of a tag"),
        (sx * sy + measured, "'sensors' alone"),
        (u.mse, "solver.eval"),
        (u[X < 0.5], "as a field beside it"),
        (callback, "calls back to Python"),
    ):
        with pytest.raises(ValueError, match=why):
            solver.export(path, field)
    assert not list(tmp_path.iterdir())
    # As values all fields of a tag can be written.
    solver.export(tmp_path / "u.csv", {"centred": u - u.mean, "by function": centred})
    table = np.loadtxt(tmp_path / "u.csv", delimiter=",", skiprows=1)
    value = solver.eval(u)
    np.testing.assert_allclose(table[:, 2:].T, [value - value.mean()] * 2, rtol=1e-12, atol=1e-14)


def test_what_does_not_go_together(tmp_path, monkeypatch):
    """Refused before anything is computed; what was there is there still."""
    solver, u = trained()
    (xb, yb, _), new = DOMAIN.variable("boundary"), {"interior": GRID}
    for name in ("u.csv", "u.vtu", "u.npz", "u.jax"):
        (tmp_path / name).write_text("as it was")
    monkeypatch.setattr("tangrax.lower.Executor.compute", lambda *_: pytest.fail("computed"))
    for error, why, name, fields, more in (
        (ValueError, "Choose .jax", "u.txt", u, {}),
        (ValueError, "Choose .jax", "u", u, {}),
        (ValueError, "of what fields", "u.csv", None, {}),
        (ValueError, "directory that exists", "no/u.csv", u, {}),
        (ValueError, "no points", "u.jax", u, {"points": new}),
        (ValueError, "no points", "u.npz", None, {"points": new}),
        (ValueError, "vtk have cells", "u.csv", u, {"cells": {"line": [[0, 1]]}}),
        (ValueError, "write a file for each", "u.csv", {"u": u, "edge": xb * yb}, {}),
        (ValueError, "both be called 'x'", "u.csv", {"x": u}, {}),
        (ValueError, "has a space", "u.vtu", {"the u": u}, {}),
        (ValueError, "corners from 0 to 23", "u.vtu", u, {"points": new, "cells": {"line": [[0, 23]]}}),
        (ValueError, "no cells are called 'tri'", "u.vtu", u, {"cells": {"tri": [[0, 1, 2]]}}),
        (ValueError, "3 columns", "u.vtu", u, {"cells": {"triangle": [[0, 1]]}}),
        (TypeError, "dict such as", "u.vtu", u, {"cells": [[0, 1, 2]]}),
        (ValueError, "one value in all", "u.csv", u.mse, {}),
        (ValueError, "none of its tags", "u.csv", u, {"points": {"inside": GRID}}),
        (TypeError, "no field", "u.csv", {"u": 3}, {}),
        (TypeError, "dict from names", "u.csv", [u], {}),
        (TypeError, "no name", "u.csv", {1: u}, {}),
        (ValueError, "choose one of", "u.csv", u, {"dtype": "float8"}),
    ):
        with pytest.raises(error, match=why):
            solver.export(tmp_path / name, fields, **more)
    assert {path.read_text() for path in tmp_path.iterdir()} == {"as it was"}


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    solver, u = trained()
    path = tmp_path / "u.csv"
    solver.export(path, u)
    before = path.read_bytes()
    monkeypatch.setattr("tangrax.export.formats.AT_ONCE", 10)
    solver.export(path, u)
    assert path.read_bytes() == before

    def broken(column):
        if len(column) < 10:
            raise OSError("the disk is full")
        return column.tolist()

    monkeypatch.setattr("tangrax.export.formats.shortest_numbers", broken)
    with pytest.raises(OSError, match="full"):
        solver.export(path, u, points={"interior": GRID})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.processes
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_only_the_first_process_writes(transport, tmp_path):
    options = ["-n", "3", *(["--mpi"] if transport == "mpi" else [])]
    launched(options, [Path(__file__).parent / "exporting.py", tmp_path])
    for rank in range(3):
        written = sorted(path.name for path in (tmp_path / str(rank)).iterdir())
        assert written == (["parameters.npz", "u.csv", "u.jax", "u.npz", "u.vtk", "u.vtu"] if rank == 0 else [])
        with np.load(tmp_path / f"{rank}.npz") as seen, np.load(tmp_path / "0" / "u.npz") as file:
            assert np.array_equal(seen["u"], file["u"]) and seen["refused"] == 4
    points = np.loadtxt(tmp_path / "0" / "u.csv", delimiter=",", skiprows=1)
    function = jax.export.deserialize((tmp_path / "0" / "u.jax").read_bytes())
    np.testing.assert_allclose(function.call(points[:, :2])["u"], points[:, 2], rtol=1e-12, atol=1e-14)
    assert function.nr_devices == 1
