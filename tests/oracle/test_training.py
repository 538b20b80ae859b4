"""Three problems trained by Tangrax and by plain formulas written apart from it: the same numbers in float64.

The oracle knows nothing of tangrax: networks are weights and tanh, derivatives are written out by hand or taken with
jax.grad / jax.hessian of one point's function, Adam is the update of Kingma & Ba.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from marks import with_slow

import tangrax as tx

STEPS = 200


@dataclass
class Case:
    """A problem twice: as expressions (term list, a field and its group) and as plain functions of the parameters."""

    terms: list[Any]
    nets: list[Any]
    field: Any
    group: Any
    params: Any  # plain parameters, in the order of the nets
    losses: Callable[[Any], list[Any]]
    rows_field: Callable[[Any], Any]  # the field at all points
    in_group: np.ndarray
    rate: float


def mlp(inputs, outputs, width, depth, seed):
    module = eqx.nn.MLP(inputs, outputs, width, depth, activation=jnp.tanh, dtype=jnp.float64, key=jax.random.key(seed))
    plain = [(np.asarray(layer.weight), np.asarray(layer.bias)) for layer in module.layers]
    return module, plain


def forward(layers, z):
    for weight, bias in layers[:-1]:
        z = jnp.tanh(weight @ z + bias)
    weight, bias = layers[-1]
    return weight @ z + bias


def poisson():
    """-u'' = sin πx with a soft boundary; 19 points."""
    module, plain = mlp(1, 1, 6, 2, 0)
    net = tx.nn.wrap(module)
    domain = tx.domain.line(mesh_size=0.05)
    x, _ = domain.variable("interior")
    xb, _ = domain.variable("boundary")
    u = net(x)
    pde = -u.d2(x) - tx.np.sin(tx.np.pi * x)
    points = np.arange(1, 20) / 20

    def residual(layers, p):
        value = lambda s: forward(layers, jnp.array([s]))[0]
        return -jax.grad(jax.grad(value))(p) - jnp.sin(jnp.pi * p)

    def all_residuals(params):
        return jax.vmap(lambda p: residual(params[0], p))(points)

    def losses(params):
        ends = [forward(params[0], jnp.array([e]))[0] ** 2 for e in (0.0, 1.0)]
        return [jnp.mean(all_residuals(params) ** 2), 10 * sum(ends) / 2]

    return Case([pde.mse, 10 * net(xb).mse], [net], pde, x < 0.3, [plain], losses, all_residuals, points < 0.3, 1e-3)


def nonlinear():
    """u u_xy + Δu - u³ = x y on a rectangle, with a mixed derivative; 7 x 5 points inside, 28 on the edge."""
    module, plain = mlp(2, 1, 5, 2, 1)
    net = tx.nn.wrap(module)
    domain = tx.domain.rect((0.0, -1.0), (2.0, 0.5), mesh_size=0.25)
    x, y, _ = domain.variable("interior")
    xb, yb, _ = domain.variable("boundary")
    u = net(x, y)
    pde = u * u.d(x).d(y) + u.laplacian(x, y) - u**3 - x * y
    grid = [(a, b) for a in np.linspace(0, 2, 9) for b in np.linspace(-1, 0.5, 7)]
    inside = np.array([p for p in grid if 0 < p[0] < 2 and -1 < p[1] < 0.5])
    edge = np.array([p for p in grid if not (0 < p[0] < 2 and -1 < p[1] < 0.5)])

    def residual(layers, p):
        value = lambda q: forward(layers, q)[0]
        h = jax.hessian(value)(p)
        return value(p) * h[0, 1] + h[0, 0] + h[1, 1] - value(p) ** 3 - p[0] * p[1]

    def all_residuals(params):
        return jax.vmap(lambda p: residual(params[0], p))(inside)

    def losses(params):
        on_edge = jax.vmap(lambda p: forward(params[0], p)[0])(edge)
        return [jnp.mean(all_residuals(params) ** 2), jnp.mean(jnp.abs(on_edge - 1))]

    return Case(
        [pde.mse, (net(xb, yb) - 1).mae],
        [net],
        pde,
        (x < 1) & (y > 0),
        [plain],
        losses,
        all_residuals,
        (inside[:, 0] < 1) & (inside[:, 1] > 0),
        3e-3,
    )


def system():
    """q = k u', q' = -1 over two networks and an unknown k, with an initial and a point condition; 13 points."""
    first, plain_first = mlp(1, 1, 4, 1, 2)
    second, plain_second = mlp(1, 2, 5, 1, 3)
    u_net, q_net = tx.nn.wrap(first, name="u"), tx.nn.wrap(second, name="q")
    k = tx.nn.parameter(1.5, name="k")
    domain = tx.domain.line(0.0, 1.4, mesh_size=0.1)
    x, _ = domain.variable("interior")
    xl, _ = domain.variable("left")
    u, q = u_net(x), q_net(x)
    flux = q[0] - k * u.d(x) + 0.1 * q[1]
    balance = q[0].d(x) + 1 + q[1] ** 2
    points = np.linspace(0, 1.4, 15)[1:-1]

    def fields(params, p):
        a, b, kappa = params
        value = lambda s: forward(a, jnp.array([s]))[0]
        both = lambda s: forward(b, jnp.array([s]))
        q_now, q_slope = both(p), jax.jacfwd(both)(p)
        return q_now[0] - kappa * jax.grad(value)(p) + 0.1 * q_now[1], q_slope[0] + 1 + q_now[1] ** 2

    def all_fluxes(params):
        return jax.vmap(lambda p: fields(params, p)[0])(points)

    def losses(params):
        other = jax.vmap(lambda p: fields(params, p)[1])(points)
        start = forward(params[0], jnp.array([0.0]))[0]
        return [jnp.mean(all_fluxes(params) ** 2), jnp.mean(other**2) / 2, (start - 0.3) ** 2 + 0.01 * params[2] ** 2]

    return Case(
        [flux.mse, balance.mse / 2, (u_net(xl) - 0.3).mse + 0.01 * k**2],
        [u_net, q_net, k],
        flux,
        x >= 0.65,
        [plain_first, plain_second, np.float64(1.5)],
        losses,
        all_fluxes,
        points >= 0.65,
        2e-3,
    )


CASES = {"poisson": poisson, "nonlinear": nonlinear, "system": system}


@pytest.fixture(scope="module")
def oracles():
    """What the plain formulas give, computed once per problem."""
    result = {}

    def of(name):
        if name not in result:
            case = CASES[name]()
            result[name] = case, trained(case)
        return result[name]

    return of


def trained(case):
    flat, unravel = ravel_pytree(case.params)
    loss = jax.jit(lambda f: sum(case.losses(unravel(f))))
    each = jax.jit(lambda f: jnp.stack(case.losses(unravel(f))))
    slope = jax.jit(jax.grad(loss))
    first, m, v, history = flat, np.zeros_like(flat), np.zeros_like(flat), []
    for step in range(1, STEPS + 1):
        history.append(np.asarray(each(flat)))
        g = np.asarray(slope(flat))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        flat = flat - case.rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    rows = jax.jacrev(lambda f: case.rows_field(unravel(f)))(first)
    return {
        "losses": np.asarray(each(first)),
        "gradient": np.asarray(slope(first)),
        "rows": np.asarray(rows),
        "history": np.array(history),
        "parameters": np.asarray(flat),
    }


@pytest.mark.parametrize("name", with_slow(CASES, "system", "poisson"))
def test_against_plain_formulas(name, devices, oracles):
    case, oracle = oracles(name)
    solver = tx.core(case.terms, optimizer=optax.adam(case.rate), devices=devices, dtype="float64")
    total = case.terms[0]
    for term in case.terms[1:]:
        total = total + term
    rows = case.field.grad(*case.nets)
    *losses, gradient, jacobian, mean = solver.eval([*case.terms, total.grad(*case.nets), rows, rows[case.group].mean])
    close = {"rtol": 1e-10, "atol": 1e-11}
    np.testing.assert_allclose(losses, oracle["losses"], **close)
    np.testing.assert_allclose(gradient, oracle["gradient"], **close)
    np.testing.assert_allclose(jacobian, oracle["rows"], **close)
    np.testing.assert_allclose(mean, oracle["rows"][case.in_group].mean(axis=0), **close)

    solver.solve(STEPS, progress=False)
    history = np.stack([solver.history[f"{n}"] for n in solver.history if n != "loss"], axis=1)
    np.testing.assert_allclose(history, oracle["history"], rtol=1e-10, atol=1e-11)
    reached = ravel_pytree([_plain(solver.module(net)) for net in case.nets])[0]
    np.testing.assert_allclose(reached, oracle["parameters"], rtol=1e-10, atol=1e-11)


def _plain(module):
    return [(layer.weight, layer.bias) for layer in module.layers] if hasattr(module, "layers") else module
