"""tx.core and the solver: results, bad input, files."""

import os

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import tangrax as tx
from tangrax.lower import Executor

DOMAIN = tx.domain.rect((0.0, 0.0), (1.0, 2.0), mesh_size=0.25)
X, Y, _ = DOMAIN.variable("interior")
XB, YB, _ = DOMAIN.variable("boundary")
ADAM = optax.adam(1e-3)


def build(devices=None, seed=0, **more):
    net = tx.nn.mlp(2, width=5, depth=2, key=seed, name="net")
    u = net(X, Y)
    terms = {"pde": (u.laplacian(X, Y) - 1).mse, "edge": net(XB, YB).mse}
    return tx.core(terms, optimizer=ADAM, devices=devices, dtype="float64", **more), net, u


def forward(module, points):
    return np.array([float(module(jnp.asarray(p))[0]) for p in points])


# Results


def test_values_come_in_the_users_order(devices):
    solver, net, u = build(devices)
    x, y, value, term = solver.eval([X, Y, u, u.mean])
    grid = [(a, b) for a in np.linspace(0, 1, 5) for b in np.linspace(0, 2, 9) if 0 < a < 1 and 0 < b < 2]
    np.testing.assert_allclose(np.column_stack([x, y]), grid)
    np.testing.assert_allclose(value, forward(net.module, grid), rtol=1e-12)
    assert isinstance(value, np.ndarray) and term.shape == ()
    np.testing.assert_allclose(term, value.mean(), rtol=1e-12)


def test_one_expression_gives_its_value_and_a_list_gives_a_list():
    solver, net, u = build(2)
    (rows,) = solver.eval([u.grad(net)])
    np.testing.assert_array_equal(rows, solver.eval(u.grad(net)))
    assert rows.shape == (21, sum(a.size for a in jax.tree.leaves(net.params)))


def test_constants_have_values():
    assert build(1)[0].eval(3.0) == 3.0


def test_a_group_gives_its_points_only(devices):
    solver, _, u = build(devices)
    everything, some = solver.eval([u, u[X < 0.6]])
    np.testing.assert_array_equal(some, everything[solver.eval(X) < 0.6])


def test_new_points(devices):
    solver, net, u = build(devices)
    points = np.random.default_rng(0).uniform(size=(5, 2))
    value, mean, rows = solver.eval([u, u.mean, u.grad(net)], points={"interior": points})
    np.testing.assert_allclose(value, forward(net.module, points), rtol=1e-12)
    np.testing.assert_allclose(mean, value.mean(), rtol=1e-12)
    assert rows.shape[0] == 5
    np.testing.assert_allclose(
        solver.eval(u, points={"interior": np.column_stack([points, np.zeros(5)])}), value, rtol=1e-13
    )
    assert len(solver.eval(u)) == 21, "the points of the problem are untouched"


def test_of_several_handles_an_absent_one_has_zeros(devices):
    """Against the rows by the network alone."""
    solver, net, u = build(devices)
    k = tx.nn.parameter(np.ones(3), name="k")
    rows, both, slope = solver.eval([u.grad(net), u.grad(k, net), u.mse.grad(net, k)])
    np.testing.assert_array_equal(both, np.column_stack([np.zeros((21, 3)), rows]))
    assert slope[:-3].any() and not slope[-3:].any()


def test_a_steady_problem_takes_no_time():
    solver, _, u = build(1)
    points = np.random.default_rng(0).uniform(size=(5, 3))
    for call in (
        lambda: solver.eval(u, points={"interior": points}),
        lambda: DOMAIN.points("sensors", points),
        lambda: tx.domain.line(n=4).points("sensors", points[:, :2]),
        lambda: solver.plan(u.mse, points={"interior": points}),
    ):
        with pytest.raises(ValueError, match=r"the problem is steady, with the columns \(x(, y)?\)"):
            call()
    timed = tx.domain.line(n=4).over_time(0.0, 1.0)
    x, _ = timed.points("sensors", points[:, :2])
    np.testing.assert_array_equal(x.points.coordinates, points[:, :2])


def test_evaluation_is_compiled_once(monkeypatch):
    solver, net, u = build(2)
    solver.eval([u, u.grad(net)])
    solver.solve(2, progress=False)
    monkeypatch.setattr(Executor, "program", lambda *args: pytest.fail("compiled again"))
    solver.eval([net(X, Y), u.grad(net.mask(None))])


def test_results_above_the_limit_are_refused_with_a_way_out():
    solver, net, u = build(2)
    with pytest.raises(ValueError, match="sharded=True"):
        solver.eval(u.grad(net), limit=1000)
    with pytest.raises(ValueError, match="every device would hold"):
        solver.eval(tx.np.function(lambda J: J.sum(), [u.grad(net)]), limit=1000)
    assert solver.eval(u.grad(net), limit=1000, sharded=True).shape == (21, 51)


