"""DSGNAR's problems: sizes of its networks, and terms with functions that are known in place of networks."""

import functools
import operator

import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax import numpy as tnp
from tangrax.problems import burgers
from tangrax.problems.dsgnar import evolutions, steady_states

π = np.pi
NETWORKS = [(evolutions, ("trained_siren", "scaled_mlp")), (steady_states, ("trained_siren", "separable", "gabor"))]
GROWTH = 0.3


def sine(circle, t):
    """sin of the angle that the inputs are of, growing: ∂t is a factor."""
    return tnp.exp(GROWTH * t) * circle[1]


def string(x, t):
    return tnp.sin(π * x) * tnp.cos(2 * π * t) + tnp.sin(4 * π * x) * tnp.cos(8 * π * t) / 2


def pairs(*x):
    return functools.reduce(operator.add, [a * b for a, b in zip(x[::2], x[1::2], strict=True)])


def cosines(*x):
    return functools.reduce(operator.add, [tnp.cos(π * each) for each in x])


def four_scales(*circles):
    """sin(12πx) from those of 4πx and 8πx."""
    sines, cosines = ([circle[part] for circle in circles[2:]] for part in (1, 0))
    twelve = [sines[i] * cosines[i + 2] + cosines[i] * sines[i + 2] for i in (0, 1)]
    return (sines[0] * sines[1] + sines[2] * sines[3] + sines[4] * sines[5] + twelve[0] * twelve[1]) / 4


FIELDS = {
    "burgers": sine,
    "kuramoto-sivashinsky": sine,
    "korteweg-de-vries": sine,
    "wave": string,
    "poisson-10d": pairs,
    "poisson-5d": cosines,
    "multi-scale": four_scales,
}


@pytest.fixture(scope="module")
def values():
    """The value of each term by problem and name: by one program."""
    terms = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, field in FIELDS.items():
            for module, networks in NETWORKS:
                for network in networks:
                    patch.setattr(module, network, lambda *_, field=field, **__: field)
            task = tx.problems.get(f"dsgnar/{name}").build(0)
            terms |= {(name, term): node for term, node in task.terms.items()}
    points = {key: node.args[0].points.coordinates.T for key, node in terms.items()}
    k = tx.nn.parameter(1.0)
    solver = tx.core({"k": k**2}, optimizer=optax.adam(1e-3), devices=1)
    return dict(zip(terms, map(float, solver.eval(list(terms.values()))), strict=True)), points


@pytest.mark.parametrize("name", ["wave", "poisson-10d", "poisson-5d", "multi-scale"])
def test_solutions_leave_nothing_of_any_term(name, values):
    result = {term: value for (problem, term), value in values[0].items() if problem == name}
    assert set(result) >= {"pde"} and max(result.values()) < 1e-20


def test_residuals_of_what_is_periodic(values):
    """For u = exp(bt) sin(kx), which is no solution."""
    b = GROWTH
    for name, k, terms in (
        ("burgers", π, lambda u, u_x: b * u + u * u_x + 0.01 * π**2 * u),
        ("kuramoto-sivashinsky", 1, lambda u, u_x: b * u + 6.25 * u * u_x - u / 2.56 + u / 655.36),
        ("korteweg-de-vries", π, lambda u, u_x: b * u + u * u_x - 0.022**2 * π**2 * u_x),
    ):
        x, t = values[1][name, "pde"]
        u, u_x = np.exp(b * t) * np.sin(k * x), np.exp(b * t) * k * np.cos(k * x)
        np.testing.assert_allclose(values[0][name, "pde"], np.mean(terms(u, u_x) ** 2), rtol=1e-10)
        x, t = values[1][name, "start"]
        start = {"burgers": -np.sin(π * x), "korteweg-de-vries": np.cos(π * x)}
        exact = start.get(name, np.cos(x) * (1 + np.sin(x)))
        np.testing.assert_allclose(values[0][name, "start"], np.mean((np.sin(k * x) - exact) ** 2), rtol=1e-10)
        assert len(x) == 2**14 and not t.any() and x.max() < -x.min() + 2 * π * (k == 1)
        np.testing.assert_allclose(np.diff(x), np.diff(x)[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("burgers", 5_125),
        ("kuramoto-sivashinsky", 15_265),
        ("poisson-10d", 17_241),
        ("poisson-5d", 13_313),
        ("cavity", 11_347),
        ("wave", 11_225),
        ("korteweg-de-vries", 11_285),
        ("multi-scale", 12_065),
    ],
)
def test_networks_have_the_parameters_that_are_stated(name, parameters):
    """Those of DSGNAR's notebooks."""
    assert tx.problems.get(f"dsgnar/{name}").build(0).parameters == parameters


def test_closed_form_of_burgers_with_another_viscosity():
    """By 120 nodes as by 300, as good as the best error that is published."""
    x, t = np.meshgrid(np.linspace(-1, 1, 41), [0.1, 0.5, 1.0])
    few, many = (burgers.solution(x.ravel(), t.ravel(), nodes, viscosity=0.01) for nodes in (120, 300))
    assert np.linalg.norm(few - many) < 1e-13 * np.linalg.norm(many)


def test_points_of_the_cavity():
    inside, walls = steady_states.crowded(0)
    assert (len(inside), len(walls)) == (2**15, 2**14)
    assert (inside > 0).all() and (inside < 1).all()
    on = (walls == 0) | (walls == 1)
    assert on.any(axis=1).all()
    share = np.mean(walls[:, 1] == 1)  # a quarter of 15/16, and 1/16
    np.testing.assert_allclose(share, 15 / 64 + 1 / 16, atol=0.015)
    corner = (inside[:, 1] > 0.9) & (np.minimum(inside[:, 0], 1 - inside[:, 0]) < 0.1)
    np.testing.assert_allclose(corner.mean(), 14 / 16 * 0.02 + 0.2 / 16 + 1 / 16, atol=0.01)
