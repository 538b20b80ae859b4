"""Ways to a spectrum against 60-digit and LAPACK references; spectra watched; plans held to what is measured."""

import itertools

import foundax
import jax
import mpmath
import numpy as np
import optax
import pytest
from marks import slow_but
from programs import collectives, kernel_program, shifted_bytes
from spectral import matrix_of, sharded

import tangrax as tx
from tangrax.jacobian import Density, Spectrum
from tangrax.jacobian.spectrum_plan import SPECTRUM_WAYS
from tangrax.parallel import singular_values

EPS = np.finfo(np.float64).eps


def problem(width=6, n=33, **more):
    x, y, _ = tx.domain.rect(n=n, boundary=7).variable("interior")
    net = tx.nn.mlp(2, width=width, depth=2, key=0)
    u = net(x, y)
    pde = u.laplacian(x, y) + u * u.d(x)
    options = {"optimizer": optax.adam(1e-3), "devices": 1, "dtype": "float64", **more}
    return x, net, u, pde, options


def exact(matrix):
    """Eigenvalues of M Mᵀ in 60 digits, falling."""
    with mpmath.workdps(60):
        values = mpmath.svd_r(mpmath.matrix(matrix.tolist()), compute_uv=False)
        return np.array(sorted((float(v * v) for v in values), reverse=True))


@pytest.mark.parametrize("last", [1e-9, 1e-15, 1e-20])
def test_what_is_resolved_is_right(last):
    """Against 60 digits: eigenvalues reported as resolved are right to 1 %, detectable ones are no zeros."""
    matrix = matrix_of(np.geomspace(1, last, 14), 14, 20)
    reference = exact(matrix)
    actual = Spectrum(singular_values(sharded(matrix, 3)), 14, 20, EPS)
    error = np.abs(actual.eigenvalues / reference - 1)
    assert np.all(error[actual.is_resolved] <= 0.01)
    assert np.all(actual.eigenvalues[actual.is_resolved] > actual.floor)
    assert np.all(np.abs(actual.eigenvalues - reference) <= actual.errors)
    true_condition = reference[0] / reference[-1]
    assert actual.condition.exact == bool(actual.resolved == 14)
    assert true_condition >= 0.97 * float(actual.condition)


@pytest.mark.parametrize("width", slow_but([2, 6], 2), ids=["more points", "more parameters"])
def test_ways_agree(width, devices):
    """Each way against LAPACK on rows, with its first eigenvectors; groups too."""
    x, net, u, pde, options = problem(width, devices=devices)
    solver = tx.core([u.mse], **{**options, "devices": devices})
    J = pde.grad(net)
    rows = solver.eval(J)
    reference, K = np.linalg.svd(rows, compute_uv=False) ** 2, rows @ rows.T
    ways = [
        J.spectrum(way="rows", vectors=2),
        J.spectrum(way="gram", vectors=2),
        J.spectrum(5, way="lanczos", vectors=2),
    ]
    for actual in solver.eval(ways):
        error = np.abs(actual.eigenvalues - reference[: len(actual.eigenvalues)])
        assert np.all(error <= actual.errors + 8 * EPS * reference[0])
        assert np.all(error[actual.is_resolved] <= 0.01 * actual.eigenvalues[actual.is_resolved])
        assert actual.effective_rank == pytest.approx(np.trace(K) ** 2 / np.sum(K**2), rel=1e-10)
        assert actual.vectors.shape == (33, 2)
        np.testing.assert_allclose(
            K @ actual.vectors, actual.vectors * actual.eigenvalues[:2], atol=1e-9 * reference[0]
        )
        np.testing.assert_allclose(np.linalg.norm(actual.vectors, axis=0), 1, rtol=1e-9)
    dual = solver.eval(J.dual_gram())
    np.testing.assert_allclose(dual, rows.T @ rows, atol=1e-12 * reference[0])
    some = rows[solver.eval(x < 0.4)]
    actual = solver.eval(J[x < 0.4].spectrum(3, way="lanczos"))
    np.testing.assert_allclose(actual.eigenvalues, np.linalg.svd(some, compute_uv=False)[:3] ** 2, rtol=1e-8)


def test_every_way_that_has_a_class_can_be_requested():
    _, net, _, pde, _ = problem()
    with pytest.raises(ValueError, match=rf"one of {', '.join(SPECTRUM_WAYS)}, or leave it out"):
        pde.grad(net).spectrum(way="typo")


