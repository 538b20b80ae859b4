"""Tasks of the cases with holes, layers and flows: their terms by hand for fields that are known, and their answers."""

import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax import numpy as tnp
from tangrax.expr import all_nodes
from tangrax.problems.pinnacle import domains_with_holes, layered_media, navier_stokes
from tangrax.problems.pinnacle.rough_coefficients import positive

π = np.pi
SLOPES = {
    "poisson2d-c": [(0.3, -0.2)],
    "poisson2d-cg": [(0.3, -0.2)],
    "heat2d-vc": [(0.3, -0.2, 0.1), (0.1, 0.2, 0.3), (0.2, -0.1, 0.2)],
    "ns2d-c": [(0.3, -0.2), (0.1, 0.4), (-0.2, 0.5)],
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


def test_terms_of_plates_with_holes(term):
    for name, k, side, rim in (("poisson2d-c", 0, 1.0, 0.0), ("poisson2d-cg", 64, 0.2, 1.0)):
        (u,), (x, y, _), value = term(name, "pde")
        source = 10 * (17 + x**2 + y**2) * np.sin(π * x) * np.sin(4 * π * y) if k else 0
        close(value, (k - 0.13) * u - source)
        for which, wanted in (("sides", side), ("holes", rim)):
            (u,), _, value = term(name, which)
            close(value, u - wanted)


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
