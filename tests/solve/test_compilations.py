"""Training is one program: the first state has the types that steps return, whoever the optimizer is.

JAX compiles a program for each combination of types it is given; `timing.compilations` counts the traces, and JAX's own
events what XLA compiles.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import slow_but

import tangrax as tx
from tangrax.optim import FirstOrder

X, _ = tx.domain.line(mesh_size=0.1).variable("interior")
# They want more than a gradient, a key, or matrices alone, multiply arrays of several ranks, or are deprecated.
NOT_HERE = (
    "hutchinson_estimator_diag_hessian",
    "sophia",
    "noisy_sgd",
    "scale_by_distance_over_gradients",
    "scale_by_muon",
    "optimistic_adam",
)
COMPILED = []  # by XLA, or taken from its cache, one entry a program
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **more: COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


def by_signature(module):
    """Everything in a module of optax that makes a transformation from a learning rate, or from nothing."""
    result = {}
    for name in sorted(vars(module)):
        make = getattr(module, name)
        if name in NOT_HERE or not inspect.isfunction(make) or name[0] == "_":
            continue
        signature = inspect.signature(make)
        needed = [p.name for p in signature.parameters.values() if p.default is p.empty and p.kind != p.VAR_KEYWORD]
        if "GradientTransformation" in str(signature.return_annotation) and needed in ([], ["learning_rate"]):
            result[name] = lambda make=make, needed=needed: make(*(0.1 for _ in needed))
    return result


def clipped(*others):
    return optax.chain(optax.clip_by_global_norm(1.0), *others)


OPTAX = {
    **by_signature(optax),
    **by_signature(optax.contrib),
    "adam, first moments in bfloat16": lambda: optax.adam(0.1, mu_dtype=jnp.bfloat16),
    "adam with a schedule": lambda: optax.adam(optax.cosine_decay_schedule(0.1, 100)),
    "add_noise": lambda: optax.chain(optax.add_noise(0.1, 0.5, key=0), optax.sgd(0.1)),
    "apply_every": lambda: optax.chain(optax.adam(0.1), optax.apply_every(3)),
    "apply_if_finite": lambda: optax.apply_if_finite(optax.adam(0.1), 3),
    "backtracking": lambda: optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
    "conditionally_mask": lambda: optax.conditionally_mask(optax.adam(0.1), lambda step: step < 3),
    "conditionally_transform": lambda: optax.conditionally_transform(optax.adam(0.1), lambda step: step < 3),
    "ema": lambda: optax.chain(optax.ema(0.9), optax.sgd(0.1)),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "inject_hyperparams with a schedule": lambda: optax.inject_hyperparams(optax.adam)(
        learning_rate=optax.exponential_decay(0.1, 5, 0.5)
    ),
    "keep_params_nonnegative": lambda: clipped(optax.adam(0.1), optax.keep_params_nonnegative()),
    "lbfgs and a fixed rate": lambda: optax.lbfgs(0.1, linesearch=None),
    "lbfgs, backtracking": lambda: optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(10)),
    "masked": lambda: optax.masked(optax.adam(0.1), lambda tree: jax.tree.map(lambda leaf: True, tree)),
    "mechanize": lambda: optax.contrib.mechanize(optax.adam(0.1)),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(0.1), 3),
    "MultiSteps, skipping": lambda: optax.MultiSteps(optax.adam(0.1), 3, should_skip_update_fn=optax.skip_not_finite),
    "noisy_sgd": lambda: optax.noisy_sgd(0.1, key=0),
    "partition": lambda: optax.partition({"a": optax.lbfgs()}, lambda tree: jax.tree.map(lambda leaf: "a", tree)),
    "plateau": lambda: optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau(patience=2, accumulation_size=2)),
    "rmsprop, centred": lambda: optax.rmsprop(0.1, centered=True, momentum=0.9),
    "schedule_free": lambda: optax.contrib.schedule_free(optax.sgd(0.1), 0.1),
    "sgd with momentum": lambda: clipped(optax.sgd(0.1, momentum=0.9, nesterov=True)),
    "split_real_and_imaginary": lambda: optax.contrib.split_real_and_imaginary(optax.adam(0.1)),
    "zoom": lambda: optax.chain(optax.adam(0.1), optax.scale_by_zoom_linesearch(10)),
}


def widening():
    """A state of Python numbers and of 32 bits that a step widens, and numbers of a weak type that it makes anew."""

    def init(params):
        low = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.float32), params)
        return {"steps": 0, "mean": low, "scale": 1.0, "phase": jnp.asarray(0.5)}

    def update(updates, state, params=None):
        mean = jax.tree.map(lambda m, g: 0.9 * m + state["scale"] * g, state["mean"], updates)
        phase = jnp.where(state["steps"] > 1, 1.0, 0.5)
        new = {"steps": state["steps"] + 1, "mean": mean, "scale": 0.99 * state["scale"], "phase": phase}
        return jax.tree.map(lambda m: -0.1 * m, mean), new

    return optax.GradientTransformation(init, update)


def small_net():
    """Of arrays of one and two axes: some of optax's know no others, or no leaves that are None."""
    start = np.random.default_rng(0).normal(size=(3, 3))
    first = {"in": start[:1], "bias": start[1], "out": start[2:]}
    return tx.nn.wrap(
        lambda p, xs: jnp.vdot(p["out"][0], jnp.tanh(p["in"][0] * xs[0] + p["bias"])), first, name="small"
    )


