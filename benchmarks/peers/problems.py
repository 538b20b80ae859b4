"""The five problems of jinns' own timing, with its numbers of points; needs Tangrax and SciPy, for reference values.

That timing is gitlab.com/mia_jinns/pinn-multi-library-benchmark: Burgers' equation, the lid-driven cavity and an
inverse Poisson problem of PINNacle's, and two inverse problems of DeepXDE's documentation, whose data are files that
come with neither library. `reaction` has data from a solution of our own, and `wake` in place of the flow behind a
cylinder a flow in closed form, in the same box, of the same viscosity.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import BarycentricInterpolator

from tangrax.problems.burgers import solution
from tangrax.problems.stored import stored

from .facts import BURGERS_VISCOSITY, DIFFUSION_UNIT, WAKE_VISCOSITY, Given, Problem, conductivity, lid

π = math.pi
SEED = 1  # of points and noise
NOISE = 0.1  # standard deviation of the errors of readings in `pinv`
RATE, DIFFUSION = 0.1, 2.0  # true coefficients of `reaction`
LAST = 10.0  # its last time


def uniform(draw: np.random.Generator, lower: Sequence[float], upper: Sequence[float], count: int) -> np.ndarray:
    """Random points of a box, (count, axes)."""
    return draw.uniform(lower, upper, (count, len(lower)))


def fixed(points: np.ndarray, axis: int, value: float) -> np.ndarray:
    """The points with one coordinate fixed."""
    moved = points.copy()
    moved[:, axis] = value
    return moved


def even(*ranges: tuple[float, float, int]) -> np.ndarray:
    """Nodes of an even grid, (n, axes)."""
    axes = np.meshgrid(*[np.linspace(*each) for each in ranges], indexing="ij")
    return np.column_stack([axis.ravel() for axis in axes])


def square_sides(draw: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random points on the sides of the unit square, `count` on each."""
    places = {"left": (0, 0.0), "right": (0, 1.0), "bottom": (1, 0.0), "top": (1, 1.0)}
    return {name: fixed(uniform(draw, (0, 0), (1, 1), count), *place) for name, place in places.items()}


def burgers() -> Problem:
    """u_t + u u_x = 0.01/π u_xx on [-1, 1], u = -sin(πx) at t = 0, u = 0 at both ends, until t = 1."""
    draw = np.random.default_rng(SEED)
    start = fixed(uniform(draw, (-1, 0), (1, 1), 1024), 1, 0.0)
    ends = uniform(draw, (-1, 0), (1, 1), 512)
    at = even((-1, 1, 101), (0.1, 1, 10))
    return Problem(
        "burgers",
        1,
        uniform(draw, (-1, 0), (1, 1), 4096),
        {
            "start": Given(start, -np.sin(π * start[:, :1]), (0,)),
            "left": Given(fixed(ends, 0, -1.0), np.zeros((512, 1)), (0,)),
            "right": Given(fixed(ends, 0, 1.0), np.zeros((512, 1)), (0,)),
        },
        Given(at, solution(*at.T, viscosity=BURGERS_VISCOSITY)[:, None], (0,)),
        over_time=True,
    )


def cavity() -> Problem:
    """Steady flow in the unit square at viscosity 1/100, a lid of speed 4x (1 - x), p = 0 at the origin."""
    draw = np.random.default_rng(SEED)
    walls = {name: Given(points, np.zeros((51, 2)), (0, 1)) for name, points in square_sides(draw, 51).items()}
    top = walls["top"].points
    walls["top"] = Given(top, np.column_stack([lid(top[:, 0]), np.zeros(51)]), (0, 1))
    walls["origin"] = Given(np.zeros((1, 2)), np.zeros((1, 1)), (2,))
    reference = stored("pinnacle/ns2d-c")
    scored = Given(reference.at[:, :2], reference.values, (0, 1, 2))
    return Problem("cavity", 3, uniform(draw, (0, 0), (1, 1), 819), walls, scored)


def pinv() -> Problem:
    """div(a ∇u) + f = 0 on the unit square, u and a unknown: noisy readings of u, a given on the sides."""
    draw = np.random.default_rng(SEED)
    sides = {
        name: Given(points, conductivity(*points.T)[:, None], (1,)) for name, points in square_sides(draw, 51).items()
    }
    nodes = even((0, 1, 50), (0, 1, 50))
    sides["readings"] = Given(nodes, hill(nodes) + draw.normal(scale=NOISE, size=(len(nodes), 1)), (0,))
    at = even((0, 1, 41), (0, 1, 41))
    scored = Given(at, np.column_stack([hill(at), conductivity(*at.T)]), (0, 1))
    return Problem("pinv", 2, uniform(draw, (0, 0), (1, 1), 819), sides, scored)


