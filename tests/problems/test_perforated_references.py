"""References of domains with holes: conditions and equations hold, by differences; what is kept is what is computed."""

import numpy as np
import pytest
from references import multipoles
from references.reference import difference

from tangrax.problems.pinnacle.domains_with_holes import CHARGED, COOLED
from tangrax.problems.stored import stored

π = np.pi
ANGLES = np.random.default_rng(0).uniform(0, 2 * π, 20)
SPAN = np.linspace(-0.99, 0.99, 20)


def on_rims(holes):
    x = np.concatenate([hole.x + hole.radius * np.cos(ANGLES) for hole in holes])
    return x, np.concatenate([hole.y + hole.radius * np.sin(ANGLES) for hole in holes])


def laplacian(f, x, y, h=2e-3):
    """By differences of fourth order."""
    far = sum(f(x + a * h, y + b * h) for a, b in ((2, 0), (-2, 0), (0, 2), (0, -2)))
    near = sum(f(x + a * h, y + b * h) for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    return (-far + 16 * near - 60 * f(x, y)) / (12 * h**2)


def test_plate_with_cooled_holes():
    def u(x, y):
        return multipoles.cooled_plate(x, y, 16)

    np.testing.assert_allclose(u(*on_rims(COOLED)), 0, atol=1e-8)
    for x, y in ((SPAN / 2, 0.5), (SPAN / 2, -0.5), (0.5, SPAN / 2), (-0.5, SPAN / 2)):
        np.testing.assert_allclose(u(*np.broadcast_arrays(x, y)), 1, atol=1e-8)
    reference = stored("pinnacle/poisson2d-c")
    x, y = reference.at[:20, :2].T
    np.testing.assert_allclose(laplacian(u, x, y, 5e-4), 0, atol=1e-4)
    assert difference(u(x, y), reference.values[:20, 0]) < 1e-8


@pytest.mark.slow
def test_plate_with_charged_holes():
    def u(x, y):
        return multipoles.charged_plate(x, y, 24)

    np.testing.assert_allclose(u(*on_rims(CHARGED)), 1, atol=1e-5)
    for x, y in ((SPAN, 1.0), (SPAN, -1.0), (1.0, SPAN), (-1.0, SPAN)):
        np.testing.assert_allclose(u(*np.broadcast_arrays(x, y)), 0.2, atol=1e-6)
    reference = stored("pinnacle/poisson2d-cg")
    x, y = reference.at[:20, :2].T
    source = 10 * (17 + x**2 + y**2) * np.sin(π * x) * np.sin(4 * π * y)
    np.testing.assert_allclose(64 * u(x, y) - laplacian(u, x, y), source, atol=2e-3)
    assert difference(u(x, y), reference.values[:20, 0]) < 1e-6


def test_kept_points_lie_in_the_domain():
    for name, holes, half in (("poisson2d-c", COOLED, 0.5), ("poisson2d-cg", CHARGED, 1.0)):
        at = stored(f"pinnacle/{name}").at
        assert abs(at[:, :2]).max() < half
        assert all(np.hypot(at[:, 0] - hole.x, at[:, 1] - hole.y).min() > hole.radius for hole in holes), name
