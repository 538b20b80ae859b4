"""Solutions that are expressions, against the equations as textbooks have them, by finite differences."""

import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

import tangrax as tx
from tangrax.problems import allen_cahn, burgers, lorenz

π = np.pi
STEP = 5e-3
# Central differences of eighth, eighth and sixth order at -4 … 4.
SLOPES = {
    0: np.eye(9)[4],
    1: np.array([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280]),
    2: np.array([-1 / 560, 8 / 315, -1 / 5, 8 / 5, -205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560]),
    3: np.array([-7 / 240, 3 / 10, -169 / 120, 61 / 30, 0, -61 / 30, 169 / 120, -3 / 10, 7 / 240]),
}


class Exact:
    """The exact answers of a problem at random points, with their derivatives."""

    def __init__(self, name, count=40):
        task = tx.problems.get(name).build(0)
        self.solver = tx.core(dict(task.terms), optimizer=optax.adam(1e-3), devices=1)
        self.answers = task.answers
        field = next(iter(task.answers.values())).exact
        points = field.points
        lower, upper = points.coordinates.min(axis=0), points.coordinates.max(axis=0)
        share = np.random.default_rng(0).uniform(0.1, 0.9, (count, len(lower)))
        self.at = lower + share * (upper - lower)
        self.x = self.at.T

    def __call__(self, name, axis=0, order=0):
        node = self.answers[name].exact
        shifts = STEP * np.arange(-4, 5)
        rows = np.repeat(self.at[None], 9, axis=0)
        rows[:, :, axis] += shifts[:, None]
        values = self.solver.eval(node, points={node.points.tag: rows.reshape(-1, self.at.shape[1])})
        return SLOPES[order] @ values.reshape(9, -1) / STEP**order


def poisson_1d(u, x):
    return u("u", 0, 2), -np.sin(π * x[0])


def poisson_2d(u, x):
    return u("u", 0, 2) + u("u", 1, 2), -2 * π**2 * np.sin(π * x[0]) * np.sin(π * x[1])


def poisson_5d(u, x):
    return sum(u("u", i, 2) for i in range(5)), -(π**2) / 4 * np.sin(π / 2 * x[:5]).sum(axis=0)


def helmholtz(u, x):
    source = (1 - 17 * π**2) * np.sin(π * x[0]) * np.sin(4 * π * x[1])
    return u("u", 0, 2) + u("u", 1, 2) + u("u"), source


def heat(u, x):
    return u("u", 1, 1), u("u", 0, 2) / 10


def wave(u, x):
    return u("u", 1, 2), 4 * u("u", 0, 2)


def convection(u, x):
    return u("u", 1, 1), -30 * u("u", 0, 1)


def klein_gordon(u, x):
    exact = np.sin(π * x[0]) * np.cos(2 * π * x[1])
    return u("u", 1, 2) - u("u", 0, 2) + u("u") ** 3, exact**3 - 3 * π**2 * exact


def korteweg_de_vries(u, x):
    return u("u", 1, 1) + 6 * u("u") * u("u", 0, 1), -u("u", 0, 3)


def schroedinger(u, x):
    """Both parts of h_t = i (h_xx/2 + |h|² h)."""
    square = u("u") ** 2 + u("v") ** 2
    real, imaginary = (u(part, 0, 2) / 2 + square * u(part) for part in "uv")
    return np.concatenate([u("u", 1, 1), u("v", 1, 1)]), np.concatenate([-imaginary, real])


def layer(u, x):
    return x[1] * u("u", 0, 1), u("u", 0, 2)


def kovasznay(u, x):
    sides = [
        (u("u") * u(w, 0, 1) + u("v") * u(w, 1, 1) + u("p", i, 1), (u(w, 0, 2) + u(w, 1, 2)) / 40)
        for i, w in enumerate("uv")
    ]
    return tuple(np.concatenate(side) for side in zip(*sides, (u("u", 0, 1), -u("v", 1, 1)), strict=True))


def taylor_green(u, x):
    """Along x, where the slope of the pressure is an answer; and the mass."""
    along = u("u", 2, 1) + u("u") * u("u", 0, 1) + u("v") * u("u", 1, 1) + u("p_x")
    spread = (u("u", 0, 2) + u("u", 1, 2)) / 10
    return np.concatenate([along, u("u", 0, 1)]), np.concatenate([spread, -u("v", 1, 1)])


