"""Conditions first, against the rule in NumPy; what counts as an equation; a plate that equal weights do not solve."""

import functools
import operator

import numpy as np
import optax
import pytest
from marks import slow_but

import tangrax as tx
from tangrax.optim import conditions_first
from tangrax.optim.adaptive.conditions_first import equations_of
from tangrax.problems.stored import stored

π = np.pi


def terms_of(rate=0.1):
    """Heat on a line: an equation, what begins it, what bounds it, and one reading."""
    line = tx.domain.line(n=31).over_time(0.0, 1.0, initial=11)
    x, t = line.variable("interior")
    x0, t0 = line.variable("initial")
    net = tx.nn.mlp(2, width=6, depth=2, key=1)
    return {
        "pde": (net(x, t).d(t) - rate * net(x, t).d2(x)).mse,
        "start": (net(x0, t0) - tx.np.sin(π * x0)).mse,
        "ends": 10 * net(*line.variable("boundary")).mse,
    }


def solver_of(balance, devices=1, optimizer=None, terms=None):
    optimizer = optax.adam(2e-2) if optimizer is None else optimizer
    return tx.core(terms or terms_of(), optimizer=optimizer, balance=balance, devices=devices, dtype="float64")


def weights_by_hand(equations, conditions, share, met, looks=25):
    """The weight after each look, from losses at the looks."""
    weight, is_met, least, before, expected = 1.0, False, None, np.inf, []
    for look, (equation, condition) in enumerate(zip(equations, conditions, strict=True)):
        if is_met:
            if weight * equation < 0.1 * condition and condition <= least:
                weight *= 1.5
            elif condition > 10 * least:
                weight /= 1.5
        elif condition <= met * conditions[0] or look >= looks:
            is_met, least, weight = True, condition, share * conditions[0] / equation
        else:
            held = 0.3 if condition > 0.9 * before else 1
            weight = min(1e-3 * condition / equation, held * weight)
        weight, before = min(weight, 1.0), condition
        expected.append(weight)
    return expected


@pytest.mark.parametrize("devices", slow_but([1, 3], 3))
def test_a_run(devices):
    """The weights are those of the losses at the looks, the loss is what they make of the terms."""
    solver = solver_of(conditions_first(every=2, share=1e-3, met=0.3), devices).solve(40, progress=False)
    history = solver.history
    expected = weights_by_hand(history["pde"][::2], (history["start"] + history["ends"])[::2], 1e-3, 0.3)
    assert len(set(expected)) > 3
    np.testing.assert_allclose(history["weight/pde"], expected, rtol=1e-10)
    weighted = np.repeat(expected, 2) * history["pde"]
    np.testing.assert_allclose(history["loss"], weighted + history["start"] + history["ends"], rtol=1e-10)
    assert "weight/start" not in history


def test_any_losses():
    """Conditions that are met soon, late, never, met and lost; equations of any size."""
    random, terms = np.random.default_rng(0), terms_of()
    weights, rule = [], conditions_first().compile(terms, ())
    for spread in (0.05, 0.3, 2.0):
        losses = np.exp(np.cumsum(random.normal(-0.2 * spread, spread, (60, 3)), axis=0))
        losses[30:, 1:] *= 1e4
        state, found = rule.init(np.float64), []
        for each in losses:
            state, _ = rule.update(state, (), list(each), 0)
            found.append(rule.recorded(state, list(each))[0])
        expected = weights_by_hand(losses[:, 0], losses[:, 1] + losses[:, 2], 0.1, 1e-2)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        weights += expected
    ratios = np.round(np.array(weights[1:]) / weights[:-1], 10)
    assert {1.5, 0.3, np.round(1 / 1.5, 10), 1.0} <= set(ratios)


