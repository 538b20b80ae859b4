"""The problems in DeepXDE with its JAX backend: `python -m peers.in_deepxde FILE SECONDS`.

Its recipe for points of the user's is `anchors` inside and a `PointSetBC` for each output that is given, as its
documentation has it; the equations are evaluated at the points of these conditions too. Unknown coefficients are
`dde.Variable`s that the equations take as `unknowns`.
"""

import os
from collections.abc import Callable
from typing import Any

os.environ["DDE_BACKEND"] = "jax"

import deepxde as dde
import jax
import jax.numpy as jnp

from .facts import (
    BURGERS_VISCOSITY,
    CAVITY_VISCOSITY,
    DEPTH,
    DIFFUSION_UNIT,
    RATE,
    WIDTH,
    Problem,
    Weights,
    heat_source,
    layers_of,
)
from .training import Looks, State, cell, clocked, follow

NEVER = 10**9  # steps between two lines that DeepXDE prints


def first(y: Any, x: Any, output: int, axis: int) -> Any:
    return dde.grad.jacobian(y, x, i=output, j=axis)[0]


def second(y: Any, x: Any, output: int, axis: int) -> Any:
    return dde.grad.hessian(y, x, component=output, i=axis, j=axis)[0]


def burgers(x: Any, y: Any) -> list[Any]:
    return [first(y, x, 0, 1) + y[0] * first(y, x, 0, 0) - BURGERS_VISCOSITY * second(y, x, 0, 0)]


def flow(x: Any, y: Any, viscosity: Any, convection: Any = 1.0) -> list[Any]:
    u, v = y[0][:, 0:1], y[0][:, 1:2]

    def momentum(output: int) -> Any:
        carried = convection * (u * first(y, x, output, 0) + v * first(y, x, output, 1))
        return carried + first(y, x, 2, output) - viscosity * (second(y, x, output, 0) + second(y, x, output, 1))

    return [momentum(0), momentum(1), first(y, x, 0, 0) + first(y, x, 1, 1)]


def cavity(x: Any, y: Any) -> list[Any]:
    return flow(x, y, CAVITY_VISCOSITY)


def pinv(x: Any, y: Any) -> list[Any]:
    a, source = y[0][:, 1:2], heat_source(x[:, 0:1], x[:, 1:2], jnp)
    slopes = first(y, x, 1, 0) * first(y, x, 0, 0) + first(y, x, 1, 1) * first(y, x, 0, 1)
    return [slopes + a * (second(y, x, 0, 0) + second(y, x, 0, 1)) + source]


def reaction(x: Any, y: Any, unknowns: Any) -> list[Any]:
    rate, diffusion = unknowns
    consumed = rate * y[0][:, 0:1] * y[0][:, 1:2] ** 2
    spread = DIFFUSION_UNIT * diffusion
    return [first(y, x, i, 1) - spread * second(y, x, i, 0) + (i + 1) * consumed for i in (0, 1)]


def wake(x: Any, y: Any, unknowns: Any) -> list[Any]:
    convection, viscosity = unknowns
    along, across, mass = flow(x, y, viscosity, convection)
    return [along + first(y, x, 0, 2), across + first(y, x, 1, 2), mass]


EQUATIONS: dict[str, Callable[..., list[Any]]] = {
    each.__name__: each for each in (burgers, cavity, pinv, reaction, wake)
}


def started(weights: Weights) -> dict[str, Any]:
    """Parameters of DeepXDE's perceptron with these weights."""
    return {
        "params": {
            f"denses_{i}": {"kernel": jnp.asarray(weight.T, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
            for i, (weight, bias) in enumerate(weights)
        }
    }


def geometry(problem: Problem) -> Any:
    """A box round all points; no point is drawn from it."""
    space = problem.interior[:, : problem.inputs - problem.over_time]
    points = [space, *[given.points[:, : space.shape[1]] for given in problem.conditions.values()]]
    lower, upper = (jnp.stack([bound(each, axis=0) for each in points]) for bound in (jnp.min, jnp.max))
    least, most = lower.min(axis=0).tolist(), upper.max(axis=0).tolist()
    box = dde.geometry.Interval(*least, *most) if len(least) == 1 else dde.geometry.Rectangle(least, most)
    if not problem.over_time:
        return box
    return dde.geometry.GeometryXTime(box, dde.geometry.TimeDomain(0, float(problem.interior[:, -1].max())))


def train(problem: Problem, looks: Looks) -> dict[str, object]:
    variables = [dde.Variable(start) for start, _ in problem.unknowns.values()]
    conditions = [
        dde.icbc.PointSetBC(given.points, given.values[:, column : column + 1], component=output)
        for given in problem.conditions.values()
        for column, output in enumerate(given.outputs)
    ]
    kind = dde.data.TimePDE if problem.over_time else dde.data.PDE
    data = kind(geometry(problem), EQUATIONS[problem.name], conditions, anchors=problem.interior)
    net = dde.nn.FNN([problem.inputs, *[WIDTH] * DEPTH, problem.outputs], "tanh", "Glorot uniform")
    model = dde.Model(data, net)
    model.compile("adam", lr=RATE, external_trainable_variables=variables or None, verbose=0)
    net.params = started(problem.weights())
    model.params = [net.params, [variable.value for variable in variables]]
    model.opt_state = model.opt.init(model.params)

    def state() -> State:
        layers = [net.params["params"][f"denses_{i}"] for i in range(DEPTH + 1)]
        found = {name: float(each.value) for name, each in zip(problem.unknowns, variables, strict=True)}
        return layers_of([(layer["kernel"].T, layer["bias"]) for layer in layers]), found

    def advance(steps: int) -> float:
        def work() -> None:
            model.train(iterations=steps, display_every=NEVER, verbose=0)
            jax.block_until_ready(model.params)

        return clocked(work)

    before = follow(advance, state, looks)
    return {"before": before, "loss": float(sum(model.losshistory.loss_train[0]))}


if __name__ == "__main__":
    cell(train)