def test_sharded_rows(devices):
    solver, net, u = build(devices)
    J = solver.eval(u.grad(net), sharded=True)
    rows = solver.eval(u.grad(net))
    # Two programs: one joins the columns of all weights, the other holds them apart. They differ by roundings.
    np.testing.assert_allclose(J.gather(), rows, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(J.local, J.gather())
    np.testing.assert_array_equal(np.asarray(J), J.gather())
    np.testing.assert_array_equal(np.asarray(J.padded)[:21], J.gather())
    assert len(J) == 21
    v, w = np.arange(51.0), np.arange(21.0)
    np.testing.assert_allclose((J @ v).gather(), rows @ v, rtol=1e-12)
    np.testing.assert_allclose(J.T @ w, rows.T @ w, rtol=1e-12)
    np.testing.assert_allclose(J.T @ (J @ v), rows.T @ (rows @ v), rtol=1e-12)
    K = J @ J.T
    assert K.shape == (21, 21)
    np.testing.assert_allclose(K.gather(), rows @ rows.T, rtol=1e-12)
    assert {s.data.shape[0] for s in K.padded.addressable_shards} == {-(-21 // devices)}
    with pytest.raises(ValueError, match="inner sizes"):
        J @ np.ones(3)
    with pytest.raises(ValueError, match="21 points"):
        J.T @ np.ones(3)


def test_trained_module_and_initial_module():
    solver, net, u = build(3)
    before = forward(net.module, [(0.5, 0.5)])
    solver.solve(5, progress=False)
    np.testing.assert_array_equal(forward(net.module, [(0.5, 0.5)]), before)
    trained = solver.module(net)
    assert type(trained) is type(net.module)
    np.testing.assert_allclose(forward(trained, [(0.5, 0.5)]), solver.eval(u, points={"interior": [[0.5, 0.5]]}))
    assert forward(trained, [(0.5, 0.5)]) != before


def test_devices_can_be_a_number_or_a_mesh():
    assert build(3)[0].mesh.size == 3
    assert build(Mesh(np.array(jax.devices()[2:4]), ("anything",)))[0].mesh.devices.tolist() == jax.devices()[2:4]
    assert build(None)[0].mesh.size == 8


def test_float32_trains_in_float32():
    net = tx.nn.mlp(2, width=5, name="net")
    solver = tx.core([net(X, Y).mse], optimizer=ADAM, devices=2, dtype="float32").solve(3, progress=False)
    assert solver.eval(net(X, Y)).dtype == np.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(solver.module(net))} == {jnp.dtype("float32")}


@pytest.mark.parametrize("devices", [1, 3])
def test_another_precision_than_the_runs(devices):
    """J in float64 of a network trained in float32 is that of its parameters, to rounding of float64."""
    net = tx.nn.mlp(2, width=5, depth=2, name="net")
    u = net(X, Y)
    terms = {"fit": (u.laplacian(X, Y) - 1).mse}
    solver = tx.core(terms, optimizer=ADAM, devices=devices, dtype="float32").solve(3, progress=False)
    module = jax.tree.map(lambda a: a.astype(float) if eqx.is_inexact_array(a) else a, solver.module(net))
    points = DOMAIN.point_set("interior").coordinates[:, :2]
    arrays, rest = eqx.partition(module, eqx.is_inexact_array)
    flat, tree = jax.flatten_util.ravel_pytree(arrays)
    expected = jax.jacrev(lambda p: jax.vmap(lambda x: eqx.combine(tree(p), rest)(x)[0])(jnp.asarray(points)))(flat)
    double, single = solver.eval(u.grad(net), dtype="float64"), solver.eval(u.grad(net))
    assert double.dtype == np.float64 and single.dtype == np.float32
    np.testing.assert_allclose(double, expected, rtol=1e-12, atol=1e-14)
    assert np.abs(single - expected).max() > 1e-8
    assert solver.precision == "float32, products highest"
    with pytest.raises(ValueError, match="float32, float64"):
        solver.eval(u, dtype="float16")


# Bad input, before anything runs

NET = tx.nn.mlp(2, width=3, depth=1, name="net")
LOSS = NET(X, Y).mse


def core(terms, **more):
    return tx.core(terms, **{"optimizer": ADAM, "devices": 1, **more})


REFUSED = {
    "unknown tag": (lambda: DOMAIN.variable("inlet"), ValueError, "'inlet'.*interior, boundary, left, right"),
    "epochs below 0": (lambda: core([LOSS]).solve(-1), ValueError, r"solve\(-1\)"),
    "no optimizer": (lambda: core([LOSS], optimizer=None), ValueError, "no optimizer for net.*optax.adam"),
    "an optimizer that is none": (lambda: core([LOSS], optimizer=3), TypeError, "give an optax optimizer"),
    "all frozen": (lambda: core([NET.freeze()(X, Y).mse]), ValueError, "nothing to train: net is frozen"),
    "nothing trainable": (lambda: core([X.mse]), ValueError, "nothing to train: no term holds"),
    "frozen and not": (lambda: core([NET.freeze()(X, Y).mse, LOSS]), ValueError, "frozen in one place"),
    "a field as term": (lambda: core([NET(X, Y)]), TypeError, r"take net\(x, y\).mse"),
    "a vector as term": (
        lambda: core([tx.np.function(lambda v: v[:2], [NET(X, Y)], returns="term")]),
        TypeError,
        r"shape \(2,\)",
    ),
    "a Jacobian as term": (lambda: core([NET(X, Y).grad(NET).mean[0]]), ValueError, "only watched"),
    "no term": (lambda: core([1.0]), TypeError, "neither a term nor a tracker"),
    "not a list": (lambda: core(LOSS), TypeError, "give a list"),
    "trackers only": (lambda: core([LOSS.tracker(10)]), ValueError, "only trackers"),
    "a name twice": (lambda: core([LOSS.named("a"), NET(XB, YB).mse.named("a")]), ValueError, "'a' is given twice"),
    "a name of a tracker twice": (
        lambda: core([LOSS.named("a"), LOSS.tracker(1, name="a")]),
        ValueError,
        "'a' is given twice",
    ),
    "the name of the sum": (lambda: core({"loss": LOSS}), ValueError, "name of the sum"),
    "more devices than there are": (lambda: core([LOSS], devices=9), ValueError, "devices=9: 8 visible"),
    "no devices": (lambda: core([LOSS], devices=0), ValueError, "devices=0"),
    "two optimizers": (
        lambda: core([NET.optimizer(optax.sgd(1.0))(X, Y).mse, NET.optimizer(ADAM)(XB, YB).mse]),
        ValueError,
        "two optimizers",
    ),
    "an empty group": (
        lambda: core([NET(X, Y)[X > 5].mse]).solve(1, progress=False),
        ValueError,
        r"group \(x > 5\) holds none of the 21 points",
    ),
    "an empty group in eval": (lambda: core([LOSS]).eval(NET(X, Y)[X > 5].max), ValueError, "holds none of the 21"),
    "points that are not finite": (
        lambda: core([LOSS]).eval(NET(X, Y), points={"interior": [[np.nan, 0.0]]}),
        ValueError,
        "not finite",
    ),
    "the gradient of a gradient": (
        lambda: core([LOSS]).eval(tx.np.dot(LOSS.grad(NET), LOSS.grad(NET)).grad(NET)),
        ValueError,
        "differentiated by them again",
    ),
    "rows scaled by a gradient": (
        lambda: core([LOSS]).eval((NET(X, Y) * tx.np.dot(LOSS.grad(NET), LOSS.grad(NET))).grad(NET)),
        ValueError,
        "differentiated by them again",
    ),
    "the mean of something made of rows": (lambda: (2 * NET(X, Y).grad(NET)).mean, TypeError, "2 \\* J.mean"),
    "devices by truth": (lambda: core([LOSS], devices=True), TypeError, "number of devices"),
    "points of an unknown tag": (
        lambda: core([LOSS]).eval(NET(X, Y), points={"boundary": np.ones((1, 2))}),
        ValueError,
        "evaluated on 'interior'; 'boundary' is none of its tags",
    ),
    "points of another shape": (
        lambda: core([LOSS]).eval(NET(X, Y), points={"interior": np.ones((4, 5))}),
        ValueError,
        r"shape \(4, 5\).*columns \(x, y\)",
    ),
    "no memory": (lambda: core([LOSS], memory_limit=0), ValueError, "memory_limit=0"),
    "an unknown dtype": (lambda: core([LOSS], dtype="float16"), ValueError, "float32, float64"),
    "a mask of another structure": (lambda: NET.mask([True]), ValueError, "another structure"),
    "a mask that is all False": (
        lambda: NET.mask(jax.tree.map(lambda _: False, NET.params)),
        ValueError,
        r"selects no parameter.*layers\[0\].weight",
    ),
    "a mask of arrays": (
        lambda: NET.mask(jax.tree.map(lambda a: jnp.ones_like(a, bool), NET.params)),
        TypeError,
        "one True or False a leaf",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_value_cause_and_mend(name):
    build, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        build()


def test_float64_that_is_switched_off_is_refused():
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(ValueError, match=r'tx.setup\(dtype="float64"\)'):
            core([LOSS], dtype="float64")
    finally:
        jax.config.update("jax_enable_x64", True)


def test_names():
    solver = core([LOSS, 2 * LOSS, NET(X, Y).mae.named("edge"), LOSS.tracker(1), LOSS.named("seen").tracker(1)])
    solver.solve(1, progress=False)
    assert list(solver.history) == ["mse_0", "term_1", "edge", "loss", "tracker_0", "seen"]


# Files


def test_save_and_load(tmp_path, devices):
    """Parameters, epoch and history come back, on any number of devices."""
    solver, net, u = build(devices)
    solver.solve(4, progress=False)
    path = tmp_path / "run.npz"
    solver.save(path)
    other, _, other_u = build(8, seed=1)
    assert not np.allclose(other.eval(other_u), solver.eval(u))
    other.load(path)
    np.testing.assert_allclose(other.eval(other_u), solver.eval(u), rtol=1e-12)
    assert other.epoch == 4
    np.testing.assert_array_equal(other.history["pde"], solver.history["pde"])
    other.solve(2, progress=False)
    assert len(other.history["pde"]) == 6
    module = tx.load(path)
    np.testing.assert_allclose(forward(module, [(0.3, 0.4)]), forward(solver.module(net), [(0.3, 0.4)]), rtol=1e-12)
    assert os.listdir(tmp_path) == ["run.npz"]


def test_load_into_another_network_is_refused_and_changes_nothing(tmp_path):
    solver, *_ = build(1)
    solver.save(tmp_path / "run.npz")
    wide = tx.nn.mlp(2, width=6, depth=2, name="net")
    other = tx.core([wide(X, Y).mse], optimizer=ADAM, devices=1)
    before = other.eval(wide(X, Y))
    with pytest.raises(ValueError, match=r"layers\[0\].weight: \(5, 2\) in the file, \(6, 2\) in the network"):
        other.load(tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r"holds \['net'\], this problem has \['other'\]"):
        tx.core([tx.nn.mlp(2, name="other")(X, Y).mse], optimizer=ADAM, devices=1).load(tmp_path / "run.npz")
    np.testing.assert_array_equal(other.eval(wide(X, Y)), before)


def test_load_of_wider_numbers_is_refused(tmp_path):
    solver, *_ = build(1)
    solver.save(tmp_path / "run.npz")
    net = tx.nn.mlp(2, width=5, depth=2, name="net")
    narrow = tx.core({"a": net(X, Y).mse}, optimizer=ADAM, devices=1, dtype="float32")
    with pytest.raises(ValueError, match="float64 parameters and this run has float32"):
        narrow.load(tmp_path / "run.npz")


def test_load_without_the_problem(tmp_path):
    """Networks of other makes need a module of the same kind; several come by name; parameters as numbers."""
    module = eqx.nn.MLP(2, 1, 4, 1, key=jax.random.key(3))
    a = tx.nn.wrap(module, name="a")
    b = tx.nn.mlp(2, width=3, fourier_features=4, factorised=True, name="b", activation=jax.nn.gelu)
    k = tx.nn.parameter(2.5, name="k")
    solver = tx.core([(a(X, Y) + k * b(X, Y)).mse], optimizer=ADAM, devices=1).solve(3, progress=False)
    path = tmp_path / "run.npz"
    solver.save(path)
    with pytest.raises(ValueError, match="'a' was not made by tx"):
        tx.load(path)
    actual = tx.load(path, like={"a": module})
    assert set(actual) == {"a", "b", "k"}
    np.testing.assert_array_equal(actual["k"], solver.module(k))
    for name, net in (("a", a), ("b", b)):
        np.testing.assert_array_equal(forward(actual[name], [(0.1, 0.2)]), forward(solver.module(net), [(0.1, 0.2)]))


def test_damaged_files_are_refused(tmp_path):
    solver, *_ = build(1)
    path = tmp_path / "run.npz"
    solver.save(path)
    whole = path.read_bytes()
    for damaged in (b"", b"not an archive", whole[: len(whole) // 2], whole[:-10] + b"0123456789"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            solver.load(path)
    np.savez(path, about=np.array([{}], dtype=object))  # a pickle inside
    with pytest.raises(ValueError, match="damaged"):
        tx.load(path)
    with pytest.raises(FileNotFoundError, match="no saved solver"):
        tx.load(tmp_path / "absent.npz")
    with pytest.raises(ValueError, match="a directory that exists"):
        solver.save(tmp_path / "no" / "such" / "folder.npz")


def test_a_crash_while_saving_leaves_the_old_file(tmp_path, monkeypatch):
    solver, *_ = build(1)
    path = tmp_path / "run.npz"
    solver.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(np.lib.format, "write_array", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        solver.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["run.npz"]
