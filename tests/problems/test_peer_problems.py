"""Problems of benchmarks/peers: closed forms against central differences, data against another scheme, files."""

import numpy as np
from peers import facts, problems
from scipy.integrate import solve_ivp

H = 1e-3


def differences(field, at):
    """First and second central differences of a field of points, for each coordinate: (axes, n, outputs)."""
    steps = H * np.eye(at.shape[1])
    ahead, behind = (np.array([field(at + sign * step) for step in steps]) for sign in (1, -1))
    return (ahead - behind) / (2 * H), (ahead - 2 * field(at) + behind) / H**2


def test_source_is_minus_the_divergence_of_the_flux():
    at = np.random.default_rng(0).uniform(0.1, 0.9, (50, 2))
    u, a = problems.hill, lambda points: facts.conductivity(*points.T)[:, None]
    (u_first, u_second), (a_first, _) = differences(u, at), differences(a, at)
    divergence = (a_first * u_first).sum(axis=0) + a(at) * u_second.sum(axis=0)
    np.testing.assert_allclose(facts.heat_source(*at.T), -divergence[:, 0], atol=1e-4)


def test_vortices_have_no_divergence_and_their_vorticity_is_carried_and_fades():
    def vorticity(points):
        first, _ = differences(problems.vortices, points)
        return first[0, :, 1:] - first[1, :, :1]

    at = np.random.default_rng(0).uniform((1, -2, 0), (8, 2, 7), (50, 3))
    first, _ = differences(problems.vortices, at)
    np.testing.assert_allclose(first[0, :, 0] + first[1, :, 1], 0, atol=1e-6)
    slopes, curved = differences(vorticity, at)
    velocity = problems.vortices(at)
    carried = velocity[:, :1] * slopes[0] + velocity[:, 1:] * slopes[1]
    np.testing.assert_allclose(slopes[2] + carried, facts.WAKE_VISCOSITY * (curved[0] + curved[1]), atol=1e-5)


def test_concentrations_agree_with_central_differences_in_space():
    n = 200
    x = np.linspace(0, 1, n + 1)

    def rate(_, inner):
        a, b = (np.concatenate([[1.0], each, [0.0]]) for each in np.split(inner, 2))
        consumed = problems.RATE * (a * b**2)[1:-1]
        spread = problems.DIFFUSION * facts.DIFFUSION_UNIT * n**2
        a_xx, b_xx = (each[2:] - 2 * each[1:-1] + each[:-2] for each in (a, b))
        return np.concatenate([spread * a_xx - consumed, spread * b_xx - 2 * consumed])

    first = np.tile(np.exp(-20 * x[1:-1]), 2)
    solved = solve_ivp(rate, (0, problems.LAST), first, "RK45", t_eval=[5.0, problems.LAST], rtol=1e-7, atol=1e-9)
    at = problems.even((x[20], x[180], 9), (5.0, problems.LAST, 2))
    found = problems.concentrations(at).reshape(9, 2, 2)
    a, b = (each[19:180:20] for each in np.split(solved.y, 2))
    np.testing.assert_allclose(found, np.stack([a, b], axis=-1), atol=1e-4)


def test_a_file_holds_all_of_a_problem(tmp_path):
    problem = problems.wake()
    facts.write(problem, tmp_path / "wake.npz")
    again = facts.read(tmp_path / "wake.npz")
    assert (again.name, again.outputs, again.over_time) == ("wake", 3, True)
    assert again.unknowns == problem.unknowns
    np.testing.assert_array_equal(again.conditions["readings"].values, problem.conditions["readings"].values)
    start = {name: first for name, (first, _) in again.unknowns.items()}
    assert again.error(again.weights(), start) == problem.error(problem.weights(), start)


def test_the_error_is_the_largest_of_fields_and_coefficients():
    point, layers = np.array([[0.5]]), [(np.array([[1.0]]), np.array([0.0])), (np.array([[2.0]]), np.array([1.0]))]
    given = facts.Given(point, np.array([[2.0]]), (0,))
    problem = facts.Problem("line", 1, point, {}, given, unknowns={"rate": (0.0, 4.0)})
    of_fields = abs(2 * np.tanh(0.5) + 1 - 2) / 2
    assert problem.error(layers, {"rate": 4.0}) == of_fields
    assert problem.error(layers, {"rate": 3.0}) == 0.25
    assert np.isnan(problem.error(layers, {"rate": np.nan}))
