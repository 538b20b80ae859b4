"""The problems in jinns: `python -m peers.in_jinns FILE SECONDS`.

Its generators draw points of boxes; they are filled with those of the problem. Time is the first coordinate in jinns.
`jinns.solve` compiles anew at each call, so that there is one call, and what looks at the error and ends it is what
jinns has for that, a validation module.
"""

import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jinns
import jinns.validation
import numpy as np
import optax
from jax.experimental import io_callback
from jinns.loss import vectorial_laplacian_rev
from jinns.parameters import DerivativeKeysPDENonStatio, DerivativeKeysPDEStatio, Params

from .facts import (
    BURGERS_VISCOSITY,
    CAVITY_VISCOSITY,
    DEPTH,
    DIFFUSION_UNIT,
    RATE,
    WIDTH,
    Given,
    Problem,
    Weights,
    conductivity,
    heat_source,
    layers_of,
    lid,
)
from .training import Looks, State, cell

ENDLESS = 200_000  # steps; the validation module ends training
INTERVAL = 5  # steps between two calls of it
STEADY, TRANSIENT = "PDEStatio", "PDENonStatio"


class InverseDiffusion(jinns.loss.PDEStatio):
    """div(a ∇u) + f, u and a the outputs of one network."""

    def equation(self, x: Any, u: Any, params: Any) -> Any:
        slopes = jax.jacrev(u, 0)(x, params)
        curved = vectorial_laplacian_rev(x, u, params, dim_out=1, eq_type=STEADY)
        along = u(x, params)[1] * curved[0] + jnp.sum(slopes[0] * slopes[1])
        return jnp.array([along + heat_source(x[0], x[1], jnp)])


class Reaction(jinns.loss.PDENonStatio):
    def equation(self, t_x: Any, u: Any, params: Any) -> Any:
        a, b = u(t_x, params)
        consumed = params.eq_params.rate * a * b**2
        spread = DIFFUSION_UNIT * params.eq_params.diffusion
        slopes = jax.jacrev(u, 0)(t_x, params)
        curved = vectorial_laplacian_rev(t_x, u, params, dim_out=2, eq_type=TRANSIENT)
        return slopes[:, 0] - spread * curved + jnp.array([1.0, 2.0]) * consumed


class Wake(jinns.loss.PDENonStatio):
    def equation(self, t_x: Any, u: Any, params: Any) -> Any:
        velocity = u(t_x, params)[:2]
        slopes = jax.jacrev(u, 0)(t_x, params)
        curved = vectorial_laplacian_rev(t_x, u, params, dim_out=2, eq_type=TRANSIENT)
        carried = params.eq_params.convection * (slopes[:2, 1:] @ velocity)
        momentum = slopes[:2, 0] + carried + slopes[2, 1:] - params.eq_params.viscosity * curved
        return jnp.append(momentum, slopes[0, 1] + slopes[1, 2])


class Sides(jinns.loss.BoundaryConditionAbstract):
    """Given values of some outputs, by a function of a point, on each side."""

    outputs: tuple[int, ...] = eqx.field(static=True)
    value: Callable[[Any, int], Any] = eqx.field(static=True)
    """of a point and the number of its side"""

    def equation_u(self, inputs: Any, u: Any, params: Any) -> Any:
        return tuple(u(inputs[:, side], params)[jnp.array(self.outputs)] for side in range(inputs.shape[-1]))

    def equation_f(self, inputs: Any, params: Any, gridify: bool = False) -> Any:
        return tuple(jnp.atleast_1d(self.value(inputs[:, side], side)) for side in range(inputs.shape[-1]))


EQUATIONS: dict[str, Callable[[], Any]] = {
    "burgers": jinns.loss.BurgersEquation,
    "cavity": jinns.loss.NavierStokesMassConservation2DStatio,
    "pinv": InverseDiffusion,
    "reaction": Reaction,
    "wake": Wake,
}
KNOWN = {"burgers": {"nu": BURGERS_VISCOSITY}, "cavity": {"nu": CAVITY_VISCOSITY, "rho": 1.0}}
SIDES: dict[str, Callable[[], Any]] = {
    "burgers": jinns.loss.Dirichlet,
    "cavity": lambda: Sides((0, 1), lambda x, side: jnp.array([lid(x[0]) if side == 3 else 0.0, 0.0])),
    "pinv": lambda: Sides((1,), lambda x, _: conductivity(x[0], x[1])),
    "reaction": lambda: Sides((0, 1), lambda t_x, _: jnp.repeat(1 - t_x[1:], 2)),
}
STARTS: dict[str, Callable[[Any], Any]] = {
    "burgers": lambda x: -jnp.sin(jnp.pi * x),
    "reaction": lambda x: jnp.repeat(jnp.exp(-20 * x), 2),
}


def ordered(problem: Problem, points: np.ndarray) -> jax.Array:
    """Points with time in front."""
    return jnp.asarray(np.roll(points, 1, axis=1) if problem.over_time else points, jnp.float32)


def generator(problem: Problem) -> Any:
    """A generator with the problem's points, all of which are in each batch."""
    key, space = jax.random.PRNGKey(0), problem.inputs - problem.over_time
    border = [ordered(problem, problem.conditions[side].points) for side in side_names(problem)]
    box = {"dim": space, "min_pts": (0.0,) * space, "max_pts": (1.0,) * space, "method": "uniform"}
    counts = {"n": len(problem.interior), "nb": sum(map(len, border)) or None}
    if not problem.over_time:
        made = jinns.data.CubicMeshPDEStatio(key=key, **counts, **box)
        new = {"omega": ordered(problem, problem.interior), "omega_border": jnp.stack(border, axis=-1)}
    else:
        start = problem.conditions.get("start")
        places = np.zeros((1, space)) if start is None else start.points[:, :space]
        made = jinns.data.CubicMeshPDENonStatio(key=key, **counts, **box, tmin=0.0, tmax=1.0, ni=len(places))
        new = {"domain": ordered(problem, problem.interior), "initial": jnp.asarray(places, jnp.float32)}
        if border:
            new["border"] = jnp.stack(border, axis=-1)
    return eqx.tree_at(lambda g: [getattr(g, name) for name in new], made, list(new.values()))


