"""Samplers: against SciPy, against what defines them, and cut anywhere."""

import numpy as np
import optax
import pytest
from scipy import stats
from scipy.stats import qmc

import tangrax as tx
from tangrax.domain import lazy_points, samplers
from tangrax.domain.samplers import SAMPLERS, Cube, permuted

RANDOM = [name for name in SAMPLERS if name != samplers.GAUSS]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for module in (samplers, lazy_points):
        monkeypatch.setattr(module, "BLOCK", 64)


def rows_of(cube, start=0, stop=None):
    return np.concatenate(list(cube.blocks(start, stop)))


@pytest.mark.parametrize("bits", [30, 52])
def test_sobol_and_halton_are_scipys(bits):
    random = np.random.default_rng([3, 4])
    wanted = qmc.Sobol(3, scramble=True, bits=bits, rng=random).random_base2(9)[:300]
    np.testing.assert_array_equal(rows_of(Cube("sobol", 300, 3, [3, 4], bits)), wanted)
    wanted = qmc.Halton(3, scramble=True, rng=np.random.default_rng(5)).random(300)
    np.testing.assert_array_equal(rows_of(Cube("halton", 300, 3, 5, bits)), wanted)


@pytest.mark.parametrize("sampler", RANDOM)
@pytest.mark.parametrize("bits", [30, 52])
def test_points_are_those_of_their_index(sampler, bits):
    cube = Cube(sampler, 500, 3, 7, bits)
    whole = rows_of(cube)
    assert whole.shape == (500, 3) and ((whole >= 0) & (whole < 1)).all()
    for start, stop in ((0, 1), (1, 2), (63, 65), (130, 411), (499, 500)):
        np.testing.assert_array_equal(rows_of(cube, start, stop), whole[start:stop])


@pytest.mark.parametrize("sampler", RANDOM)
def test_they_are_spread_evenly(sampler):
    whole = rows_of(Cube(sampler, 1000, 2, 11))
    for column in whole.T:
        assert stats.kstest(column, "uniform").pvalue > 0.01
    assert abs(stats.spearmanr(*whole.T).statistic) < 0.1
    assert not np.isin(whole, rows_of(Cube(sampler, 1000, 2, 12))).any()
    # Of these, a random point set has a discrepancy of about (1/4 - 1/9)/n; sequences have less.
    if sampler in ("sobol", "halton"):
        assert qmc.discrepancy(whole, method="L2-star") < 0.2 * np.sqrt((1 / 4 - 1 / 9) / 1000)


def test_gauss_and_legendre():
    """Exact for polynomials of degree 2 k - 1 along each axis, in space and time; blocks are of 64 points."""
    box = tx.domain.rect((0.0, 1.0), (2.0, 4.0), n=6**3, sampler="gauss_legendre").over_time(1.0, 2.0)
    x, y, t = box.variable("interior")
    x0, y0, _ = box.variable("initial")
    assert len(box.point_set("initial")) == 36
    value = x**11 * y**2 * t**10
    for devices in (1, 3):
        solver = tx.core(
            {"term": (tx.nn.parameter(1.0) * x).mse}, optimizer=optax.sgd(0.1), devices=devices, dtype="float64"
        )
        actual = solver.eval([value.integral, (x0**11 * y0).integral, (x * 0 + 1).integral, value[x > 1].integral])
        np.testing.assert_allclose(actual[0], 2**12 / 12 * (4**3 - 1) / 3 * (2**11 - 1) / 11, rtol=1e-12)
        np.testing.assert_allclose(actual[1:3], [2**12 / 12 * (16 - 1) / 2, 6.0], rtol=1e-12)
        # The group cuts between nodes: no longer exact, and the rest of the whole.
        rest = solver.eval(value[x <= 1].integral)
        np.testing.assert_allclose(actual[3] + rest, actual[0], rtol=1e-12)
    assert solver.eval((x**2).held_out(1024).integral) == pytest.approx(8 / 3 * 3, rel=1e-2)
    with pytest.raises(ValueError, match=r"Gauss-Legendre rule, whose error is not that of random points"):
        _ = x.integral_error
    with pytest.raises(ValueError, match=r"100 points of a Gauss-Legendre rule in 3 dimensions.*64, 125"):
        tx.domain.box((0.0,) * 3, (1.0,) * 3, n=100, sampler="gauss_legendre").point_set("interior")
    with pytest.raises(ValueError, match=r"mesh_size=0.1, sampler='gauss_legendre': a grid has its own nodes"):
        tx.domain.rect(mesh_size=0.1, sampler="gauss_legendre")
    with pytest.raises(ValueError, match=r"is no line, rectangle or box.*sobol, halton"):
        tx.domain.disk((0.0, 0.0), 1.0, n=100, sampler="gauss_legendre")


