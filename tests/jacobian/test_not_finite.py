"""Jacobians that are not finite at some points: no eigenvalue or rank is made of them. What is finite: NumPy's."""

import numpy as np
import optax
import pytest
from marks import slow_but
from spectral import sharded

import tangrax as tx
from tangrax import analysis
from tangrax.jacobian import NotFinite, Spectrum
from tangrax.parallel import singular_values

POINTS = np.linspace(0, 1, 11)[:, None]  # u is zero at the first
WAYS = [{"way": "rows"}, {"way": "gram"}, {"k": 1, "way": "lanczos"}, {"way": "density"}]
SINGULAR = {
    "sqrt": lambda u: tx.np.sqrt(u),
    "log": lambda u: tx.np.log(tx.np.abs(u)),
    "quotient": lambda u: u / u,
}


def problem(width, devices):
    """u = x exp(net): not negative, and zero where x is."""
    x, _ = tx.domain.line(mesh_size=0.1).points("rod", POINTS)
    net = tx.nn.mlp(1, width=width, depth=1, key=0)
    u = x * tx.np.exp(net(x))
    return x, net, u, {"optimizer": optax.sgd(1e-3), "devices": devices, "dtype": "float64"}


@pytest.mark.parametrize("width", slow_but([2, 6], 2), ids=["more points", "more parameters"])
def test_a_spectrum_is_refused_and_says_where(width, devices):
    """The one row of eleven, by every way; without its point each way is LAPACK's of the rows."""
    x, net, u, options = problem(width, devices)
    J = tx.np.sqrt(tx.np.abs(u)).grad(net)
    solver = tx.core([u.mse], **options)
    rows = solver.eval(J)
    assert np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist() == [0]
    largest = np.linalg.svd(rows[1:], compute_uv=False)[0] ** 2
    for way in WAYS:
        with pytest.raises(NotFinite, match=r"1 of 11 rows of J at the points of 'rod' are not finite"):
            solver.eval(J.spectrum(**way))
        if way["way"] != "density":
            assert solver.eval(J[x > 0].spectrum(**way)).largest == pytest.approx(largest)


@pytest.mark.parametrize("field", SINGULAR)
def test_whatever_is_singular_is_refused(field):
    """An infinite slope, NaN, and 0/0 alike."""
    _, net, u, options = problem(2, 2)
    with pytest.raises(NotFinite, match=r"1 of 11 rows of J at the points of 'rod' are not finite"):
        tx.core([u.mse], **options).eval(SINGULAR[field](u).grad(net).spectrum(1, way="lanczos"))


def test_a_spectrum_of_rows_of_all_points_is_refused(devices):
    _, net, u, options = problem(2, devices)
    J = tx.np.sqrt(u * u.mean).grad(net)
    with pytest.raises(NotFinite, match=r"of 11 rows of J at the points of 'rod' are not finite"):
        tx.core([u.mse], **options).eval(J.spectrum())


@pytest.mark.parametrize("width", slow_but([2, 6], 6), ids=["dual", "tiles"])
def test_trackers_are_no_numbers(width, devices, tmp_path):
    """All of a spectrum, and a cosine, which warns; without the point they are NumPy's. The report says so."""
    x, net, u, options = problem(width, devices)
    J = tx.np.sqrt(tx.np.abs(u)).grad(net)
    cosine = tx.np.cosine(J[x < 0.4].mean, J[x > 0.6].mean)
    trackers = {
        "whole": J.spectrum(2).tracker(),
        "right": J[x > 0.85].spectrum().tracker(),
        "cos": cosine.tracker(warn_below=0),
    }
    solver = tx.core({"fit": u.mse, **trackers}, **options)
    rows = solver.eval(J)[POINTS[:, 0] > 0.85]
    logged = []

    class Listener:
        on_start = on_end = lambda self, *_: None

        def on_stretch(self, stretch):
            logged.extend(stretch.warnings)

    show = {"whole": J.spectrum(), "u": u}
    history = solver.solve(2, progress=False, listeners=[Listener()], run_dir=tmp_path, show=show).history
    for part in ("effective_rank", "largest", "trace", "eigenvalues"):
        assert np.isnan(history[f"whole/{part}"]).all()
    assert np.isnan(history["cos"]).all()
    assert [text for text in logged if "cos = nan is no number" in text]
    record = analysis.read_record(tmp_path)
    findings = [finding.what for finding in analysis.findings(record)]
    for name in ("whole/effective_rank", "cos"):
        assert [text for text in findings if text.startswith(f"{name} is no number (NaN), first at epoch 0")]
    assert "1 of 11 rows of J" in record.view["spectra"][0]["text"]
    assert {each["name"] for each in record.view["fields"]} == {"u", "fit"}
    K = rows @ rows.T
    assert history["right/largest"][0] == pytest.approx(np.linalg.eigvalsh(K)[-1])
    assert history["right/trace"][0] == pytest.approx(np.trace(K))
    assert history["right/effective_rank"][0] == pytest.approx(np.trace(K) ** 2 / np.sum(K**2))


def test_products_beyond_the_largest_number_are_told_apart():
    """Rows of 1e200 are finite, their squares are not."""
    _, net, u, options = problem(2, 1)
    with pytest.raises(NotFinite, match="J is finite at all points of 'rod', and products of its rows are beyond"):
        tx.core([u.mse], **options).eval((1e200 * u).grad(net).spectrum(1, way="lanczos"))


@pytest.mark.parametrize("lost", [np.nan, np.inf])
def test_singular_values_of_what_is_not_finite_are_nan(lost, devices):
    matrix = np.ones((7, 3))
    matrix[4, 1] = lost
    values, left = singular_values(sharded(matrix, devices), vectors=1)
    assert np.isnan(values).all() and np.isnan(left).all()
    with pytest.raises(NotFinite, match="3 of 3 eigenvalues are not finite"):
        Spectrum(values, 7, 3, 1e-16)
