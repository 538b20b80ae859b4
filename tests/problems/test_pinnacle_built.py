"""Tasks of the cases with holes, layers and flows: their terms by hand for fields that are known, and their answers."""

import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax import numpy as tnp
from tangrax.expr import all_nodes
from tangrax.problems.pinnacle import domains_with_holes, layered_media, navier_stokes
from tangrax.problems.pinnacle.rough_coefficients import blocks, positive

π = np.pi
SLOPES = {
    "poisson2d-c": [(0.3, -0.2)],
    "poisson2d-cg": [(0.3, -0.2)],
    "poisson3d-cg": [(0.3, -0.2, 0.4)],
    "heat2d-cg": [(0.3, -0.2, 0.1)],
    "heat2d-vc": [(0.3, -0.2, 0.1), (0.1, 0.2, 0.3), (0.2, -0.1, 0.2)],
    "poisson2d-ms": [(0.03, -0.02), (0.01, 0.02), (0.02, -0.01)],
    "ns2d-c": [(0.3, -0.2), (0.1, 0.4), (-0.2, 0.5)],
    "ns2d-cg": [(0.3, -0.2), (0.1, 0.4), (-0.2, 0.5)],
    "ns2d-lt": [(0.3, -0.2, 0.6), (0.1, 0.4, -0.7), (-0.2, 0.5, 0.3)],
}


def exponentials(slopes):
    """Fields exp(a·x): ∂xᵢ is a factor aᵢ."""

    def field(*x):
        fields = [tnp.exp(sum((a * each for a, each in zip(row, x, strict=True)), 0.0)) for row in slopes]
        return tnp.stack(fields) if len(fields) > 1 else fields[0]

    return field


@pytest.fixture(scope="module")
def values():
    """The value of each term and its points' columns, by case and name: by one program."""
    terms, points = {}, {}
    with pytest.MonkeyPatch.context() as patch:
        for name, slopes in SLOPES.items():
            field = exponentials(slopes)
            for module in (domains_with_holes, layered_media, navier_stokes):
                patch.setattr(module, "network", lambda *_, field=field, **__: field)
            task = tx.problems.get(f"pinnacle/{name}").build(0)
            for term, node in task.terms.items():
                terms[name, term] = node
                points[name, term] = next(each.points.coordinates for each in all_nodes([node]) if each.points).T
    solver = tx.core({"k": tx.nn.parameter(1.0) ** 2}, optimizer=optax.adam(1e-3), devices=1)
    return dict(zip(terms, map(float, solver.eval(list(terms.values()))), strict=True)), points


@pytest.fixture
def term(values):
    """A function that gives the fields at a term's points, the points' columns, and the value of the term."""

    def of(name, which):
        columns = values[1][name, which]
        exponents = [sum(a * each for a, each in zip(row, columns, strict=False)) for row in SLOPES[name]]
        return np.exp(exponents), columns, values[0][name, which]

    return of


def close(value, *residuals):
    np.testing.assert_allclose(value, sum(np.mean(each**2) for each in residuals), rtol=1e-10)


@pytest.mark.slow
def test_terms_of_plates_with_holes(term):
    for name, k, side, rim in (("poisson2d-c", 0, 1.0, 0.0), ("poisson2d-cg", 64, 0.2, 1.0)):
        (u,), (x, y, _), value = term(name, "pde")
        source = 10 * (17 + x**2 + y**2) * np.sin(π * x) * np.sin(4 * π * y) if k else 0
        close(value, (k - 0.13) * u - source)
        for which, wanted in (("sides", side), ("holes", rim)):
            (u,), _, value = term(name, which)
            close(value, u - wanted)


def slope(columns, holes, slopes):
    """The factor ∂/∂n of exp(a·x) has on the rims of holes: n points to the center."""
    places = columns[: len(holes[0]) - 1]
    gaps = [np.linalg.norm(places.T - hole[:-1], axis=1) - hole[-1] for hole in holes]
    nearest = np.argmin(np.abs(gaps), axis=0)
    centers, radii = np.array(holes)[nearest, :-1], np.array(holes)[nearest, -1]
    return ((centers - places.T) / radii[:, None]) @ slopes[: len(places)]


def test_terms_of_a_cube_without_balls(term):
    a = np.array(SLOPES["poisson3d-cg"][0])
    (u,), (x, y, z, _), value = term("poisson3d-cg", "pde")
    square = x**2 + y**2 + z**2
    waves = np.sin(π * x), np.sin(10 * π * y), np.sin(5 * π * z)
    source = 20 * np.exp(sum(waves)) * (square - 1) / (square + 1) + 100 * np.prod(waves, axis=0)
    close(value, (np.where(z < 0.5, 8, 10) ** 2 - a @ a) * u - source)
    (u,), columns, value = term("poisson3d-cg", "balls")
    close(value, slope(columns, domains_with_holes.BALLS, a) * u)
    (u,), columns, value = term("poisson3d-cg", "faces")
    axis = np.argmax(abs(columns[:3] - 0.5), axis=0)
    close(value, a[axis] * u)