def hill(at: np.ndarray) -> np.ndarray:
    """sin(πx) sin(πy), (n, 1)."""
    return np.prod(np.sin(π * at), axis=1, keepdims=True)


def reaction() -> Problem:
    """a_t = D a_xx - k a b², b_t = D b_xx - 2 k a b² on [0, 1] until t = 10, k and D unknown.

    a = b = exp(-20x) at t = 0, 1 - x at both ends; a and b are read at 50 x 20 nodes, without noise.
    """
    draw = np.random.default_rng(SEED)
    start = fixed(uniform(draw, (0, 0), (1, LAST), 100), 1, 0.0)
    ends = uniform(draw, (0, 0), (1, LAST), 50)
    nodes, at = even((0, 1, 50), (LAST / 20, LAST, 20)), even((0, 1, 41), (0, LAST, 11))
    return Problem(
        "reaction",
        2,
        uniform(draw, (0, 0), (1, LAST), 2000),
        {
            "start": Given(start, np.repeat(np.exp(-20 * start[:, :1]), 2, axis=1), (0, 1)),
            "left": Given(fixed(ends, 0, 0.0), np.ones((50, 2)), (0, 1)),
            "right": Given(fixed(ends, 0, 1.0), np.zeros((50, 2)), (0, 1)),
            "readings": Given(nodes, concentrations(nodes), (0, 1)),
        },
        Given(at, concentrations(at), (0, 1)),
        over_time=True,
        unknowns={"rate": (0.05, RATE), "diffusion": (1.0, DIFFUSION)},
    )


def concentrations(at: np.ndarray, nodes: int = 64) -> np.ndarray:
    """a and b of `reaction` at points (x, t), (n, 2), by Chebyshev collocation in x and Radau's method in t."""
    k = np.arange(nodes + 1)
    x = (1 - np.cos(π * k / nodes)) / 2
    weights = np.where((k == 0) | (k == nodes), 2.0, 1.0) * (-1.0) ** k
    apart = x[:, None] - x + np.eye(nodes + 1)
    slope = np.outer(weights, 1 / weights) / apart
    slope -= np.diag(slope.sum(axis=1))
    second = (slope @ slope)[1:-1]
    ends = np.array([1.0, 0.0])

    def rate(_: float, inner: np.ndarray) -> np.ndarray:
        a, b = (np.concatenate([ends[:1], each, ends[1:]]) for each in np.split(inner, 2))
        consumed = RATE * (a * b**2)[1:-1]
        spread = DIFFUSION * DIFFUSION_UNIT * second
        return np.concatenate([spread @ a - consumed, spread @ b - 2 * consumed])

    first = np.tile(np.exp(-20 * x[1:-1]), 2)
    times = np.unique(at[:, 1])
    solved = solve_ivp(rate, (0, LAST), first, "Radau", t_eval=times, rtol=1e-9, atol=1e-11)
    if not solved.success:
        raise RuntimeError(f"reaction: {solved.message}")
    values = np.empty((len(at), 2))
    for time, inner in zip(times, solved.y.T, strict=True):
        chosen = at[:, 1] == time
        for output, each in enumerate(np.split(inner, 2)):
            whole = np.concatenate([ends[:1], each, ends[1:]])
            values[chosen, output] = BarycentricInterpolator(x, whole)(at[chosen, 0])
    return values


def wake() -> Problem:
    """(u, v)_t + c (u, v)·∇(u, v) + ∇p = ν Δ(u, v), div (u, v) = 0, c and ν unknown, from 7000 readings of u and v.

    Taylor and Green's vortices, carried along by a stream of speed 1 and fading by viscosity.
    """
    draw, lower, upper = np.random.default_rng(SEED), (1, -2, 0), (8, 2, 7)
    nodes, at = uniform(draw, lower, upper, 7000), uniform(draw, lower, upper, 2000)
    return Problem(
        "wake",
        3,
        uniform(draw, lower, upper, 1000),
        {"readings": Given(nodes, vortices(nodes), (0, 1))},
        Given(at, vortices(at), (0, 1)),
        over_time=True,
        unknowns={"convection": (0.0, 1.0), "viscosity": (0.0, WAKE_VISCOSITY)},
    )


def vortices(at: np.ndarray) -> np.ndarray:
    """u and v of `wake`, (n, 2)."""
    x, y, t = at.T
    fading = np.exp(-2 * WAKE_VISCOSITY * t)
    return np.column_stack([1 - np.cos(x - t) * np.sin(y) * fading, np.sin(x - t) * np.cos(y) * fading])


PROBLEMS: dict[str, Callable[[], Problem]] = {each.__name__: each for each in (burgers, cavity, pinv, reaction, wake)}