def fit(optimizer, dtype="float64", devices=1, **more):
    u = small_net()(X)
    terms = {"fit": (u - tx.np.sin(3 * X)).mse, "slope": u.d(X).mse / 100}
    return tx.core(terms, optimizer=optimizer, dtype=dtype, devices=devices, **more)


def types(tree):
    """Of all leaves: shape, dtype, weak type."""
    result = jax.tree_util.tree_flatten_with_path(jax.eval_shape(lambda: tree))[0]
    return {jax.tree_util.keystr(path): (leaf.shape, leaf.dtype, leaf.weak_type) for path, leaf in result}


@pytest.mark.parametrize("dtype", slow_but(["float32", "float64"], "float32"))
def test_all_of_optax_begin_with_the_types_that_their_steps_return(dtype):
    """Against `jax.eval_shape` of optax's own update."""
    net = small_net().selection.trainable
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), net.initial)
    loss = lambda tree: sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree))
    for name, optimizer in OPTAX.items():
        made = optax.with_extra_args_support(optimizer())
        (state,) = FirstOrder.of({net: made}).init({net: params})
        after = jax.eval_shape(
            lambda p, s, made=made: made.update(p, s, p, value=loss(p[0]), grad=p, value_fn=loss)[1], (params,), state
        )
        assert types(state) == types(after), name
    assert {"adam", "lbfgs", "sgd", "lion", "muon", "prodigy", "schedule_free_adamw"} < set(OPTAX)


def programs(solver, epochs=(1, 1, 1, 4)):
    """How often training was traced in several calls, short and long, and all that was compiled after the first."""
    for number, count in enumerate(epochs):
        solver.solve(count, progress=False)
        before = len(COMPILED) if number == 0 else before
    assert np.isfinite(solver.history["loss"]).all()
    return solver.timing.compilations, len(COMPILED) - before


# The parts that optimizers are made of are in these.
WHOLE = ["widening", *(name for name in OPTAX if not name.startswith("scale_by"))]


@pytest.mark.parametrize("name", slow_but(WHOLE, "lbfgs", "MultiSteps", "widening"))
def test_an_optimizer_is_compiled_once(name):
    assert programs(fit({**OPTAX, "widening": widening}[name](), devices=2)) == (1, 0)


OWN = {
    "gauss_newton": lambda: {"optimizer": tx.optim.gauss_newton()},
    "spring": lambda: {"optimizer": tx.optim.spring()},
    "engd": lambda: {"optimizer": tx.optim.engd()},
    "self_scaled_bfgs": lambda: {"optimizer": tx.optim.self_scaled_bfgs()},
    "self_scaled_broyden": lambda: {"optimizer": tx.optim.self_scaled_broyden()},
    "soap": lambda: {"optimizer": tx.optim.soap()},
    "spring, cg": lambda: {"optimizer": tx.optim.spring(way="cg")},
    "self_adaptive": lambda: {"balance": tx.optim.self_adaptive("fit")},
    "residual_attention": lambda: {"balance": tx.optim.residual_attention("fit")},
    "ntk_balance": lambda: {"balance": tx.optim.ntk_balance(every=2)},
    "grad_norm": lambda: {"balance": tx.optim.grad_norm(every=2)},
    "relobralo": lambda: {"balance": tx.optim.relobralo()},
    "causal": lambda: {"balance": tx.optim.causal(X, bins=4)},
    "config": lambda: {"conflict": tx.optim.config()},
    "pcgrad": lambda: {"conflict": tx.optim.pcgrad()},
}


@pytest.mark.parametrize("name", slow_but(OWN, "spring", "causal"))
def test_own_ways_are_compiled_once(name):
    assert programs(fit(devices=2, **{"optimizer": optax.sgd(0.1), **OWN[name]()})) == (1, 0)


def test_another_optimizer_is_compiled_once_more():
    """Whatever the first one left; and the first one anew."""
    solver = fit(optax.adam(0.01), devices=2)
    for count, optimizer in enumerate([optax.lbfgs(), optax.adam(0.01)], start=1):
        assert programs(solver, (2, 1, 1)) == (count, 0)
        solver.optimizer(optimizer)


def test_lbfgs_in_32_bits_while_64_are_switched_on():
    """Its line search tries steps in 64 bits then. It comes to where it does in 64, and that is the best line."""
    a, b = (tx.nn.parameter(0.0, name=name) for name in "ab")
    for dtype, error in (("float32", 1e-5), ("float64", 1e-10)):
        solver = tx.core([(a * X + b - 2 * X - 1).mse], optimizer=optax.lbfgs(), dtype=dtype, devices=2)
        assert programs(solver, (1, 1, 13)) == (1, 0)
        np.testing.assert_allclose([solver.module(a), solver.module(b)], [2, 1], atol=error)


def test_a_state_of_another_shape_is_refused():
    """JAX has no program for it; the epoch is still 0."""
    growing = optax.GradientTransformation(
        lambda params: jnp.zeros(1), lambda updates, state, params=None: (updates, jnp.append(state, 0.0))
    )
    solver = fit(growing)
    with pytest.raises(TypeError, match=r"of shape \(1,\) comes back with \(2,\).*Nothing was trained"):
        solver.solve(3, progress=False)
    assert solver.epoch == 0
