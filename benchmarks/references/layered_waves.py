"""Waves in a plate whose stiffness has two values: spectral elements, one a pixel, and steps of fourth order.

The hump at the start bends the plate where the stiffness jumps, so that kinks run from there: what counts is how short
a wave is still followed, and that takes high orders in space and time.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.polynomial import Legendre

from tangrax.problems.pinnacle.rough_coefficients import PIXELS, positive

from .reference import Reference, difference, nodes

CELLS = PIXELS - 1
TIMES = 50  # from 0 to 5; where values are kept
END = 5.0


def lobatto(degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return Lobatto's nodes and weights on [-1, 1], and ∫ φ'φ' of the polynomials through the nodes."""
    last = Legendre.basis(degree)
    s = np.concatenate([[-1.0], np.sort(last.deriv().roots().real), [1.0]])
    weights = 2 / (degree * (degree + 1) * last(s) ** 2)
    vandermonde = np.polynomial.legendre.legvander(s, degree)
    slopes = np.stack([Legendre.basis(k).deriv()(s) for k in range(1, degree + 1)], axis=1)
    derivative = np.column_stack([0 * s, slopes]) @ np.linalg.inv(vandermonde)
    return s, weights, derivative.T @ (weights[:, None] * derivative)


def weighted(c: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ∫ c φ along the second axis, (elements, nodes), in units of half an element; c is by elements."""
    degree = len(weights) - 1
    result = np.zeros((len(c), degree * len(c) + 1))
    for k, w in enumerate(weights):
        result[:, k : k + degree * (len(c) - 1) + 1 : degree] += w * c
    return result


class Plate:
    """div(c ∇·) on the nodes of an element for each pixel, x first.

    The outermost pixels are cut in half by the sides. As no flux passes there, u is even about them, and the elements
    are whole: the first and last nodes mirror others.
    """

    def __init__(self, degree: int):
        s, weights, stiffness = lobatto(degree)
        self.degree, self.stiffness = degree, stiffness
        c = np.where(positive(), 12.0, 1.0).T
        half = 1 / CELLS  # of an element's side
        centers = np.linspace(-1, 1, PIXELS)
        self.x = np.concatenate([(centers[:, None] + half * s[:-1]).ravel(), [1 + half]])
        mass = weighted(np.ones((PIXELS, PIXELS)), weights)[0]
        self.scale = jnp.asarray(1 / (half**2 * np.outer(mass, mass)))
        self.along = jnp.asarray(weighted(c, weights))
        self.across = jnp.asarray(weighted(c.T, weights).T)

    def mirrored(self, u: Array) -> Array:
        """Return u with the nodes beyond the sides as those within."""
        half = self.degree // 2
        u = jnp.concatenate([u[2 * half : half : -1], u[half:-half], u[-half - 2 : -2 * half - 2 : -1]])
        left, right = u[:, 2 * half : half : -1], u[:, -half - 2 : -2 * half - 2 : -1]
        return jnp.concatenate([left, u[:, half:-half], right], axis=1)

    def forces(self, u: Array, c: Array, axis: int) -> Array:
        """Return -∫ c u' φ' along an axis; c is by elements along that axis and nodes along the other."""
        p, n = self.degree, len(u)

        def every(first: int) -> Array:
            return jax.lax.slice_in_dim(u, first, first + n - p, p, axis)

        parts = [every(k) for k in range(p + 1)]
        result = [-c * sum(self.stiffness[a, b] * parts[b] for b in range(p + 1)) for a in range(p + 1)]
        # The last node of an element is the first of the next.
        following, before = (np.s_[1:], np.s_[:-1]) if axis == 0 else (np.s_[:, 1:], np.s_[:, :-1])
        result[0] = result[0].at[following].add(result[p][before])
        whole = jnp.stack(result[:p], axis + 1).reshape((n - 1, n) if axis == 0 else (n, n - 1))
        return jnp.concatenate([whole, jax.lax.slice_in_dim(result[p], PIXELS - 1, PIXELS, 1, axis)], axis)

    def apply(self, u: Array) -> Array:
        """Return div(c ∇u), as polynomials between the nodes have it in the mean."""
        return self.mirrored(self.scale * (self.forces(u, self.along, 0) + self.forces(u, self.across, 1)))


def displacement(degree: int) -> np.ndarray:
    """Return u at the times and the pixels' centers, (TIMES, 256, 256), x before y; of an even degree.

    Steps of u(t + dt) - 2u + u(t - dt) = dt² Lu + dt⁴/12 L²u: Dablain, Geophysics 51 (1986), 54-66.
    """
    with jax.enable_x64(True):
        plate = Plate(degree)
        apply = jax.jit(plate.apply)
        # Stable where dt² L > -12; the largest value by powers of L.
        v = plate.mirrored(jnp.asarray(np.random.default_rng(0).standard_normal((len(plate.x),) * 2)))
        for _ in range(60):
            v = apply(v / jnp.linalg.norm(v))
        steps = int(np.ceil(1.05 * END / TIMES * np.sqrt(float(jnp.linalg.norm(v)) / 12)))
        dt = END / TIMES / steps

        def change(u: Array) -> Array:
            first = plate.apply(u)
            return dt**2 * first + dt**4 / 12 * plate.apply(first)

        def step(_: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
            u, moved = state
            u = u + moved
            return u, moved + change(u)

        march = jax.jit(lambda state: jax.lax.fori_loop(0, steps, step, state))
        u = jnp.exp(-((plate.x[:, None] + 0.5) ** 2 + plate.x**2) / (2 * 0.3**2))
        u = plate.mirrored(u)
        state = u, change(u) / 2  # at rest, so that the first step is half of the others'
        snapshots = []
        for _ in range(TIMES):
            state = march(state)
            middle = slice(degree // 2, None, degree)
            snapshots.append(np.asarray(state[0][middle, middle]))
    return np.stack(snapshots)


def reference(degree: int = 4, count: int = 5000) -> Reference:
    """Return values by elements of that degree; the error is what those of the next lower even degree have."""
    index = tuple(nodes(count, (TIMES, PIXELS, PIXELS)).T)
    values, rough = (displacement(each)[index] for each in (degree, degree - 2))
    at = np.column_stack([2 * index[1] / CELLS - 1, 2 * index[2] / CELLS - 1, END * (index[0] + 1) / TIMES])
    result = values[:, None].astype(np.float32)
    return Reference(at, result, difference(rough, values), f"spectral elements, 256² of degree {degree}")


REFERENCES = {"pinnacle/wave2d-cg": reference}
