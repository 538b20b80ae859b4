"""Pictures show the numbers they were given; each is written once, so that crowded layouts would warn."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tangrax import report
from tangrax.solve import History

X = np.linspace(0, 1, 41)
RANDOM = np.random.default_rng(0)


def cosines(t, g):
    """Cosines of random vectors."""
    units = RANDOM.normal(size=(t, g, 4))
    units /= np.linalg.norm(units, axis=-1, keepdims=True)
    return units @ units.swapaxes(1, 2)


def labels(ticks):
    return [tick.get_text() for tick in ticks]


@pytest.mark.parametrize("g", [2, 3, 5])
def test_history_of_cosines(g, tmp_path):
    epochs, matrices, names = np.array([0, 10, 20, 50]), cosines(4, g), [f"group {i}" for i in range(g)]
    axes = report.cosine_history(epochs, matrices, names)
    (mesh,) = axes.collections
    pairs = [(i, j) for i in range(g) for j in range(i + 1, g)]
    np.testing.assert_array_equal(mesh.get_array(), [matrices[:, i, j] for i, j in pairs])
    assert mesh.get_clim() == (-1, 1)
    edges = mesh.get_coordinates()[0, :, 0]
    np.testing.assert_array_equal(edges, [-5, 5, 15, 35, 65])
    assert labels(axes.get_yticklabels()) == [f"group {i} · group {j}" for i, j in pairs]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first pair on top
    assert report.save(axes, tmp_path / "new" / "cosines.png").stat().st_size > 5000


def test_history_of_cosines_of_one_epoch_and_not_finite():
    matrices = cosines(1, 3)
    matrices[0, 0, 1] = matrices[0, 1, 0] = np.nan
    (mesh,) = report.cosine_history(np.array([7]), matrices, "abc").collections
    assert np.ma.getmaskarray(mesh.get_array()).ravel().tolist() == [True, False, False]
    np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], [6.5, 7.5])


def test_cosines_of_leaves(tmp_path):
    names, values = ["net.a", "net.b", "net.c"], np.array([0.5, -0.25, 0.0])
    axes = report.leaf_cosines(names, values)
    bars = axes.patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], values)
    assert [labels(axes.get_yticklabels())[round(bar.get_y() + bar.get_height() / 2)] for bar in bars] == names
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert axes.get_xlim()[0] < -1 and axes.get_xlim()[1] > 1
    assert to_hex(bars[0].get_facecolor()) != to_hex(bars[1].get_facecolor())
    report.save(axes, tmp_path / "leaves.png")


def test_eigenfunctions(tmp_path):
    """sin kπx, of any size, sign and order of points, and with noise that must not choose the side."""
    exact = np.stack([np.sin((k + 1) * np.pi * X) for k in range(8)], axis=1)
    order = RANDOM.permutation(len(X))
    result = (exact * [-3, 0.1, -1, 1, 1, -1, 1, 1] + 1e-14 * RANDOM.normal(size=exact.shape))[order]
    axes = report.eigenfunctions(X[order], result, np.array([316.0, 2.04, 1.0, 0.1, 1e-3, 1.25e-12, 0.0, 0.0]))
    curves = [line for line in axes.lines if len(line.get_xdata()) == len(X)]
    assert len(curves) == 6
    # The grid meets sin 6πx at its full size first where it is negative.
    for k, (curve, sign) in enumerate(zip(curves, [1, 1, 1, 1, 1, -1], strict=True)):
        np.testing.assert_array_equal(curve.get_xdata(), X)
        np.testing.assert_allclose(curve.get_ydata(), sign * exact[:, k], atol=1e-12)
    legend = axes.get_legend()
    assert legend is not None
    assert labels(legend.get_texts())[:4] == ["λ₁ = 3.2e2", "λ₂ = 2.0e0", "λ₃ = 1.0e0", "λ₄ = 1.0e-1"]
    report.save(axes, tmp_path / "curves.png")


def test_eigenfunctions_without_eigenvalues():
    legend = report.eigenfunctions(X, np.stack([X, 0 * X], axis=1)).get_legend()
    assert legend is not None and labels(legend.get_texts()) == ["v₁", "v₂"]


@pytest.mark.parametrize("sign", [1, -1])
def test_eigenfunction_in_the_plane(sign, tmp_path):
    points = np.column_stack([RANDOM.uniform(size=60), RANDOM.uniform(size=60)])
    vector = points[:, 0] - 0.4
    axes = report.eigenfunction(points, sign * 5 * vector, title="first", ylabel="t")
    filled = axes.collections[0]
    np.testing.assert_allclose(filled.get_array(), vector / np.abs(vector).max())
    assert filled.get_clim() == (-1, 1)
    assert (axes.get_title(), axes.get_ylabel()) == ("first", "t")
    line = np.concatenate([path.vertices for path in axes.collections[1].get_paths()])
    np.testing.assert_allclose(line[:, 0], 0.4)
    report.save(axes, tmp_path / "map.png")


def test_eigenfunction_of_one_sign():
    points = RANDOM.uniform(size=(20, 2))
    assert len(report.eigenfunction(points, -np.ones(20)).collections) == 1


def test_axes_that_were_given_are_drawn_on(tmp_path):
    axes = Figure(figsize=(12, 8), layout="constrained").subplots(2, 2)
    assert report.cosine_history(np.arange(3), cosines(3, 5), "abcde", axes[0, 0]) is axes[0, 0]
    assert report.leaf_cosines(["a", "b"], np.array([1.0, -1.0]), axes[0, 1]) is axes[0, 1]
    assert report.eigenfunctions(X, X[:, None], axes=axes[1, 0]) is axes[1, 0]
    assert report.eigenfunction(RANDOM.uniform(size=(9, 2)), RANDOM.normal(size=9), axes[1, 1]) is axes[1, 1]
    report.save(axes[0, 0], tmp_path / "four.png")


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: report.cosine_history(np.arange(2), cosines(2, 3), "ab"), "2 names for cosines of 3 groups"),
        (lambda: report.cosine_history(np.arange(2), np.ones((2, 1, 1)), "a"), "two at least"),
        (lambda: report.leaf_cosines(["a"], np.zeros(2)), "1 names for cosines of 2 leaves"),
        (lambda: report.eigenfunctions(X, np.eye(41), np.zeros(2)), "2 eigenvalues for 41 eigenvectors"),
        (lambda: report.eigenfunction(np.zeros((2, 2)), np.zeros(2)), "three at least"),
    ],
)
def test_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_a_loss_below_zero_is_seen():
    """Such as an energy: on a logarithmic scale it would have no place."""
    epochs = np.arange(4)
    series = {"loss": [3.0, 1.0, -0.5, -2.0], "energy": [2.0, 0.5, -0.6, -2.0], "edge": [1.0, 0.5, 0.1, 0.0]}
    history = History.of({name: (epochs, np.array(values)) for name, values in series.items()})
    axes = report.losses(history)
    assert axes.get_yscale() == "symlog" and axes.get_ylim()[0] < -2
    positive = History.of({"loss": (epochs, np.array([3.0, 2.0, 1.0, 0.5]))})
    assert report.losses(positive).get_yscale() == "log"


def test_eigenvalues_that_are_not_above_zero_are_counted():
    legend = report.spectrum(np.array([1.0, 1e-9, 0.0, -1e-12]), 1e-6).get_legend()
    assert legend is not None
    assert labels(legend.get_texts())[:2] == ["not resolved, and 2 not above zero", "resolved"]