def test_terms_of_a_heated_plate(term):
    *a, c = SLOPES["heat2d-cg"][0]
    (u,), _, value = term("heat2d-cg", "pde")
    close(value, (c - np.dot(a, a)) * u)
    (u,), columns, value = term("heat2d-cg", "start")
    assert not columns[2].any()
    close(value, u)
    for name, holes, ambient in (
        ("large holes", domains_with_holes.HEATED, 5),
        ("small holes", domains_with_holes.WARMED, 1),
    ):
        (u,), columns, value = term("heat2d-cg", name)
        close(value, slope(columns, holes, a) * u + u - ambient)
    (u,), columns, value = term("heat2d-cg", "sides")
    axis = np.argmax(abs(columns[:2]) == [[8], [12]], axis=0)
    close(value, np.take(a, axis) * np.sign(columns[axis, np.arange(len(axis))]) * u + u - 0.1)


def test_points_of_plates_lie_on_sides_and_holes(values):
    for name, holes, half in (
        ("poisson2d-c", domains_with_holes.COOLED, 0.5),
        ("poisson2d-cg", domains_with_holes.CHARGED, 1.0),
    ):
        x, y, _ = values[1][f"{name}", "sides"]
        np.testing.assert_allclose(np.maximum(abs(x), abs(y)), half, atol=1e-12)
        x, y, _ = values[1][f"{name}", "holes"]
        beyond = [np.hypot(x - hole.x, y - hole.y) - hole.radius for hole in holes]
        np.testing.assert_allclose(np.min(np.abs(beyond), axis=0), 0, atol=1e-9)
        shares = np.bincount(np.argmin(np.abs(beyond), axis=0)) / len(x)
        lengths = np.array([hole.radius for hole in holes])
        np.testing.assert_allclose(shares, lengths / lengths.sum(), atol=0.03)


def test_conductivity_is_that_of_the_nearest_pixel(term):
    (u, p, q), (x, y, t), value = term("heat2d-vc", "flux")
    a = 1.0 + positive()[np.rint(255 * y).astype(int), np.rint(255 * x).astype(int)]
    close(value, p - a * 0.3 * u, q + a * 0.2 * u)
    (u, p, q), (x, y, t), value = term("heat2d-vc", "balance")
    close(value, 0.1 * u - 0.1 * p + 0.1 * q - 200 * np.sin(π * x) * np.sin(5 * π * y) * np.sin(π * t))


def test_blocks_have_their_coefficients(term):
    a, mean, bump = blocks()
    (u, p, q), (x, y, _), value = term("poisson2d-ms", "flux")
    i, j = (np.searchsorted([-6, -2, 2, 6], each) for each in (x, y))
    close(value, p - a[i, j] * 0.03 * u, q + a[i, j] * 0.02 * u)
    (u, p, q), (x, y, _), value = term("poisson2d-ms", "balance")
    shape = abs(np.sin(π * (x + 10) / 4) * np.sin(π * (y + 10) / 4))
    close(value, 0.01 * p - 0.01 * q + mean[i, j] + bump[i, j] * shape)
    (u, p, q), columns, value = term("poisson2d-ms", "sides")
    axis = np.argmax(abs(columns[:2]), axis=0)
    close(value, np.where(axis == 0, p, q) * np.sign(columns[axis, np.arange(len(axis))]) + u)


def test_flow_in_a_cavity(term):
    (u, v, p), _, value = term("ns2d-c", "momentum x")
    close(value, 0.3 * u**2 - 0.2 * v * u - 0.2 * p - 0.01 * 0.13 * u)
    (u, v, p), _, value = term("ns2d-c", "momentum y")
    close(value, 0.1 * u * v + 0.4 * v**2 + 0.5 * p - 0.01 * 0.17 * v)
    (u, v, p), _, value = term("ns2d-c", "mass")
    close(value, 0.3 * u + 0.4 * v)
    (u, v, p), (x, y, _), value = term("ns2d-c", "lid")
    assert set(y) == {1.0}
    close(value, u - 4 * x * (1 - x), v)
    assert term("ns2d-c", "pressure")[2] == 1.0


def test_flow_over_a_step(term):
    (u, v, p), (x, y, _), value = term("ns2d-cg", "inlet")
    assert not x.any()
    assert y.max() <= 1
    close(value, u - 4 * y * (1 - y), v)
    (u, v, p), (x, y, _), value = term("ns2d-cg", "outlet")
    assert set(x) == {4.0}
    close(value, v, p)
    (u, v, p), (x, y, _), value = term("ns2d-cg", "walls")
    assert np.all((y == 0) | (y == 2) | (y == 1) & (x <= 2) | (x == 2) & (y >= 1))
    close(value, u, v)


def test_flow_through_a_breathing_inlet(term):
    (u, v, p), _, value = term("ns2d-lt", "momentum x")
    close(value, 0.6 * u + 0.3 * u**2 - 0.2 * v * u - 0.2 * p - 0.01 * 0.13 * u)
    (u, v, p), (x, y, t), value = term("ns2d-lt", "momentum y")
    force = np.sin(π * x) * np.sin(π * y) * np.sin(π * t)
    close(value, -0.7 * v + 0.1 * u * v + 0.4 * v**2 + 0.5 * p - 0.01 * 0.17 * v + force)
    (u, v, p), (x, y, t), value = term("ns2d-lt", "inlet")
    assert not x.any()
    close(value, u - np.sin(π * y) * (np.sin(π * t) + np.sin(3 * π * t) + np.sin(5 * π * t)), v)
    (u, v, p), (x, _, _), value = term("ns2d-lt", "outlet")
    assert set(x) == {2.0}
    close(value, v, p)
