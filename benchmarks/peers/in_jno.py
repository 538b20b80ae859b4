"""The problems in jNO: `python -m peers.in_jno FILE SECONDS`.

Points of the user's are a domain `from_array`, of which time is one more axis, and given values are arrays beside them;
unknown coefficients are `jno.np.parameter`s. Steps are fused by its own option `inner_steps`, which is faster.
"""

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JNO_COMPILE_CACHE", "0")

import equinox as eqx
import foundax
import jax
import jax.numpy as jnp
import jno
import numpy as np
import optax
from jno.utils.adaptive.callbacks import Callback

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
from .training import Looks, State, cell

FUSED = 20  # steps in one compiled program, between two of which an error can be looked at
ENDLESS = FUSED * 10**6  # steps; the callback ends training


def burgers(out: Any, x: Any, t: Any) -> list[Any]:
    return [out.d(t) + out * out.d(x) - BURGERS_VISCOSITY * out.d2(x)]


def flow(out: Any, x: Any, y: Any, viscosity: Any, convection: Any = 1.0) -> list[Any]:
    u, v, p = (out[..., i] for i in range(3))
    return [
        convection * (u * u.d(x) + v * u.d(y)) + p.d(x) - viscosity * u.laplacian(x, y),
        convection * (u * v.d(x) + v * v.d(y)) + p.d(y) - viscosity * v.laplacian(x, y),
        u.d(x) + v.d(y),
    ]


def cavity(out: Any, x: Any, y: Any) -> list[Any]:
    return flow(out, x, y, CAVITY_VISCOSITY)


def pinv(out: Any, x: Any, y: Any) -> list[Any]:
    u, a = out[..., 0], out[..., 1]
    return [a.d(x) * u.d(x) + a.d(y) * u.d(y) + a * u.laplacian(x, y) + heat_source(x, y, jno.np)]


def reaction(out: Any, x: Any, t: Any, rate: Any, diffusion: Any) -> list[Any]:
    a, b = out[..., 0], out[..., 1]
    consumed, spread = rate * a * b**2, DIFFUSION_UNIT * diffusion
    return [a.d(t) - spread * a.d2(x) + consumed, b.d(t) - spread * b.d2(x) + 2 * consumed]


def wake(out: Any, x: Any, y: Any, t: Any, convection: Any, viscosity: Any) -> list[Any]:
    along, across, mass = flow(out, x, y, viscosity, convection)
    return [along + out[..., 0].d(t), across + out[..., 1].d(t), mass]


EQUATIONS: dict[str, Callable[..., list[Any]]] = {
    each.__name__: each for each in (burgers, cavity, pinv, reaction, wake)
}


def layers(module: Any) -> list[Any]:
    return [*module.hidden_layers, module.output_layer]


def started(weights: Weights) -> Any:
    """jNO's perceptron with these weights."""
    module = foundax.mlp(weights[0][0].shape[1], len(weights[-1][1]), hidden_dims=WIDTH, num_layers=DEPTH)
    own = [jnp.asarray(leaf, jnp.float32) for layer in weights for leaf in layer]
    return eqx.tree_at(lambda m: [leaf for layer in layers(m) for leaf in (layer.weight, layer.bias)], module, own)


class Follow(Callback):
    """Looks at the error after some calls of the compiled program, the first of which compiles it."""

    def __init__(self, looks: Looks, state: Callable[[Any], State]):
        self._looks, self._state = looks, state
        self._steps, self._seconds = 0, 0.0
        self._created, self._resumed = time.process_time(), None
        self.before = 0.0

    def on_epoch_end(self, **kwargs: Any) -> bool:
        jax.block_until_ready(kwargs["total_loss"])
        now = time.process_time()
        if self._resumed is None:
            self.before = now - self._created
        else:
            self._steps += FUSED
            self._seconds += now - self._resumed
            if self._looks.due(self._seconds):
                self._looks.add(self._steps, self._seconds, self._state(kwargs["trainable"]))
        self._resumed = time.process_time()
        return self._looks.over(self._seconds)


def train(problem: Problem, looks: Looks) -> dict[str, object]:
    sets = {"interior": problem.interior, **{name: given.points for name, given in problem.conditions.items()}}
    domain = jno.domain.from_array({name: np.asarray(points, np.float32) for name, points in sets.items()})
    net = jno.nn.wrap(started(problem.weights()))
    net.optimizer(optax.adam(RATE))
    unknowns = {}
    for name, (start, _) in problem.unknowns.items():
        unknowns[name] = jno.np.parameter((1,), name=name).initialize(jax.nn.initializers.constant(start))
        unknowns[name].optimizer(optax.adam(RATE))
    inner = domain.variable("interior")[: problem.inputs]
    terms = [residual.mse for residual in EQUATIONS[problem.name](net(*inner), *inner, **unknowns)]
    for name, given in problem.conditions.items():
        out = net(*domain.variable(name)[: problem.inputs])
        values = domain.variable(f"{name} values", np.asarray(given.values, np.float32)[None, None])
        for column, output in enumerate(given.outputs):
            part = out[..., output] if problem.outputs > 1 else out
            terms.append((part - values[..., column]).mse)
    core = jno.core(terms, domain=domain)
    loss = float(sum(np.ravel(each)[0] for each in core.eval(terms)))

    def state(trainable: Any) -> State:
        modules = list(trainable.values())
        (perceptron,) = [module for module in modules if hasattr(module, "hidden_layers")]
        numbers = [float(np.ravel(module.value)[0]) for module in modules if hasattr(module, "value")]
        found = dict(zip(problem.unknowns, numbers, strict=True))
        return layers_of([(layer.weight, layer.bias) for layer in layers(perceptron)]), found

    follow = Follow(looks, state)
    core.solve(ENDLESS, inner_steps=FUSED, callbacks=[follow])
    return {"before": follow.before, "loss": loss}


if __name__ == "__main__":
    cell(train)