@pytest.mark.parametrize("total", [1, 2, 3, 64, 65, 1000])
def test_a_latin_hypercube_has_one_point_in_each_interval(total):
    whole = rows_of(Cube("latin_hypercube", total, 3, 2))
    for column in np.floor(whole * total).T:
        assert sorted(column) == list(range(total))


@pytest.mark.parametrize("total", [1, 2, 5, 16, 17, 1023, 1024, 1025])
def test_permutations_take_every_number_once(total):
    keys = np.random.default_rng(0).integers(2**32, size=samplers.ROUNDS)
    actual = permuted(np.arange(total), total, keys)
    assert sorted(actual) == list(range(total))
    if total > 1000:
        other = permuted(np.arange(total), total, keys + 1)
        assert abs(np.corrcoef(actual, np.arange(total))[0, 1]) < 0.1 and abs(np.corrcoef(actual, other)[0, 1]) < 0.1


DOMAINS = {
    "box": lambda s: tx.domain.rect(n=301, boundary=40, sampler=s),
    "box over time": lambda s: tx.domain.rect(n=301, boundary=40, sampler=s).over_time(0.0, 2.0, initial=30),
    "disk": lambda s: tx.domain.disk((1.0, 0.0), 2.0, n=301, boundary=40, sampler=s),
    "with a hole": lambda s: (tx.domain.rect() - tx.domain.disk((0.5, 0.4), 0.3).named("hole")).sample(
        n=301, boundary=80, sampler=s
    ),
}


@pytest.mark.parametrize("sampler", RANDOM)
@pytest.mark.parametrize("name", DOMAINS)
def test_a_slice_is_a_slice_of_all(name, sampler):
    domain = DOMAINS[name](sampler)
    points = domain.point_set("interior")
    whole = points.coordinates
    assert whole.shape == points.rows.shape == (301, 3) and domain.shape.inside(whole[:, :2]).all()
    for start, stop in ((0, 1), (1, 65), (100, 231), (300, 301), (5, 5)):
        np.testing.assert_array_equal(points.rows[start:stop], whole[start:stop])
    assert len(domain.point_set("boundary")) == len(domain.point_set("boundary").coordinates)


@pytest.mark.parametrize("name", ["box over time", "with a hole"])
@pytest.mark.parametrize("sampler", ["sobol", "latin_hypercube"])
def test_shards_hold_the_same_points_on_any_number_of_devices(name, sampler):
    for devices in (1, 3, 8):
        domain = DOMAINS[name](sampler)
        x, *_ = domain.variable("interior")
        solver = tx.core(
            {"term": (tx.nn.parameter(1.0) * x).mse}, optimizer=optax.sgd(0.1), devices=devices, dtype="float64"
        )
        rows = solver.eval(x, sharded=True)
        np.testing.assert_array_equal(rows.gather(), domain.point_set("interior").coordinates[:, 0])


def test_a_device_asks_for_its_own_points_alone(monkeypatch):
    """Of 8 shards, no one makes more than an eighth of the points at once, and all together make each but once."""
    requests = []

    def noted(cube, start):
        def following(count):
            requests.append(count)
            return np.full((count, cube.dimension), 0.5)

        return following

    monkeypatch.setitem(SAMPLERS, "sobol", noted)
    x, *_ = tx.domain.rect(n=400, boundary=4).variable("interior")
    tx.core({"term": (tx.nn.parameter(1.0) * x).mse}, optimizer=optax.sgd(0.1), devices=8).eval(x.mean)
    assert max(requests) <= 50
    # 400 points, 4 of the boundary, and one now and then to see how many columns there are.
    assert 404 <= sum(requests) < 420


def test_refused():
    with pytest.raises(ValueError, match="sampler='lhs': there are sobol, halton, latin_hypercube, uniform, gauss"):
        tx.domain.rect(n=10, sampler="lhs")
