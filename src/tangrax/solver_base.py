"""Parameters, devices, optimizers and training loop behind `Solver`."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from . import checkpoint, jacobian, lower, optim, parallel
from .expr import Selection, Trainable
from .solve import (
    Batches,
    Checkpointer,
    Held,
    History,
    Listener,
    Loop,
    Resampler,
    State,
    Terms,
    Timing,
    build_loop,
    explained,
)


class SolverBase:
    """Builds the training loop of a problem, runs it and resumes it; `Solver` adds what a user calls."""

    def __init__(
        self,
        terms: Terms,
        optimizer: optim.Chosen | None,
        adaptive_methods: Sequence[optim.AdaptiveMethod],
        devices: int | Mesh | None,
        dtype: str | None,
        memory_limit: int,
        resample: optim.Resampling | Sequence[optim.Resampling] | None,
        batch: Mapping[str, int] | None,
    ):
        if memory_limit < 1:
            raise ValueError(f"memory_limit={memory_limit}: bytes of temporaries that a step may take on one device")
        self._changing = threading.Lock()
        self._terms = terms
        self._default_optimizer = optimizer
        self._adaptive = optim.compile_rules(adaptive_methods, terms.losses, tuple(Selection(t) for t in terms.trained))
        self._own_optimizers = terms.optimizers
        leaves = jax.tree.leaves([t.initial for t in terms.trainables])
        self._dtype = jnp.dtype(parallel.run_dtype(dtype, jnp.result_type(*leaves).name))
        self._transport = parallel.make_transport(devices)
        self._executor = lower.Executor(self._transport, self._dtype, memory_limit)
        self._held = Held(self._transport, self._dtype)
        self._parameters = self._held.known
        self._evaluator = jacobian.Evaluator(self._executor, self._held.of)
        self._evaluators = {self._dtype: self._evaluator}
        self._resampler = Resampler.of(resample, terms, self._evaluator, self._adaptive.columns)
        self._batches = Batches.of(batch, self._resampler.names, self._adaptive.columns)
        self._rules = [*map(str, adaptive_methods), *self._resampler.fingerprint(), *self._batches.fingerprint()]
        if self._transport.processes > 1:
            parallel.compare(self._transport.peers, "problems", [*terms.fingerprint(), *self._rules])
        self._state: State | None = None
        self._last: State | None = None
        self._loop: Loop | None = None
        self.epoch = 0
        self.history = History()
        self.timing = Timing()
        self._held.place({t: t.initial for t in terms.trainables})
        self._joint_optimizer()
        lower.warn_of_rough(terms.roots, self._transport)

    def _train(self, end: int, listeners: Sequence[Listener], checkpointer: Checkpointer, rollbacks: int) -> None:
        """Epochs until `end`, if it has not come."""
        if self.epoch >= end:
            return
        loop = self._make_loop()
        if self._state is None:
            self._state = self._last = loop.init(self._parameters)
        assert self._last is not None

        def take(state: State, last: State, epoch: int) -> None:
            self._state, self._last, self.epoch = state, last, epoch
            self._parameters.update(loop.parameters(state))

        start = self._state, self._last, self.epoch
        loop.run(*start, end - self.epoch, self.history, listeners, take, checkpointer, rollbacks)

    def _go_on_from(self, snapshot: checkpoint.Snapshot) -> None:
        """Take all that a checkpoint has; nothing has changed if it does not fit."""
        with self._resampler.undone_by_failure():
            self._resampler.take(snapshot.points)
            # Points may have moved, or become more: what was computed of the old ones is computed anew.
            loop = self._build_loop()
            state, last = snapshot.state(loop, loop.init(self._parameters))
        self._loop, self._state, self._last, self.epoch = loop, state, last, snapshot.epoch
        self._parameters.update(loop.parameters(state))
        self.history = History.of(snapshot.history)

    def _evaluator_in(self, dtype: str | None) -> jacobian.Evaluator:
        """Of the run, or one that computes in another precision; kept, with its compiled programs."""
        chosen = jnp.dtype(parallel.run_dtype(dtype, self._dtype.name)) if dtype else self._dtype
        if chosen not in self._evaluators:
            self._evaluators[chosen] = self._evaluator.in_dtype(chosen)
        return self._evaluators[chosen]

    def _forget_optimizer(self) -> None:
        self._state = self._last = self._loop = None

    def _joint_optimizer(self, own: Mapping[Trainable, optim.Chosen] | None = None) -> optim.Optimizer:
        """The optimizers of everything trained as one; refuses those that do not go together."""
        return optim.joint_optimizer(self._chosen(own), self._adaptive, self._dtype)

    def _chosen(self, own: Mapping[Trainable, optim.Chosen] | None = None) -> dict[Trainable, optim.Chosen | None]:
        """The optimizer of each that is trained."""
        chosen = self._own_optimizers if own is None else own
        return {t: chosen.get(t) or self._default_optimizer for t in self._terms.trained}

    def _make_loop(self) -> Loop:
        if self._loop is None:
            if self._transport.processes > 1:  # each updates its own copy of the parameters
                optimizers = checkpoint.optimizers_of(self._chosen(), self._terms.trainables)
                said = [f"'{names}' trained by {each}" for names, each in optimizers.items()]
                parallel.compare(self._transport.peers, "optimizers", [parallel.precision_of(self._dtype), *said])
            self._loop = self._build_loop()
        return self._loop

    def _build_loop(self) -> Loop:
        optimizer, moving = self._joint_optimizer(), (self._resampler, self._batches)
        # Nothing that the loop holds may hold the solver: it goes, with its programs and points, when its user lets go.
        explain = partial(explained, self._terms.losses, optimizer.wrt, self._evaluator, self._held)
        return build_loop(self._terms, self._adaptive, optimizer, self._evaluator, *moving, explain, self.timing)
