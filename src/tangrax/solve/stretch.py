"""The compiled part of training: many epochs in one program for one shard."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ..expr import Node, PointSet, Trainable
from ..jacobian import SpectrumProgram
from ..lower import Here, Program
from ..optim import SecondOrder
from ..parallel import Collectives, Layout
from .first_order import FirstOrder, Parameters

LONGEST = 1000  # epochs in a stretch: what is recorded in one has this many rows


@dataclass(frozen=True)
class Watched:
    """Terms evaluated together, or a spectrum, every `interval` epochs."""

    interval: int
    program: Program | SpectrumProgram
    names: tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """What a stretch computes: the loss with its terms, and what is watched."""

    loss: Program  # roots: the gradient of the loss, then the terms
    names: tuple[str, ...]  # of the terms
    watched: tuple[Watched, ...]
    layouts: Mapping[PointSet, Layout]
    optimizer: FirstOrder | SecondOrder
    trainables: tuple[Trainable, ...]
    given: tuple[Node, ...]
    limit: int | None


@dataclass(frozen=True)
class State:
    """What training changes: parameters (in the order of `Problem.trainables`) and optimizer states."""

    parameters: tuple[Any, ...]
    optimizers: Any


jax.tree_util.register_dataclass(State, ["parameters", "optimizers"], [])


def stretch_program(
    problem: Problem,
    collectives: Collectives,
    points: Mapping[PointSet, Any],
    state: State,
    last: State,
    given: Sequence[Any],
    first: Any,
    count: Any,
) -> tuple[Any, ...]:
    """Up to `count` epochs for one shard, from `state`; `last` is the state one epoch earlier.

    Ends early at the first loss or gradient that is not finite: `state` is then the one it was found at.

    Trackers due now are evaluated, then epochs run without a thought of them until the next is due.
    """
    end = first + count
    known = dict(zip(problem.given, given, strict=True))
    here = Here(collectives, problem.layouts, points)

    def run(program: Program | SpectrumProgram, parameters: Parameters) -> list[Any]:
        mine = [known[node] for node in program.given]
        return program.run(here.of(program.tags), parameters, mine, problem.limit)

    def named(state: State) -> Parameters:
        return dict(zip(problem.trainables, state.parameters, strict=True))

    def evaluated(parameters: Parameters) -> tuple[Any, Any, list[Any]]:
        gradient, *terms = run(problem.loss, parameters)
        return sum(terms[1:], start=terms[0]), gradient, terms

    def loss_and_gradient(parameters: Parameters) -> tuple[Any, Any]:
        return evaluated(parameters)[:2]

    def epoch(carry: Any) -> Any:
        now, state, last, _, _, _, record = carry
        parameters = named(state)
        total, gradient, terms = evaluated(parameters)
        slope_finite = jnp.isfinite(gradient).all()
        finite = jnp.isfinite(total) & slope_finite
        if isinstance(problem.optimizer, SecondOrder):
            changed, optimizers, measured = problem.optimizer.update(parameters, state.optimizers, here)
        else:
            of_loss = (total, gradient, loss_and_gradient)
            changed, optimizers = problem.optimizer.update(parameters, state.optimizers, *of_loss)
            measured = ()
        record = jax.lax.dynamic_update_index_in_dim(record, jnp.stack([*terms, *measured]), now - first, 0)
        new = State(tuple(changed[t] for t in problem.trainables), optimizers)
        # Three states pass through, and one choice between them after the loop: one in every epoch costs 5-10 %.
        return now + finite, new, state, last, finite, slope_finite, record

    def segment(carry: Any) -> Any:
        *inner, buffers = carry
        now, state, *_ = inner
        due = end
        filled = []
        for watched, buffer in zip(problem.watched, buffers, strict=True):
            index = now // watched.interval - fired_before(first, watched.interval)

            def write(buffer: Any, watched: Watched = watched, index: Any = index) -> Any:
                values = run(watched.program, named(state))
                return [
                    jax.lax.dynamic_update_index_in_dim(b, v.astype(b.dtype), index, 0)
                    for b, v in zip(buffer, values, strict=True)
                ]

            filled.append(jax.lax.cond(now % watched.interval == 0, write, lambda b: b, buffer))
            due = jnp.minimum(due, (now // watched.interval + 1) * watched.interval)
        inner = jax.lax.while_loop(lambda c: (c[0] < due) & c[4], epoch, tuple(inner))
        return *inner, filled

    true = jnp.asarray(True)
    recorded = len(problem.names) + len(problem.optimizer.measures)
    dtype = jax.tree.leaves(state.parameters)[0].dtype
    record = jnp.zeros((LONGEST, recorded), dtype)
    buffers = [_buffers(lambda s, w=watched: run(w.program, named(s)), watched, state) for watched in problem.watched]
    carry = (jnp.asarray(first), state, last, last, true, true, record, buffers)
    carry = jax.lax.while_loop(lambda c: (c[0] < end) & c[4], segment, carry)
    now, state, last, earlier, finite, slope_finite, record, buffers = carry
    # Where the loss is not finite, the newest state was made from it.
    state, last = jax.tree.map(lambda a, b: jnp.where(finite, a, b), (state, last), (last, earlier))
    return state, last, now - first, finite, slope_finite, record, buffers


def _buffers(values: Callable[[State], list[Any]], watched: Watched, state: State) -> list[Any]:
    """Room for what a tracker gives in the longest stretch."""
    shapes = jax.eval_shape(values, state)
    return [jnp.zeros((LONGEST // watched.interval + 1, *s.shape), s.dtype) for s in shapes]


def fired_before(epoch: Any, interval: int) -> Any:
    """How many times a tracker has been due before an epoch."""
    return (epoch + interval - 1) // interval