def test_a_group_of_a_pointwise_field_beside_a_field_of_all_points(devices):
    """K of both, by rows of all points, against NumPy's product of the rows."""
    x, net, u, _, options = problem()
    solver = tx.core([u.mse], **{**options, "devices": devices})
    J, whole = u.grad(net), (u - u.mean).grad(net)
    K, left, right, inside = solver.eval([J[x < 0.4].gram(whole), J, whole, x < 0.4])
    np.testing.assert_allclose(K, left[inside] @ right.T, rtol=0, atol=1e-12 * np.abs(K).max())


def test_density():
    """Estimates lie within a few of their standard errors."""
    _, net, u, pde, options = problem(16, n=60)
    solver = tx.core([u.mse], **options)
    J = pde.grad(net)
    actual, eigenvalues = solver.eval([J.spectrum(way="density"), J.spectrum()])
    assert isinstance(actual, Density)
    values = eigenvalues.eigenvalues
    assert abs(float(actual.trace) - values.sum()) < 4 * actual.trace.error
    middle = values[10]
    count, dimension = actual.count_above(middle), actual.effective_dimension(middle)
    assert abs(float(count) - 10) < 4 * count.error + 1
    assert abs(float(dimension) - eigenvalues.effective_dimension(middle)) < 4 * dimension.error
    assert actual.largest == pytest.approx(values[0], rel=1e-6)
    with pytest.raises(ValueError, match=r"f\(0\) is not 0"):
        actual.sum(np.cos)


def test_incomplete_spectra_say_so():
    _, net, u, pde, options = problem()
    actual = tx.core([u.mse], **options).eval(pde.grad(net).spectrum(4, way="lanczos"))
    assert not actual.complete and "the 4 largest" in str(actual)
    assert not actual.condition.exact and actual.condition.value == pytest.approx(
        actual.largest / actual.eigenvalues[-1], rel=1e-3
    )
    for call in (
        lambda: actual.entropy_rank,
        lambda: actual.effective_dimension(1.0),
        lambda: actual.numerical_rank(1e-9),
    ):
        with pytest.raises(ValueError, match="it needs all 33 eigenvalues"):
            call()
    assert actual.numerical_rank(actual.eigenvalues[2] / actual.largest * 1.01) == 2


def test_zero_jacobian():
    """Nothing to find, and nothing that is not a number."""
    _, net, u, _, options = problem()
    actual = tx.core([u.mse], **options).eval((0.0 * u).grad(net).spectrum(2, way="lanczos"))
    assert actual.effective_rank == 0 and actual.resolved == 0 and np.all(actual.eigenvalues == 0)


@pytest.mark.parametrize("width", slow_but([2, 6], 6), ids=["dual", "tiles"])
def test_watched(width, devices):
    """During training, against eval at the same parameters."""
    x, net, u, pde, options = problem(width)
    J, group = pde.grad(net), u.grad(net)[x < 0.4]
    trackers = {"ntk": J.spectrum(3).tracker(2), "some": group.spectrum().tracker(3, warn_below=9.0)}
    solver = tx.core({"loss_term": u.mse, **trackers}, **{**options, "devices": devices})
    before, first = solver.eval([J.spectrum(), group.spectrum()])
    solver.solve(5, progress=False)
    history = solver.history
    assert list(history.epochs("ntk/effective_rank")) == [0, 2, 4]
    assert history["ntk/effective_rank"][0] == pytest.approx(before.effective_rank)
    assert history["ntk/largest"][0] == pytest.approx(before.largest)
    np.testing.assert_allclose(history["ntk/eigenvalues"][0], before.eigenvalues[:3], rtol=1e-8)
    assert history["some/effective_rank"][0] == pytest.approx(first.effective_rank)
    assert history["some/trace"][0] == pytest.approx(first.trace)
    with pytest.raises(ValueError, match="k= alone can be watched"):
        tx.core([u.mse, J.spectrum(way="rows").tracker(2)], **options).solve(1, progress=False)
    with pytest.raises(ValueError, match="holds values of all points"):
        tx.core([u.mse, (u - u.mean).grad(net).spectrum().tracker(2)], **options).solve(1, progress=False)


def test_half_a_ring():
    """Eight shards send each other at most 0.55 of what gathering all factors would; no gather, no copy of K."""
    x, y, _ = tx.domain.rect(n=256).variable("interior")
    net = tx.nn.mlp(2, width=64, depth=3, key=0)
    solver = tx.core([net(x, y).mse], optimizer=optax.adam(1e-3), devices=8, dtype="float32")
    J = net(x, y).grad(net)
    K = solver.eval(J.gram(), sharded=True)
    compiled = kernel_program(solver, J)
    assert set(collectives(compiled)) == {"collective-permute"}
    # Tiles of K (32 x 32 and halves), which the ring sends back, are counted apart.
    factors, tiles, all_gather = shifted_bytes(compiled, trips=3, tile=(32, 32))
    assert 0.5 <= factors / all_gather <= 0.55
    assert tiles <= 8 * 8 * 32 * 32 * 8 / 2
    text = compiled.as_text()
    parameters = sum(np.size(leaf) for leaf in jax.tree.leaves(net.params))
    assert f"[32,{parameters}]" not in text and f"[256,{parameters}]" not in text, "no rows of J"
    assert "[256,256]" not in text, "K is whole nowhere"
    rows = solver.eval(J)
    np.testing.assert_allclose(np.asarray(K), rows @ rows.T, rtol=0, atol=2e-6 * np.abs(np.asarray(K)).max())