def side_names(problem: Problem) -> list[str]:
    """The sides in the order of jinns: lower and upper across each axis."""
    return [name for name in ("left", "right", "bottom", "top") if name in problem.conditions]


def observed(problem: Problem) -> tuple[Any, Any]:
    """What is given at points that are neither sides nor start, as jinns' observations, and the outputs given there."""
    sets: list[Given] = [problem.conditions[name] for name in ("readings", "origin") if name in problem.conditions]
    if not sets:
        return None, None
    (given,) = sets
    data = jinns.data.DataGeneratorObservations(
        key=jax.random.PRNGKey(0),
        observed_pinn_in=ordered(problem, given.points),
        observed_values=jnp.asarray(given.values, jnp.float32),
    )
    return data, jnp.s_[given.outputs[0] : given.outputs[-1] + 1]


def started(weights: Weights, over_time: bool) -> Any:
    """A network of jinns with these weights, and its parameters."""
    sizes = [weights[0][0].shape[1], *[WIDTH] * DEPTH, len(weights[-1][1])]
    parts: list[Any] = []
    for before, after in pairwise(sizes):
        parts += [(eqx.nn.Linear, before, after), (jax.nn.tanh,)]
    net, first = jinns.nn.PINN_MLP.create(
        key=jax.random.PRNGKey(0), eqx_list=tuple(parts[:-1]), eq_type=TRANSIENT if over_time else STEADY
    )
    own = [
        (np.roll(weight, 1, axis=1) if over_time and i == 0 else weight, bias)
        for i, (weight, bias) in enumerate(weights)
    ]
    leaves = [jnp.asarray(leaf, jnp.float32) for layer in own for leaf in layer]
    return net, eqx.tree_at(lambda p: [leaf for n in layers(p) for leaf in (n.weight, n.bias)], first, leaves)


def layers(parameters: Any) -> list[Any]:
    return parameters.layers[::2]


class Watch:
    """Looks at the error from inside the compiled loop; the first step is not counted."""

    def __init__(self, problem: Problem, looks: Looks):
        self._problem, self._looks = problem, looks
        self._calls, self._seconds = 0, 0.0
        self._began = time.process_time()
        self.before = 0.0

    def __call__(self, params: Any) -> np.ndarray:
        """Return whether training is over."""
        taken = time.process_time() - self._began
        if self._calls == 0:
            self.before = taken
        else:
            self._seconds += taken
            if self._looks.due(self._seconds):
                self._looks.add(INTERVAL * self._calls, self._seconds, self._state(params))
        self._calls += 1
        self._began = time.process_time()
        return np.array(self._looks.over(self._seconds))

    def _state(self, params: Any) -> State:
        flat = [(layer.weight, layer.bias) for layer in layers(params.nn_params)]
        if self._problem.over_time:
            flat[0] = np.roll(flat[0][0], -1, axis=1), flat[0][1]
        return layers_of(flat), {name: float(getattr(params.eq_params, name)) for name in self._problem.unknowns}


class Validation(jinns.validation.AbstractValidationModule):
    """Ends training when `watch` says so."""

    watch: Watch = eqx.field(static=True, kw_only=True)
    call_every: int = eqx.field(kw_only=True, default=INTERVAL)

    def __call__(self, params: Any) -> Any:
        over = io_callback(self.watch, jax.ShapeDtypeStruct((), bool), params, ordered=True)
        return self, over, jnp.array(0.0), False


def train(problem: Problem, looks: Looks) -> dict[str, object]:
    warnings.filterwarnings("ignore", message="Missing boundary condition|Initial condition wasn't")
    net, first = started(problem.weights(), problem.over_time)
    known = KNOWN.get(problem.name, {}) | {name: start for name, (start, _) in problem.unknowns.items()}
    params = Params(nn_params=first, eq_params={name: jnp.array(value) for name, value in known.items()})
    readings, part = observed(problem)
    sides = SIDES[problem.name]() if problem.name in SIDES else None
    weights = {"dyn_loss": 1.0, "boundary_loss": sides and 1.0, "observations": readings and 1.0}
    about: dict[str, Any] = {"u": net, "dynamic_loss": EQUATIONS[problem.name](), "boundary_condition": sides}
    about |= {"obs_slice": part, "params": params}
    keys = DerivativeKeysPDENonStatio if problem.over_time else DerivativeKeysPDEStatio
    about["derivative_keys"] = keys.from_str(params, dyn_loss="both" if problem.unknowns else "nn_params")
    if problem.over_time:
        start = STARTS.get(problem.name)
        weights["initial_condition"] = start and 1.0
        about |= {"initial_condition_fun": start, "loss_weights": jinns.loss.LossWeightsPDENonStatio(**weights)}
        loss = jinns.loss.LossPDENonStatio(**about)
    else:
        loss = jinns.loss.LossPDEStatio(**about, loss_weights=jinns.loss.LossWeightsPDEStatio(**weights))
    watch = Watch(problem, looks)
    found = jinns.solve(
        n_iter=ENDLESS,
        init_params=params,
        data=generator(problem),
        loss=loss,
        obs_data=readings,
        optimizer=optax.adam(RATE),
        validation=Validation(watch=watch),
        verbose=False,
    )
    return {"before": watch.before, "loss": float(found[1][0])}


if __name__ == "__main__":
    cell(train)
