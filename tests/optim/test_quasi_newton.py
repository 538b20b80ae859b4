"""SSBFGS and SSBroyden against the dual formulas in NumPy, quadratics, SciPy's BFGS; on devices; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from marks import with_slow

import tangrax as tx
from tangrax.optim import self_scaled_bfgs, self_scaled_broyden

METHODS = {"bfgs": self_scaled_bfgs, "broyden": self_scaled_broyden}


def steps_of(optimizer, loss):
    """One compiled step: parameters and state to the next ones, with the loss and gradient before."""

    @jax.jit
    def step(x, state):
        value, gradient = jax.value_and_grad(loss)(x)
        updates, state = optimizer.update(gradient, state, x, value=value, grad=gradient, value_fn=loss)
        return optax.apply_updates(x, updates), state, value, gradient

    return step


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def dual_update(method, B, s, y, first):
    """Al-Baali's update of the Hessian itself (H = B⁻¹), θ and τ as in Urbán et al., equations 11 and 13 to 23."""
    ys, sBs, yHy = y @ s, s @ B @ s, y @ np.linalg.solve(B, y)
    b, h = sBs / ys, yHy / ys
    a = b * h - 1
    c = np.sqrt(a / (1 + a))
    low = min(1, h * (1 - c))
    θ = 0 if method == "bfgs" else max((low - 1) / a, min(1 / low, (1 - b) / b))
    σ = 1 + θ * a
    power = σ ** (1 / (1 - len(s)))
    if first:
        τ = h / σ
    elif θ <= 0:
        τ = min(min(1, 1 / b) * power, σ)
    else:
        τ = min(1, 1 / b) * min(power, 1 / θ)
    w = y / ys - B @ s / sBs
    return τ * (B - np.outer(B @ s, B @ s) / sBs + θ * sBs * np.outer(w, w)) + np.outer(y, y) / ys, (θ, τ)


@pytest.mark.parametrize("method", METHODS)
def test_update_against_its_dual(method):
    """Fourteen steps on Rosenbrock's function: each direction is -B⁻¹g, with B updated in NumPy by s and y alone."""
    optimizer = METHODS[method]()
    step, gradient = steps_of(optimizer, rosenbrock), jax.jit(jax.grad(rosenbrock))
    x, state = jnp.asarray([-1.2, 1.0, -0.5, 0.8]), optimizer.init(jnp.zeros(4))
    B, chosen = np.eye(4), []
    for number in range(14):
        before, g = np.asarray(x), np.asarray(gradient(x))
        x, state, *_ = step(x, state)
        s, y = np.asarray(x) - before, np.asarray(gradient(x)) - g
        newton = -np.linalg.solve(B, g)
        assert s @ newton >= (1 - 1e-9) * np.linalg.norm(s) * np.linalg.norm(newton)
        B, factors = dual_update(method, B, s, y, number == 0)
        chosen.append(factors)
        np.testing.assert_allclose(state.inverse_hessian @ B, np.eye(4), atol=1e-8)
    θ, τ = np.transpose(chosen)
    assert state.pairs == 14 and np.any(τ[1:] < 0.9)
    # Both branches of τ have been seen.
    assert np.all(θ == 0) if method == "bfgs" else np.any(θ > 0) and np.any(θ < 0)


@pytest.mark.parametrize("method", METHODS)
def test_a_quadratic_ends_in_as_many_steps_as_it_has_parameters(method):
    """With an exact line search all of the family is a method of conjugate directions: x = A⁻¹b, H = A⁻¹."""
    random = np.random.default_rng(0).normal(size=(6, 6))
    A, b = random @ random.T + np.eye(6), np.arange(6.0)
    exact = optax.scale_by_zoom_linesearch(60, curv_rtol=1e-12, stepsize_precision=1e-14, approx_dec_rtol=None)
    optimizer = METHODS[method](linesearch=exact)
    step = steps_of(optimizer, lambda x: x @ A @ x / 2 - b @ x)
    x, state, errors = jnp.zeros(6), optimizer.init(jnp.zeros(6)), []
    for _ in range(6):
        x, state, *_ = step(x, state)
        errors.append(np.linalg.norm(np.asarray(x) - np.linalg.solve(A, b)))
    assert errors[-1] < 1e-7 < 1e-4 < errors[-2]