@pytest.mark.parametrize(
    "equation",
    [
        poisson_1d,
        poisson_2d,
        poisson_5d,
        helmholtz,
        heat,
        wave,
        convection,
        klein_gordon,
        korteweg_de_vries,
        schroedinger,
        layer,
        kovasznay,
        taylor_green,
    ],
)
def test_solution_satisfies_its_equation(equation):
    exact = Exact(equation.__name__.replace("_", "-"))
    left, right = equation(exact, exact.x)
    scale = abs(left).max()
    assert scale > 0.1
    np.testing.assert_allclose(left, right, atol=1e-6 * scale)


def test_l_shape_away_from_its_corner():
    exact = Exact("poisson-l-shape", 400)
    x, y = exact.x[:2]
    inside = ((x < -0.1) | (y > 0.1)) & (np.hypot(x, y) > 0.3)
    laplacian = exact("u", 0, 2) + exact("u", 1, 2)
    expected = -2 * π**2 * np.sin(π * x) * np.sin(π * y)
    np.testing.assert_allclose(laplacian[inside], expected[inside], atol=1e-5)


def test_l_shape_on_its_edges():
    """S vanishes on both edges of the inner corner, whatever arctan2 does there."""
    exact = Exact("poisson-l-shape")
    along = np.linspace(0.05, 0.95, 10)
    edges = np.concatenate([np.stack([along, 0 * along], 1), np.stack([0 * along, -along], 1)])
    node = exact.answers["u"].exact
    actual = exact.solver.eval(node, points={"interior": np.column_stack([edges, np.zeros(20)])})
    np.testing.assert_allclose(actual, 0, atol=1e-12)


def test_starting_values():
    for name, start in {
        "wave": lambda x: np.sin(π * x) + np.sin(4 * π * x) / 2,
        "convection": np.sin,
        "klein-gordon": lambda x: np.sin(π * x),
    }.items():
        exact = Exact(name)
        at = np.column_stack([exact.x[0], np.zeros(40)])
        actual = exact.solver.eval(exact.answers["u"].exact, points={"interior": at})
        np.testing.assert_allclose(actual, start(exact.x[0]), atol=1e-14)


def test_solitons_move_at_the_speeds_of_their_heights():
    """Far from each other they are k²/2 sech²(k (x - k² t)/2 + …): the tall one is four times as fast per height 2."""
    exact = Exact("korteweg-de-vries")
    x = np.linspace(-8, 8, 4001)
    heights = []
    for t in (-2.0, 2.0):
        u = exact.solver.eval(exact.answers["u"].exact, points={"interior": np.column_stack([x, 0 * x + t])})
        heights.append((u.max(), x[u.argmax()]))
    (first, start), (last, end) = heights
    np.testing.assert_allclose([first, last], 1.6**2 / 2, rtol=0.05)
    assert end - start > 4 * 1.6**2 * 0.9


def test_ends_of_the_layer():
    exact = Exact("layer")
    for x, value in ((0.0, 0.0), (1.0, 1.0)):
        at = np.column_stack([np.full(40, x), exact.x[1], np.zeros(40)])
        for node in (exact.answers["u"].exact, exact.answers["u"].unknown):
            np.testing.assert_allclose(exact.solver.eval(node, points={"interior": at}), value, atol=1e-12)


@pytest.mark.parametrize(
    ("reference", "where"),
    [
        (burgers.solution, "t = -0.01: the solution starts at t = 0"),
        (allen_cahn.solution, "t = -0.01 lies outside of 0 to 1"),
        (lambda x, t: lorenz.trajectory(t), "t = -0.01 lies outside of 0 to 3"),
    ],
)
def test_references_asked_outside_their_domain(reference, where):
    with pytest.raises(ValueError, match=where):
        reference(np.array([0.0, 0.5]), np.array([0.0, -0.01]))


def test_lorenz_against_another_integrator():
    def rate(_, state):
        x, y, z = state
        return 10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z

    times = np.linspace(0, 3, 31)
    solved = solve_ivp(rate, (0, 3), (-8, 7, 27), method="Radau", t_eval=times, rtol=1e-10, atol=1e-10)
    # Errors grow by a factor of 15 or so until t = 3.
    np.testing.assert_allclose(lorenz.trajectory(times), solved.y.T, atol=1e-5)
    h = 1e-3
    neighbours = [lorenz.trajectory(times[1:-1] + i * h) for i in range(-4, 5)]
    slopes = np.tensordot(SLOPES[1], neighbours, 1) / h
    np.testing.assert_allclose(slopes.T, rate(0, neighbours[4].T), atol=1e-6)
