"""The training of a problem: parameters on devices, optimizers, the loop, and the state that it has reached."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from . import checkpoint, jacobian, lower, optim, parallel
from .expr import Selection, Trainable
from .solve import (
    Batches,
    Checkpointer,
    DeviceParameters,
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


class Training:
    """Builds the loop of a problem, runs it and resumes it, for the `Solver` that a user has.

    `state` and `last`, the state one epoch earlier, are None until training begins, as is `loop`; all three are made
    anew after a change of optimizers.
    """

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
        self.terms = terms
        self._default_optimizer = optimizer
        self._adaptive = optim.compile_rules(adaptive_methods, terms.losses, tuple(Selection(t) for t in terms.trained))
        self._own_optimizers = terms.optimizers
        leaves = jax.tree.leaves([t.initial for t in terms.trainables])
        self.dtype = jnp.dtype(parallel.run_dtype(dtype, jnp.result_type(*leaves).name))
        self.transport = parallel.make_transport(devices)
        self.executor = lower.Executor(self.transport, self.dtype, memory_limit)
        self.device_parameters = DeviceParameters(self.transport, self.dtype)
        self.parameters = self.device_parameters.by_trainable
        self.evaluator = jacobian.Evaluator(self.executor, self.device_parameters.of)
        self._evaluators = {self.dtype: self.evaluator}
        self.resampler = Resampler.of(resample, terms, self.evaluator, self._adaptive.columns)
        self._batches = Batches.of(batch, self.resampler.names, self._adaptive.columns)
        self._rules = [*map(str, adaptive_methods), *self.resampler.fingerprint(), *self._batches.fingerprint()]
        if self.transport.processes > 1:
            parallel.compare(self.transport.peers, "problems", [*terms.fingerprint(), *self._rules])
        self.state: State | None = None
        self.last: State | None = None
        self.loop: Loop | None = None
        self.epoch = 0
        self.history = History()
        self.timing = Timing()
        self.device_parameters.place({t: t.initial for t in terms.trainables})
        self._joint_optimizer()
        lower.warn_of_rough(terms.roots, self.transport)

    # Training

    def run(self, end: int, listeners: Sequence[Listener], checkpointer: Checkpointer, rollbacks: int) -> None:
        """Train the epochs until `end`, if it has not come."""
        if self.epoch >= end:
            return
        loop = self.current_loop()
        if self.state is None:
            self.state = self.last = loop.init(self.parameters)
        assert self.last is not None

        def take(state: State, last: State, epoch: int) -> None:
            self.state, self.last, self.epoch = state, last, epoch
            self.parameters.update(loop.parameters(state))

        start = self.state, self.last, self.epoch
        loop.run(*start, end - self.epoch, self.history, listeners, take, checkpointer, rollbacks)

    def current_loop(self) -> Loop:
        """Return the loop, which is built at the first call and after a change of optimizers."""
        if self.loop is None:
            if self.transport.processes > 1:  # each updates its own copy of the parameters
                optimizers = checkpoint.optimizers_of(self._chosen(), self.terms.trainables)
                lines = [f"'{names}' trained by {each}" for names, each in optimizers.items()]
                parallel.compare(self.transport.peers, "optimizers", [self.precision, *lines])
            self.loop = self._build_loop()
        return self.loop

    @property
    def precision(self) -> str:
        """Of parameters and points, and of matrix products."""
        return parallel.precision_of(self.dtype)

    @property
    def stalled(self) -> str | None:
        """Why the optimizer makes no more progress, if it knows."""
        if self.loop is None or self.state is None:
            return None
        return self.loop.problem.optimizer.trouble(self.state.optimizers)

    def evaluator_in(self, dtype: str | None) -> jacobian.Evaluator:
        """Return the evaluator of the run, or one in another precision, with the programs that it has compiled."""
        chosen = jnp.dtype(parallel.run_dtype(dtype, self.dtype.name)) if dtype else self.dtype
        if chosen not in self._evaluators:
            self._evaluators[chosen] = self.evaluator.in_dtype(chosen)
        return self._evaluators[chosen]

    # Optimizers

    def replace_optimizer(self, optimizer: optim.Chosen, trainables: Sequence[Trainable]) -> None:
        """Train some networks and scalars, or all if none are named, by another optimizer, whose state is new."""
        chosen = trainables or self.terms.trained
        for trainable in chosen:
            if trainable not in self.terms.trained:
                raise ValueError(f"optimizer: '{trainable.name}' is not trained in this problem")
        own = {**self._own_optimizers, **dict.fromkeys(chosen, optimizer)}
        self._joint_optimizer(own)  # refuses before anything changes
        self._own_optimizers = own
        self._forget_states()

    def _forget_states(self) -> None:
        self.state = self.last = self.loop = None

    def _joint_optimizer(self, own: Mapping[Trainable, optim.Chosen] | None = None) -> optim.Optimizer:
        """The optimizers of everything trained as one; refuses those that do not go together."""
        return optim.joint_optimizer(self._chosen(own), self._adaptive, self.dtype)

    def _chosen(self, own: Mapping[Trainable, optim.Chosen] | None = None) -> dict[Trainable, optim.Chosen | None]:
        """The optimizer of each that is trained."""
        chosen = self._own_optimizers if own is None else own
        return {t: chosen.get(t) or self._default_optimizer for t in self.terms.trained}

    def _build_loop(self) -> Loop:
        optimizer, moving = self._joint_optimizer(), (self.resampler, self._batches)
        # Nothing that the loop holds may hold the solver: it goes, with its programs and points, when its user lets go.
        explain = partial(explained, self.terms.losses, optimizer.wrt, self.evaluator, self.device_parameters)
        return build_loop(self.terms, self._adaptive, optimizer, self.evaluator, *moving, explain, self.timing)

    # On disk

    def identity(self) -> checkpoint.Identity:
        """Return what the checkpoints of a run have in common: problem, optimizers and trackers."""
        problem = checkpoint.fingerprint(self.terms, self._rules, self.dtype, self.parameters)
        problem += checkpoint.fingerprint_of_points(self.resampler.names, self.transport.writes)
        optimizers = checkpoint.optimizers_of(self._chosen(), self.terms.trainables)
        known, writes = self.resampler.names.values(), self.transport.writes
        trackers = checkpoint.fingerprint_of_trackers(self.terms, known, self.parameters, writes)
        words = {**self.terms.about(), "precision": self.precision, "points": self.resampler.counted()}
        return checkpoint.Identity(problem, optimizers, trackers, words)

    def resume(self, snapshot: checkpoint.Snapshot) -> None:
        """Take all that a checkpoint has; nothing has changed if it does not fit."""
        with self.resampler.undone_by_failure():
            self.resampler.take(snapshot.points)
            # Points may have moved, or become more: what was computed of the old ones is computed anew.
            loop = self._build_loop()
            state, last = snapshot.state(loop, loop.init(self.parameters))
        self.loop, self.state, self.last, self.epoch = loop, state, last, snapshot.epoch
        self.parameters.update(loop.parameters(state))
        self.history = History.of(snapshot.history)

    def saved(self) -> checkpoint.SolverFile:
        """Return parameters, epoch, history and resampled points, for a file."""
        names = self.terms.trainables
        leaves = {name: checkpoint.leaves_of(t, self.parameters[t]) for t, name in names.items()}
        recipes = {name: t.recipe for t, name in names.items()}
        history = {name: (self.history.epochs(name), self.history[name]) for name in self.history}
        return checkpoint.SolverFile(leaves, recipes, self.epoch, history, self.resampler.saved())

    def load(self, saved: checkpoint.SolverFile, path: str | Path) -> None:
        """Take what `saved` returned and the file at `path` holds; nothing has changed if it does not fit."""
        new = checkpoint.matched(saved, {name: t for t, name in self.terms.trainables.items()}, self.dtype, path)
        self.resampler.take(saved.points)  # may refuse them
        self.device_parameters.place(new)
        self.epoch = saved.epoch
        self.history = History.of(saved.history)
        self._forget_states()