def test_what_counts_as_an_equation():
    """Terms with derivatives where those of the highest order are; not slopes at the start or through a side."""
    square = tx.domain.rect(n=20, boundary=8).over_time(0.0, 1.0, initial=5)
    x, y, t = square.variable("interior")
    x0, y0, t0 = square.variable("initial")
    xb, yb, tb = square.variable("boundary")
    net = tx.nn.mlp(3, outputs=2, width=4, depth=1)
    u, q = net(x, y, t)[0], net(x, y, t)[1]
    terms = {
        "balance": (u.d2(t) - q.d(x)).mse,
        "flux": (q - u.d(x)).mse + 0.0 * q.mse,
        "values": (u - x).mse,
        "at rest": net(x0, y0, t0)[0].d(t0).mse,
        "side": net(xb, yb, tb)[1].d(xb).mse,
    }
    assert equations_of(terms) == ["balance", "flux"]
    assert equations_of({"values": terms["values"]}) == []


def test_refusals():
    with pytest.raises(ValueError, match=r"conditions_first\('heat'\): the terms are pde, start, ends"):
        solver_of(conditions_first("heat"))
    with pytest.raises(ValueError, match="all terms are equations, of pde"):
        solver_of(conditions_first(), terms={"pde": terms_of()["pde"]})
    with pytest.raises(ValueError, match="no term holds a derivative, of start"):
        solver_of(conditions_first(), terms={"start": terms_of()["start"]})
    with pytest.raises(ValueError, match="share=0 must be positive"):
        conditions_first(share=0)
    with pytest.raises(ValueError, match=r"met=2 must be a number from 0 to 1"):
        conditions_first(met=2)
    with pytest.raises(ValueError, match="every=0"):
        conditions_first(every=0)


@pytest.mark.parametrize("miss", [0.0, 1e-9])
def test_conditions_that_are_built_in_leave_the_weight(miss):
    """u = x (1 - x) net is zero at both ends: there is nothing to meet, and the equation is all there is."""
    line = tx.domain.line(n=5, boundary=2)
    x, _ = line.variable("interior")
    ends, _ = line.variable("boundary")
    net = tx.nn.mlp(1, width=4, depth=1)
    terms = {
        "pde": ((x * (1 - x) * net(x)).d2(x) + 1).mse,
        "ends": (ends * (1 - ends) * net(ends) + miss).mse,
    }
    history = solver_of(conditions_first(), terms=terms).solve(6, progress=False).history
    np.testing.assert_array_equal(history["weight/pde"], 1)


def test_an_equation_that_is_solved_leaves_the_weight():
    """A loss of zero is no size to divide by."""
    x, _ = tx.domain.line(n=5).variable("interior")
    ends, _ = tx.domain.line(n=5).variable("boundary")
    net = tx.nn.mlp(1, width=4, depth=1)
    solver = solver_of(conditions_first(), terms={"pde": (0 * net(x).d2(x)).mse, "ends": (net(ends) - 1).mse})
    history = solver.solve(6, progress=False).history
    np.testing.assert_array_equal(history["weight/pde"], 1)


@pytest.mark.slow
def test_a_plate_with_four_holes():
    """Δu = 0, u = 1 outside and 0 at the holes: with equal weights u is nearly constant. Oracle: multipoles."""
    holes = functools.reduce(operator.or_, [tx.domain.disk((x, y), 0.1) for x in (-0.3, 0.3) for y in (-0.3, 0.3)])
    plate = tx.domain.rect((-0.5, -0.5), (0.5, 0.5)).named("sides") - holes.named("holes")
    plate = plate.sample(n=600, boundary=300)
    x, y, _ = plate.variable("interior")
    net = tx.nn.mlp(2, width=24, depth=2, key=0)
    sides, edges = (net(*plate.variable(tag)[:2]) for tag in ("sides", "holes"))
    terms = {"pde": net(x, y).laplacian(x, y).mse, "sides": (sides - 1).mse, "holes": edges.mse}
    reference = stored("pinnacle/poisson2d-c")
    errors = []
    for balance, epochs in ((None, 30), (conditions_first(), 80)):
        solver = solver_of(balance, optimizer=tx.optim.gauss_newton(), terms=terms).solve(epochs, progress=False)
        found = solver.eval(net(x, y), points={"interior": reference.at})
        errors.append(np.linalg.norm(found - reference.values[:, 0]) / np.linalg.norm(reference.values))
    assert errors[0] > 0.4 and errors[1] < 0.1, errors
