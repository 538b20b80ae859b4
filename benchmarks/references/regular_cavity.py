"""The cavity whose lid moves at 4x (1 - x), Reynolds number 100: Galerkin's method for ψ, Newton's.

u = ψ_y, v = -ψ_x, u·∇Δψ = Δ²ψ/100, in polynomials. At the upper corners the slope of the velocity jumps; what it does
there is beside them.
"""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import Legendre, Polynomial
from numpy.polynomial.legendre import leggauss

from .reference import Reference, difference

REYNOLDS = 100
NODES = 40  # along each axis, inside; where values are kept


def corner(along, beneath):
    """Return ψ = r² f(θ) of slow flow in a corner, whose lid moves at 4r: biharmonic, at rest on the wall.

    As the flow of a lid of one speed: Batchelor, An Introduction to Fluid Dynamics (1967), section 4.8.
    """
    square, angle = along**2 + beneath**2, jnp.arctan2(beneath, along)
    a = -jnp.pi / 2
    return a * (along**2 - beneath**2) - 2 * along * beneath - square * (a + 2 * angle)


def lift(x, y):
    """Return a ψ that has the velocities of all walls."""
    share = 1 - x**3 * (10 - 15 * x + 6 * x**2)  # 1 at the left wall, 0 at the right, flat at both
    corners = share * corner(x, 1 - y) + (1 - share) * corner(1 - x, 1 - y)
    left = 4 * x * (1 - x) - share * 4 * x - (1 - share) * 4 * (1 - x)
    return y**2 * (3 - 2 * y) * corners + left * y**2 * (y - 1)


def slopes(f, x: np.ndarray, y: np.ndarray, i: int, j: int) -> np.ndarray:
    """Return ∂ⁱ/∂xⁱ ∂ʲ/∂yʲ f at points."""
    for axis, order in ((0, i), (1, j)):
        for _ in range(order):
            f = jax.grad(f, axis)
    return np.asarray(jax.jit(jax.vmap(f))(x, y))


def polynomials(n: int, x: np.ndarray) -> list[np.ndarray]:
    """Return x² (1 - x)² times Legendre's polynomials, and two derivatives at points: three arrays (points, n)."""
    wall = (Polynomial([0, 1, -1]) ** 2).convert(kind=Legendre, domain=[0, 1])
    basis = [wall * Legendre.basis(k, domain=[0, 1]) for k in range(n)]
    return [np.column_stack([each.deriv(order)(x) if order else each(x) for each in basis]) for order in range(3)]


def flow(n: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return u and v at points, by n² polynomials: ∫ Δψ (Δφ/100 + u·∇φ) = 0 for each of them as φ."""
    with jax.enable_x64(True):
        nodes, weights = leggauss(2 * n + 10)
        nodes, weights = (nodes + 1) / 2, weights / 2
        at_x, at_y = (each.ravel() for each in np.meshgrid(nodes, nodes, indexing="ij"))
        area = np.outer(weights, weights).ravel()[:, None]
        part = polynomials(n, nodes)
        by_x, by_y = np.kron(part[1], part[0]), np.kron(part[0], part[1])
        laplacian = np.kron(part[2], part[0]) + np.kron(part[0], part[2])
        lift_x, lift_y = slopes(lift, at_x, at_y, 1, 0), slopes(lift, at_x, at_y, 0, 1)
        lifted = slopes(lift, at_x, at_y, 2, 0) + slopes(lift, at_x, at_y, 0, 2)
        c = np.zeros(n * n)
        for _ in range(20):
            u, v = (lift_y + by_y @ c)[:, None], -(lift_x + by_x @ c)[:, None]
            bent = (lifted + laplacian @ c)[:, None]
            tests = area * (laplacian / REYNOLDS + u * by_x + v * by_y)
            jacobian = tests.T @ laplacian + (area * bent * by_x).T @ by_y - (area * bent * by_y).T @ by_x
            change = np.linalg.solve(jacobian, -(tests.T @ bent)[:, 0])
            c += change
            if np.linalg.norm(laplacian @ change) < 1e-9 * np.linalg.norm(bent):
                break
        else:
            raise RuntimeError("Newton's method did not converge")
        along, across, coefficients = polynomials(n, x), polynomials(n, y), c.reshape(n, n)
        u = slopes(lift, x, y, 0, 1) + np.einsum("pi,ij,pj->p", along[0], coefficients, across[1], optimize=True)
        v = -slopes(lift, x, y, 1, 0) - np.einsum("pi,ij,pj->p", along[1], coefficients, across[0], optimize=True)
        return u, v


def reference() -> Reference:
    """Return u and v at 40 x 40 inner nodes by 32² polynomials; the error is what 24² have."""
    k = np.arange(1, NODES + 1) / (NODES + 1)
    x, y = (each.ravel() for each in np.meshgrid(k, k))
    fine, coarse = (np.column_stack(flow(n, x, y)) for n in (32, 24))
    at = np.column_stack([x, y, 0 * x])
    return Reference(at, fine, difference(coarse, fine), "polynomials for ψ, 32², Galerkin and Newton")


REFERENCES = {"dsgnar/cavity": reference}
