"""References of flows and of domains with holes by scikit-fem, with solutions that are known."""

import numpy as np
import pytest

from tangrax.problems.pinnacle import published
from tangrax.problems.pinnacle.domains_with_holes import BALLS, HEATED, WARMED
from tangrax.problems.stored import stored

skfem = pytest.importorskip("skfem", reason="scikit-fem is not installed: pip install scikit-fem")

from references import breathing_flow, steady_flows, taylor_hood  # noqa: E402
from references.reference import difference  # noqa: E402

π = np.pi


def test_poiseuille_flow_is_exact():
    """A parabola between walls, and a pressure that falls to 0 at the outlet: in the elements' space."""
    mesh = skfem.MeshQuad.init_tensor(taylor_hood.graded(0.0, 2.0, cells=4), taylor_hood.graded(0.0, 1.0, cells=3))
    flow = taylor_hood.Flow(mesh, 0.01, outlet=lambda at: at[0] == 2)
    points = np.random.default_rng(0).uniform((0, 0), (2, 1), (50, 2))
    u, v, p = flow.at(flow.steady(lambda x, y: np.stack([4 * y * (1 - y), 0 * x])), points).T
    x, y = points.T
    np.testing.assert_allclose(u, 4 * y * (1 - y), atol=1e-10)
    np.testing.assert_allclose(v, 0, atol=1e-10)
    np.testing.assert_allclose(p, 0.08 * (2 - x), atol=1e-10)


def test_kovasznay_flow_converges():
    """Its velocity given all round; the pressure up to a constant. By a factor of 6 or more as cells are halved."""
    λ = 20 - np.sqrt(400 + 4 * π**2)

    def velocity(x, y):
        grown = np.exp(λ * x)
        return np.stack([1 - grown * np.cos(2 * π * y), λ / (2 * π) * grown * np.sin(2 * π * y)])

    points = np.random.default_rng(0).uniform((-0.4, 0.1), (0.9, 0.9), (100, 2))
    errors = []
    for cells in (6, 12):
        grid = np.linspace(-0.5, 1, cells + 1), np.linspace(0, 1, cells + 1)
        flow = taylor_hood.Flow(skfem.MeshQuad.init_tensor(*grid), 1 / 40, pinned=(-0.5, 0.0))
        actual = flow.at(flow.steady(velocity), points)
        x, y = points.T
        pressure = (np.exp(-λ) - np.exp(2 * λ * x)) / 2
        errors.append([difference(actual[:, :2].T, velocity(x, y)), difference(actual[:, 2], pressure)])
    assert errors[1][0] < errors[0][0] / 6
    assert errors[1][1] < errors[0][1] / 3
    assert max(errors[1]) < 1e-2


def test_kept_cavity_and_step():
    """Coarser cells come near, most of all in the velocities: p is unbounded at the upper corners of the cavity."""
    for name, solve, cells, limits in (
        ("ns2d-c", steady_flows.cavity, 12, (2e-2, 2e-2, 0.1)),
        ("ns2d-cg", steady_flows.step, 8, (1e-2, 3e-2, 3e-2)),
    ):
        reference = stored(f"pinnacle/{name}")
        actual = solve(cells, reference.at[:300, :2])
        errors = [difference(actual[:, i], reference.values[:300, i]) for i in range(3)]
        assert np.all(np.array(errors) < limits), errors


@pytest.mark.slow
def test_published_cavity():
    """Where the files are at hand: they agree but for p at the corners, where it is unbounded."""
    theirs = published("pinnacle/ns2d-c")
    if theirs is None:
        pytest.skip("no copy of PINNacle's reference files at hand: TANGRAX_PINNACLE is not set")
    at, values = theirs
    bounded = (at[:, 1] < 1) | (abs(at[:, 0] - 0.5) < 0.5)
    actual = steady_flows.cavity(24, at[bounded, :2])
    assert difference(actual, values[bounded]) < 5e-3
    assert difference(actual[:, :2], values[bounded, :2]) < 1e-3


@pytest.mark.slow
def test_kept_breathing_flow():
    reference = stored("pinnacle/ns2d-lt")
    at = reference.at
    points, place = np.unique(np.round(at[:, :2], 4), axis=0, return_inverse=True)
    actual = breathing_flow.history(12, 20, points)[np.rint(at[:, 2] * 10).astype(int) - 1, place.ravel()]
    assert difference(actual, reference.values) < 5e-3
    assert difference(actual[:, 0], reference.values[:, 0]) < 2e-2


@pytest.fixture(scope="module")
def meshes():
    pytest.importorskip("meshpy", reason="MeshPy is not installed: pip install tangrax[references]")
    from references import perforated_cube, perforated_heat, round_holes

    return perforated_cube, perforated_heat, round_holes


def test_curved_meshes_fill_the_domains(meshes):
    """Areas and volumes by hand."""
    _, heat, round_holes = meshes
    for mesh, element, exact in (
        (heat.quarter(0.6), skfem.ElementTriP2(), 96 - π * (2 + 1 / 4 + 1 / 2) - π * 0.4**2 * (1 + 1 / 2)),
        (round_holes.tetrahedra(BALLS, 0.2), skfem.ElementTetP2(), 1 - 4 / 3 * π * sum(ball[3] ** 3 for ball in BALLS)),
    ):
        basis = skfem.Basis(mesh, element, intorder=4)
        measured = skfem.Functional(lambda w: 1 + 0 * w.x[0]).assemble(basis)
        assert measured == pytest.approx(exact, rel=1e-3)


def test_probes_of_curved_meshes(meshes):
    """A quadratic of the local coordinates near rims, so not exact for one of x and y there; to third order."""
    _, heat, round_holes = meshes
    basis = skfem.Basis(heat.quarter(0.6), skfem.ElementTriP2(), intorder=4)
    points = np.random.default_rng(0).uniform(0, (8, 12), (300, 2))
    holes = (*HEATED, *WARMED)
    points = points[np.min([np.hypot(*(points - hole[:2]).T) - hole.radius for hole in holes], axis=0) > 0]
    x, y = basis.doflocs
    actual = round_holes.probed(basis, points) @ (x**2 - 3 * x * y)
    np.testing.assert_allclose(actual, points[:, 0] ** 2 - 3 * points[:, 0] * points[:, 1], atol=2e-2)
    with pytest.raises(ValueError, match="outside of the mesh"):
        round_holes.probed(basis, np.array([[4.0, 3.0]]))


def test_kept_heat_in_a_perforated_plate(meshes):
    _, heat, _ = meshes
    reference = stored("pinnacle/heat2d-cg")
    last = reference.at[:, 2] > 2.95
    actual = heat.temperature(0.6, abs(reference.at[last, :2]))[-1]
    assert difference(actual, reference.values[last, 0]) < 2e-3


@pytest.mark.slow
def test_kept_diffusion_in_a_perforated_cube(meshes):
    cube, _, _ = meshes
    reference = stored("pinnacle/poisson3d-cg")
    assert difference(cube.potential(0.12, reference.at[:500, :3]), reference.values[:500, 0]) < 2e-2
