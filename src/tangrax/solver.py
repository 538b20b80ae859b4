"""`tx.core` and the solver: what puts the floors below together."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree

from . import analysis, checkpoint, export, jacobian, lower, monitor, nn, optim, parallel
from .expr import Selection, Trainable, as_jax
from .solve import (
    Batches,
    Checkpointer,
    Held,
    History,
    Listener,
    Loop,
    NoCheckpoints,
    Resampler,
    State,
    Terms,
    Timing,
    build_loop,
    exclusive,
    explained,
    joint_optimizer,
    read_terms,
)

MEMORY_LIMIT = 2**30  # bytes of temporaries of a step on one device
STOP, ROLLBACK, ROLLBACKS = "stop", "rollback", 8


def core(
    terms: Any,
    *,
    optimizer: Any = None,
    balance: Any = None,
    conflict: Any = None,
    devices: int | Mesh | None = None,
    dtype: str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    resample: Any = None,
    batch: Mapping[str, int] | None = None,
) -> "Solver":
    """A solver of a problem: the loss is the sum of the terms, trackers are watched beside it.

    `terms` is a list of terms and trackers (named mse_0, mse_1, tracker_0, …) or a dict from names to them.
    `optimizer` trains everything that has no optimizer of its own. `balance` is what weights the terms, one of
    `tx.optim.ntk_balance()` and the like or a list of them; `conflict` keeps their gradients from undoing each other
    (`tx.optim.config()`, `tx.optim.pcgrad()`). Points are split over all visible devices, the first `devices` of them,
    or those of a mesh. A step's temporaries stay below `memory_limit` bytes a device, by chunks of points if they must.
    `resample` moves points during training: `tx.optim.rad(…)` or another of its kind, or a list of them for tags.
    `batch` is how many of a tag's points each step sees, by its name; trackers see all. Warns of networks too rough.
    """
    adaptive_methods = optim.adaptive_methods(balance, conflict)
    return Solver(read_terms(terms), optimizer, adaptive_methods, devices, dtype, memory_limit, resample, batch)


class Solver:
    """Owns the parameters, the devices and the history of a problem."""

    def __init__(
        self,
        terms: Terms,
        optimizer: Any,
        adaptive_methods: Sequence[optim.AdaptiveMethod],
        devices: int | Mesh | None,
        dtype: str | None,
        memory_limit: int,
        resample: Any,
        batch: Mapping[str, int] | None,
    ):
        if memory_limit < 1:
            raise ValueError(f"memory_limit={memory_limit}: bytes of temporaries that a step may take on one device")
        _check(optimizer, "tx.core")
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

    def __repr__(self) -> str:
        names = ", ".join([*self._terms.losses, *self._terms.trackers])
        return f"<solver of {names}: epoch {self.epoch}, {self._dtype}, {self.mesh.size} device(s)>"

    def _repr_html_(self) -> str:
        about = self.epoch, self.precision, self.mesh, self.stalled
        return monitor.solver_view(self._terms, self.history, self._resampler.counted(), *about)

    @property
    def mesh(self) -> Mesh:
        """The devices that share the points, along one axis "points"."""
        return self._transport.mesh

    @property
    def precision(self) -> str:
        """Of parameters and points, and of matrix products: "float32, products highest"."""
        return parallel.precision_of(self._dtype)

    @property
    def stalled(self) -> str | None:
        """Why the optimizer no longer gets on, if it says so; Gauss-Newton does at the floor of round-off."""
        if self._loop is None or self._state is None:
            return None
        return self._loop.problem.optimizer.trouble(self._state.optimizers)

    # Training

    @exclusive
    def optimizer(self, optimizer: Any, *handles: Any) -> "Solver":
        """From now on, train with `optimizer`: the networks and parameters named, or, if none is, everything.

        Its state starts anew; parameters stay as they are.
        """
        _check(optimizer, "solver.optimizer")
        trained = self._terms.trained
        chosen = [handle.selection.trainable for handle in handles] or trained
        for trainable in chosen:
            if trainable not in trained:
                raise ValueError(f"optimizer: '{trainable.name}' is not trained in this problem")
        own = {**self._own_optimizers, **dict.fromkeys(chosen, optimizer)}
        self._joint_optimizer(own)  # refuses before anything changes
        self._own_optimizers = own
        self._forget_optimizer()
        return self

    @exclusive
    def solve(
        self,
        epochs: int | np.integer,
        *,
        progress: bool = True,
        listeners: Sequence[Listener] = (),
        run_dir: str | Path | None = None,
        checkpoint_every: int = 1000,
        keep: int = 3,
        resume: str = "auto",
        show: Mapping[str, Any] | None = None,
        on_nonfinite: str = "stop",
        profile: str | Path | None = None,
    ) -> "Solver":
        """Train for `epochs` more epochs, one optimizer step each.

        Loss, terms and trackers due are recorded in `history` before each epoch's update. Raises NonFiniteLoss,
        keeping the parameters of the last finite epoch; with `on_nonfinite="rollback"`, training goes back to the last
        multiple of `checkpoint_every` instead and takes steps half as long, up to 8 times.

        With `run_dir`, checkpoints are written there every so many epochs (the newest `keep` stay), at the end, and
        where training is stopped. The same call in another process goes on from the newest one, on whatever devices
        it has, and ends at the same epoch; `resume="never"` refuses a directory that has some. Raises ValueError for
        checkpoints of another problem, OSError where nothing can be written, both before anything is trained.
        `show` names what `tangrax report` draws beside the residuals: fields, pairs (field, reference), terms,
        `J.spectrum()`; at checkpoints, spectra at the end alone. `profile`: directory for a trace and a table of times.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"solve({epochs!r}): give a whole number of epochs, 0 or more")
        self._executor.check("solve")
        notified = [*listeners, *([monitor.ProgressBar()] if progress and self._transport.writes else [])]
        if on_nonfinite not in (STOP, ROLLBACK):
            raise ValueError(f"solve(on_nonfinite={on_nonfinite!r}): give '{STOP}' or '{ROLLBACK}'")
        end, rollbacks = self.epoch + int(epochs), ROLLBACKS if on_nonfinite == ROLLBACK else 0
        interval = checkpoint.whole_number("checkpoint_every", checkpoint_every)
        shown = analysis.ReportData(show or {}, self._terms.losses)
        profiling = monitor.profiling(profile, self._transport, self.timing, run_dir)
        notified = profiling.listeners(notified)
        if run_dir is None:
            self._train(end, notified, NoCheckpoints(interval) if rollbacks else NoCheckpoints(), rollbacks)
            profiling.finish(self._loop, self._state, self._last)
            return self
        problem = checkpoint.fingerprint(self._terms, self._rules, self._dtype, self._parameters)
        problem += checkpoint.fingerprint_of_points(self._resampler.names, self._transport.writes)
        optimizers = checkpoint.optimizers_of(self._chosen(), self._terms.trainables)
        known, writes = self._resampler.names.values(), self._transport.writes
        trackers = checkpoint.fingerprint_of_trackers(self._terms, known, self._parameters, writes)
        about = {**self._terms.about(), "precision": self.precision, "points": self._resampler.counted()}
        identity = checkpoint.Identity(problem, optimizers, trackers, about)
        view, how = partial(self._shown, shown, end), {"interval": interval, "keep": keep, "resume": resume}
        writer = profiling.timed(checkpoint.CheckpointWriter(run_dir, identity, self._transport, view, **how))
        with writer.opened(checkpoint.environment(self.mesh, self._transport.processes, self.epoch, end)):
            snapshot = writer.newest(self.epoch, end)
            if snapshot is not None:
                self._go_on_from(snapshot)
            writer.describe()
            if self.epoch >= end:
                writer.show(self.epoch)
            self._train(end, notified, writer, rollbacks)
            profiling.finish(self._loop, self._state, self._last)
        return self

    # Results

    def eval(
        self,
        nodes: Any,
        *,
        points: Mapping[str, Any] | None = None,
        sharded: bool = False,
        limit: int = jacobian.RESULT_LIMIT,
        dtype: str | None = None,
    ) -> Any:
        """The value of an expression now, or a list of values for a list of expressions.

        Fields have one row per point in the user's order, without padding; `points={tag: array}` evaluates at
        other points. Results are NumPy arrays, up to `limit` bytes each; with `sharded=True` fields come as
        `ShardedRows`, which leaves the rows on their devices. `J.spectrum()` gives a `Spectrum`, if what each device
        has to hold for it is no more than `limit`; `J.gram()` the tangent kernel. `dtype="float64"` computes in double
        precision whatever the network was trained in: what rounding leaves of a spectrum is then that of float64.
        """
        return jacobian.evaluate(self._evaluator_in(dtype), nodes, points or {}, sharded, limit)

    def plan(
        self,
        node: Any,
        *,
        points: Mapping[str, Any] | None = None,
        sharded: bool = False,
        limit: int = jacobian.RESULT_LIMIT,
    ) -> jacobian.Plan:
        """What `eval` of an expression would take on each device, way by way, and which way it would go.

        Nothing large is allocated. `print(solver.plan(J.gram()))` shows a table.
        """
        return jacobian.plan_of(self._evaluator, node, points or {}, sharded, limit)

    def points(self, tag: Any) -> np.ndarray:
        """Where the points of a tag are now, (N, columns), the last one time; `tag` is its name or a field on it."""
        return self._resampler.coordinates(tag)

    def module(self, net: Any) -> PyTree:
        """A network with its trained parameters, as the kind of object that was wrapped; of a parameter, its value."""
        trainable = net.selection.trainable
        # Arrays of this process alone, which it can use without the others.
        own = jax.tree.map(lambda leaf: as_jax(np.asarray(leaf)), self._held.of(trainable))
        return checkpoint.rebuilt(trainable, own)

    # On disk

    def save(self, path: str | Path) -> None:
        """Write parameters, epoch, history and points that have moved to one file, whole or not at all."""
        names = self._terms.trainables
        leaves = {name: checkpoint.leaves_of(t, self._parameters[t]) for t, name in names.items()}
        recipes = {name: t.recipe for t, name in names.items()}
        history = {name: (self.history.epochs(name), self.history[name]) for name in self.history}
        saved = checkpoint.SolverFile(leaves, recipes, self.epoch, history, self._resampler.saved())
        self._transport.first_writes("the solver", lambda: checkpoint.save(path, saved))

    @exclusive
    def load(self, path: str | Path) -> "Solver":
        """Take parameters, epoch and history from a file that `save` wrote for the same networks.

        Optimizers start anew; points that had moved are where they were. Nothing changes if the file is refused.
        """
        saved = checkpoint.read(path)
        new = checkpoint.matched(saved, {name: t for t, name in self._terms.trainables.items()}, self._dtype, path)
        self._resampler.take(saved.points)  # may refuse them
        self._held.place(new)
        self.epoch = saved.epoch
        self.history = History.of(saved.history)
        self._forget_optimizer()
        return self

    def export(
        self, path: str | Path, fields: Any = None, *, points: Any = None, cells: Any = None, dtype: str | None = None
    ) -> None:
        """Write trained fields for programs without Tangrax; the suffix says how. `fields` is one, or a dict by name.

        `.jax`: a function of points, (n, columns), with the parameters in it, for `jax.export.deserialize`. `.csv`,
        `.npz`, `.vtu`, `.vtk`: values at the points of the fields' tag or at `points={tag: array}`; the last two with
        `cells`, such as `{"triangle": (M, 3) array}`. `.npz` without fields: all parameters, as NumPy arrays by name.
        `dtype` is that of `eval`. What does not go together is refused before anything is computed.
        """
        export.export(path, fields, points, cells, self._evaluator_in(dtype), self._terms.trainables)

    # Inside

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

    def _shown(self, shown: analysis.ReportData, end: int) -> tuple[dict[str, Any], checkpoint.Arrays]:
        return shown.collect(self.eval, self._resampler.coordinates, last=self.epoch == end)

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

    def _joint_optimizer(self, own: Mapping[Trainable, Any] | None = None) -> optim.Optimizer:
        """The optimizers of everything trained as one; refuses those that do not go together."""
        return joint_optimizer(self._chosen(own), self._adaptive, self._dtype)

    def _chosen(self, own: Mapping[Trainable, Any] | None = None) -> dict[Trainable, Any]:
        """The optimizer of each that is trained."""
        chosen = self._own_optimizers if own is None else own
        return {t: chosen.get(t) or self._default_optimizer for t in self._terms.trained}

    def _make_loop(self) -> Loop:
        if self._loop is None:
            if self._transport.processes > 1:  # each updates its own copy of the parameters
                optimizers = checkpoint.optimizers_of(self._chosen(), self._terms.trainables)
                said = [f"'{names}' trained by {each}" for names, each in optimizers.items()]
                parallel.compare(self._transport.peers, "optimizers", [self.precision, *said])
            self._loop = self._build_loop()
        return self._loop

    def _build_loop(self) -> Loop:
        optimizer, moving = self._joint_optimizer(), (self._resampler, self._batches)
        # Nothing that the loop holds may hold the solver: it goes, with its programs and points, when its user lets go.
        explain = partial(explained, self._terms.losses, optimizer.wrt, self._evaluator, self._held)
        return build_loop(self._terms, self._adaptive, optimizer, self._evaluator, *moving, explain, self.timing)


def _check(optimizer: Any, name: str) -> None:
    """Refuse what is no optimizer."""
    if optimizer is not None and not isinstance(optimizer, optim.Settings):
        nn.check_optimizer(optimizer, name)