@pytest.mark.parametrize("method", METHODS)
def test_rosenbrock_against_scipy(method):
    """The minimum of SciPy's BFGS, in at most half as many steps again."""
    x = np.array([-1.2, 1.0])
    value_and_gradient = jax.jit(jax.value_and_grad(rosenbrock))
    peer = scipy.optimize.minimize(
        lambda x: jax.tree.map(np.asarray, value_and_gradient(x)), x, jac=True, method="BFGS", options={"gtol": 1e-8}
    )
    optimizer = METHODS[method]()
    step, x, state = steps_of(optimizer, rosenbrock), jnp.asarray(x), optimizer.init(jnp.zeros(2))
    sizes = []
    for _ in range(peer.nit * 3 // 2):
        x, state, _, gradient = step(x, state)
        sizes.append(np.max(np.abs(gradient)))
    assert min(sizes) < 1e-8, f"SciPy took {peer.nit} steps"
    np.testing.assert_allclose(x, peer.x, atol=1e-8)


def test_restarts_and_pairs_without_curvature():
    """A bend the wrong way gives no pair; nothing moves where no step lowers the loss, and H starts anew."""
    optimizer = self_scaled_bfgs()
    bend = lambda x: -jnp.sum(x**2)  # falls ever faster: the curvature condition cannot hold
    x, state = jnp.asarray([1.0, 2.0]), optimizer.init(jnp.zeros(2))
    moved, after, *_ = steps_of(optimizer, bend)(x, state)
    assert bend(moved) < bend(x) and after.pairs == 0
    step = steps_of(optimizer, lambda x: jnp.sum(x**2) + jnp.sum(x) ** 4)
    for _ in range(3):
        x, state, *_ = step(x, state)
    assert state.pairs == 3
    walled = steps_of(optimizer, lambda y: jnp.where(jnp.all(y == x), jnp.sum(y**2), jnp.nan))
    stays, restarted, *_ = walled(x, state)
    np.testing.assert_array_equal(stays, x)
    assert restarted.pairs == 0
    # A matrix that is not positive definite is not used: the step is downhill, and its pair the first.
    _, again, *_ = step(x, state._replace(inverse_hessian=-state.inverse_hessian))
    assert again.pairs == 1


def fit(optimizer, devices):
    """23 points, a network and a number: 14 parameters."""
    x, _ = tx.domain.line(n=23).variable("interior")
    u = tx.nn.mlp(1, width=4, depth=1, key=0, name="u")(x) + tx.nn.parameter(0.5, name="k") * x
    terms = {"fit": (u - tx.np.sin(3 * x)).mse}
    return tx.core(terms, optimizer=optimizer, devices=devices, dtype="float64")


@pytest.mark.parametrize(
    "method, devices", with_slow([("broyden", 3), ("bfgs", 3), ("broyden", 8)], ("bfgs", 3), ("broyden", 8))
)
def test_devices(method, devices):
    """The same losses as on one device, which fall in every step."""
    runs = [fit(METHODS[method](), n).solve(12, progress=False).history["loss"] for n in (1, devices)]
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-8)
    assert np.all(np.diff(runs[0]) < 0) and runs[0][-1] < 0.1 * runs[0][0]


def test_too_many_parameters_are_refused_before_anything_is_compiled():
    solver = fit(self_scaled_broyden(limit=8 * 13**2), 1)
    with pytest.raises(ValueError, match=r"self_scaled_broyden: 14 parameters in float64 .* 1,568 bytes, and limit"):
        solver.solve(1, progress=False)
    assert solver.timing.compilations == 0 and solver.epoch == 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: self_scaled_bfgs(limit=0), "limit=0"),
        (lambda: self_scaled_bfgs(linesearch=optax.scale_by_backtracking_linesearch(5)), "no value and gradient"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
