"""Steady plates with round holes: multipoles at the centers and their images in the sides, fitted on the circles.

What vanishes on the sides is odd about each of them: a multipole's images lie in the squares that reflection makes, of
alternating sign. Where these fade slowly, harmonic polynomials stand for those left out.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import k0, k1

from tangrax.problems.pinnacle.domains_with_holes import CHARGED, COOLED, Hole

from .reference import Reference, difference, scattered

π = np.pi
DECAY = 8  # of the screened equation, 1/length
POINTS = 2000


def images(x: np.ndarray, y: np.ndarray, side: float, rings: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield signs, and points seen from the images of a square round 0: those of so many rings round it."""
    for i in range(-rings, rings + 1):
        for j in range(-rings, rings + 1):
            yield (-1) ** (i + j), (-1) ** i * (x - i * side), (-1) ** j * (y - j * side)


def harmonic(x: np.ndarray, y: np.ndarray, orders: int, rings: int = 2) -> np.ndarray:
    """Return columns of harmonic functions with the symmetries of four holes on the diagonals of a square of side 1."""
    hole = COOLED[0]
    columns = np.zeros((len(x), orders))
    turn = np.exp(-1j * np.angle(hole.x + 1j * hole.y))
    for sign, X, Y in images(x, y, 1.0, rings):
        for mirrored_x in (X, -X):
            for mirrored_y in (Y, -Y):
                w = (mirrored_x - hole.x + 1j * (mirrored_y - hole.y)) / hole.radius * turn
                columns += sign * np.column_stack([np.log(abs(w)), *((w**-n).real for n in range(1, orders))])
    z4 = (2 * (x + 1j * y) ** 2) ** 2  # 1 in size at the corners
    return np.column_stack([columns, *((z4**n).real for n in range(orders // 2))])


def cooled_plate(x: np.ndarray, y: np.ndarray, orders: int = 26) -> np.ndarray:
    """Return u at points: Δu = 0, 1 on the sides of a square, 0 on its four holes."""
    hole, angle = COOLED[0], 2 * π * np.arange(128) / 128
    side = np.linspace(-0.5, 0.5, 101)
    rim_x = np.concatenate([hole.x + hole.radius * np.cos(angle), np.full(101, 0.5)])
    rim_y = np.concatenate([hole.y + hole.radius * np.sin(angle), side])
    wanted = np.repeat([-1.0, 0.0], [128, 101])
    coefficients = np.linalg.lstsq(harmonic(rim_x, rim_y, orders), wanted, rcond=None)[0]
    return 1 + harmonic(x, y, orders) @ coefficients


def screened_multipoles(x: np.ndarray, y: np.ndarray, hole: Hole, orders: int) -> np.ndarray:
    """Return columns Kₙ(8r) cos nθ, Kₙ(8r) sin nθ about a hole, of size 1 at its rim, zero on the sides of [-1, 1]²."""
    columns = np.zeros((2 * orders - 1, len(x)))
    before, rim = (k0, k1), DECAY * hole.radius
    at_rim = [f(rim) for f in before]
    for n in range(1, orders):
        at_rim.append(at_rim[n - 1] + 2 * n / rim * at_rim[n])
    for sign, X, Y in images(x, y, 2.0, 2):
        z = X - hole.x + 1j * (Y - hole.y)
        r, turn, phase = DECAY * abs(z), z / abs(z), np.ones_like(z)
        last, this = k0(r), k1(r)
        columns[0] += sign * last / at_rim[0]
        for n in range(1, orders):
            phase = phase * turn
            columns[2 * n - 1] += sign * this * phase.real / at_rim[n]
            columns[2 * n] += sign * this * phase.imag / at_rim[n]
            last, this = this, last + 2 * n / r * this
    return columns.T


def without_holes(x: np.ndarray, y: np.ndarray, terms: int = 4000) -> np.ndarray:
    """Return u of -Δu + 64u = 10 (17 + x² + y²) sin πx sin 4πy on [-1, 1]², 1/5 on its sides."""
    square = DECAY**2
    whole = square + 17 * π**2
    # (a + b r²) sin sin + c x cos sin + d y sin cos solves the equation; by comparison of coefficients.
    b = 10 / whole
    c, d = 4 * π * b / whole, 16 * π * b / whole
    a = (170 + 4 * b - 2 * π * c - 8 * π * d) / whole
    s1, s4 = np.sin(π * x), np.sin(4 * π * y)
    u = (a + b * (x**2 + y**2)) * s1 * s4 + c * x * np.cos(π * x) * s4 + d * y * s1 * np.cos(4 * π * y)
    u += c * s4 * ratio(np.sinh, np.sqrt(square + 16 * π**2), x) - d * s1 * ratio(np.sinh, np.sqrt(square + π**2), y)
    edges = ratio(np.cosh, DECAY, x)
    for m in range(terms):
        k = (m + 0.5) * π
        μ = np.sqrt(square + k**2)
        falling = (np.exp(μ * (abs(y) - 1)) + np.exp(-μ * (abs(y) + 1))) / (1 + np.exp(-2 * μ))
        edges = edges + 2 * (-1) ** m * square / (k * μ**2) * np.cos(k * x) * falling
    return u + edges / 5


def ratio(f: np.ufunc, k: float, x: np.ndarray) -> np.ndarray:
    """Return f(kx) / f(k)."""
    return f(k * x) / f(k)


def charged_plate(x: np.ndarray, y: np.ndarray, orders: int = 50) -> np.ndarray:
    """Return u at points: -Δu + 64u = f, 1/5 on the sides of [-1, 1]², 1 on four holes."""
    angle = 2 * π * np.arange(256) / 256
    rim_x = np.concatenate([hole.x + hole.radius * np.cos(angle) for hole in CHARGED])
    rim_y = np.concatenate([hole.y + hole.radius * np.sin(angle) for hole in CHARGED])

    def columns(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.column_stack([screened_multipoles(x, y, hole, orders) for hole in CHARGED])

    wanted = 1 - without_holes(rim_x, rim_y)
    coefficients = np.linalg.lstsq(columns(rim_x, rim_y), wanted, rcond=1e-14)[0]
    return without_holes(x, y) + columns(x, y) @ coefficients


def cooled_reference() -> Reference:
    """Return values by 26 orders; the error is what 20 have."""
    at = scattered(POINTS, (-0.5, -0.5), (0.5, 0.5), COOLED)
    values = cooled_plate(*at.T)
    error = difference(cooled_plate(*at.T, orders=20), values)
    return Reference(np.column_stack([at, 0 * at[:, 0]]), values[:, None], error, "multipoles and their images")


def charged_reference() -> Reference:
    """Return values by 50 orders; the error is what 40 have."""
    at = scattered(POINTS, (-1.0, -1.0), (1.0, 1.0), CHARGED)
    values = charged_plate(*at.T)
    error = difference(charged_plate(*at.T, orders=40), values)
    return Reference(np.column_stack([at, 0 * at[:, 0]]), values[:, None], error, "multipoles and their images")


REFERENCES = {"pinnacle/poisson2d-c": cooled_reference, "pinnacle/poisson2d-cg": charged_reference}