@pytest.mark.parametrize(
    "devices, width, n",
    slow_but([(1, 128, 1000), (1, 32, 3000), (2, 32, 2000), (3, 128, 3000), (8, 128, 1600)], (2, 32, 2000)),
)
def test_plans_are_kept(devices, width, n):
    """Predicted bytes of a kernel within 25 % of what XLA sets aside."""
    x, y, _ = tx.domain.rect(n=n).variable("interior")
    net = tx.nn.mlp(2, width=width, depth=3, key=0)
    solver = tx.core([net(x, y).mse], optimizer=optax.adam(1e-3), devices=devices, dtype="float32")
    J = net(x, y).laplacian(x, y).grad(net)
    way = solver.plan(J.gram(), sharded=True).settled()
    solver.eval(J.gram(), sharded=True)
    measured = kernel_program(solver, J).memory_analysis()
    assert way.memory == pytest.approx(measured.temp_size_in_bytes + measured.output_size_in_bytes, rel=0.25)


def exact_kernel(weights, points):
    """K of a tanh network of one input in 60 digits: per layer (b·b')(a·a' + 1), from inputs a and cotangents b."""
    mp = mpmath.mp
    layers = [(mp.matrix(W.tolist()), mp.matrix(b.tolist())) for W, b in weights]
    inputs, cotangents = [], []
    for point in points:
        a = [mp.matrix([mpmath.mpf(float(point))])]
        for W, b in layers[:-1]:
            a.append((W * a[-1] + b).apply(mpmath.tanh))
        back = [mp.matrix([1])]
        for (W, _), after in zip(layers[:0:-1], a[:0:-1], strict=True):
            moved = W.T * back[0]
            back.insert(0, mp.matrix([m * (1 - t * t) for m, t in zip(moved, after, strict=True)]))
        inputs.append(a)
        cotangents.append(back)
    dot = lambda p, q: mpmath.fdot(list(p), list(q))
    K = mp.matrix(len(points))
    for i, j in itertools.product(range(len(points)), repeat=2):
        pairs = zip(inputs[i], inputs[j], cotangents[i], cotangents[j], strict=True)
        K[i, j] = K[j, i] if j < i else sum(dot(b, d) * (dot(a, c) + 1) for a, c, b, d in pairs)
    return K


@pytest.mark.parametrize("dtype", slow_but(["float32", "float64"], "float64"))
def test_the_tutorials_network(dtype):
    """Its eigenvalues against 60 digits: those reported as resolved are right to 1 %, most of K's range is noise."""
    x, _ = tx.domain.line(n=30).variable("interior")
    net = tx.nn.wrap(foundax.mlp(in_features=1, hidden_dims=32, num_layers=3, key=jax.random.PRNGKey(0)))
    u = net(x)
    solver = tx.core([u.mse], optimizer=optax.adam(1e-3), devices=2, dtype=dtype)
    layers = [layer for layer in [*net.params.hidden_layers, net.params.output_layer] if hasattr(layer, "weight")]
    weights = [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in layers]
    points = np.asarray(solver.eval(x))
    with mpmath.workdps(60):
        K = exact_kernel(weights, points)
        reference = np.array([float(v) for v in mpmath.eigsy(K, eigvals_only=True)])[::-1]
        K = np.array(K.tolist(), float)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(solver.eval(u.grad(net).gram()), K, rtol=0, atol=16 * eps * K.max())
    for way, least in (("rows", eps), ("gram", 1e4 * eps)):
        spectrum = solver.eval(u.grad(net).spectrum(way=way))
        error = np.abs(spectrum.eigenvalues - reference)
        assert np.all(error <= spectrum.errors)
        assert np.all(error[spectrum.is_resolved] <= 0.01 * reference[spectrum.is_resolved])
        assert np.all(reference[: spectrum.detectable] > 1e-50) and 0 < spectrum.resolved < 30
        # Not so cautious that nothing is left: all well above rounding are resolved.
        assert spectrum.resolved >= np.sum(reference > least * reference[0])
        # K is singular even to 60 digits.
        assert not spectrum.condition.exact and float(spectrum.condition) <= reference[0] / abs(reference[-1])
