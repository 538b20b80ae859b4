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

from .facts import DEPTH, RATE, WIDTH, Problem, Weights, layers_of
from .symbolic import equations
from .training import Looks, State, cell

FUSED = 20  # steps in one compiled program, between two of which an error can be looked at
ENDLESS = FUSED * 10**6  # steps; the callback ends training


def fields_of(out: Any, count: int) -> list[Any]:
    """The outputs of a network, each as a field."""
    return [out[..., i] for i in range(count)] if count > 1 else [out]


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
    fields = fields_of(net(*inner), problem.outputs)
    terms = [residual.mse for residual in equations(jno.np)[problem.name](fields, *inner, **unknowns)]
    for name, given in problem.conditions.items():
        fields = fields_of(net(*domain.variable(name)[: problem.inputs]), problem.outputs)
        values = domain.variable(f"{name} values", np.asarray(given.values, np.float32)[None, None])
        for column, output in enumerate(given.outputs):
            terms.append((fields[output] - values[..., column]).mse)
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
