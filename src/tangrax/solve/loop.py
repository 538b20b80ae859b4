"""The training loop on the host: runs compiled stretches, records history, notifies listeners, stops or rolls back."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..expr import PointSet
from ..optim import AdaptiveRule, Parameters
from ..optim.first_order import strong
from ..parallel import Collectives, Transport, precision_of
from ..processes import Interruption, raise_for, say_stopped
from .callbacks import Listener, Run, Stretch
from .checkpointer import Checkpointer
from .compiled_loop import LONGEST, fired_before, stretch_program
from .history import History
from .loss_terms import TOTAL, NonFiniteLoss
from .resampling import MOVED, Resampler
from .rollback import SHORTER, STEP_SCALE, Anchor, Anchors
from .training_problem import CompiledTracker, Problem, ScheduledRule, State

FIRST = 10  # epochs in the first stretch, which tells how long an epoch takes
SECONDS = 0.5  # what a stretch should take, so that signals and progress stay live


@dataclass
class Timing:
    """Cost of training: compilations of its program, seconds until the first epochs were done, and seconds in all."""

    compilations: int = 0
    seconds_to_first_step: float | None = None
    seconds: float = 0.0
    epochs: int = 0


@dataclass
class StretchResult:
    """Result of a stretch: states, epochs done, whether the loss is finite, and per epoch what was recorded."""

    state: State
    last: State
    done: int
    finite: bool
    slope_finite: bool
    terms: np.ndarray
    watched: list[list[np.ndarray]]


@dataclass(frozen=True)
class Points:
    """Points on their devices, batches of tags of which a step sees a part, and constant arrays."""

    rows: Mapping[PointSet, jax.Array]
    batches: Mapping[PointSet, jax.Array]
    constants: Sequence[Any]


@dataclass
class Loop:
    """The compiled program of one problem, its points, and the timing of a run.

    `placed` returns the points as they are now; `rebuilt` a loop for another number of them.
    """

    problem: Problem
    transport: Transport
    points: Points
    explain: Callable[[Parameters, int, np.ndarray, bool], str]
    resampler: Resampler
    placed: Callable[[], Points]
    rebuilt: Callable[[], "Loop"]
    timing: Timing = field(default_factory=Timing)

    def init(self, parameters: Parameters) -> State:
        """Return a fresh state: the parameters as they are, optimizers at their beginning."""
        trained = tuple(parameters[t] for t in self.problem.trainables)
        dtype = jax.tree.leaves(trained)[0].dtype
        rules = [scheduled.rule for scheduled in self.problem.rules]
        states = tuple(rule.init(dtype) for rule in rules)
        replicated = strong(State(trained, self.problem.optimizer.init(parameters), states, jnp.ones((), dtype)), dtype)
        return replace(self.transport.replicate(replicated), rows=tuple(self._rows(rule, dtype) for rule in rules))

    def _rows(self, rule: AdaptiveRule, dtype: Any) -> Any:
        """Return the initial per-point columns of an adaptive rule, on the points' devices."""

        def filled(value: Any, tag: PointSet) -> jax.Array:
            layout = self.problem.layouts[tag]
            return self.transport.place(np.full(layout.rows * layout.shards, value))

        columns = zip(rule.init_rows(dtype), rule.columns, strict=True)
        return [jax.tree.map(lambda value, tag=tag: filled(value, tag), column) for column, tag in columns]

    def parameters(self, state: State) -> Parameters:
        return dict(zip(self.problem.trainables, state.parameters, strict=True))

    def run(
        self,
        state: State,
        last: State,
        epoch: int,
        epochs: int,
        history: History,
        listeners: Sequence[Listener],
        on_state: Callable[[State, State, int], None],
        checkpointer: Checkpointer,
        rollbacks: int = 0,
    ) -> None:
        """Train `epochs` epochs from `epoch` on; `last` is the state one epoch earlier, or `state` itself.

        `on_state` is called with each state reached and the one before it, ahead of `checkpointer`. `rollbacks` is how
        often training may go back to the last multiple of the checkpointer's interval where a loss is not finite.

        Raises NonFiniteLoss after going back to the last state whose loss was finite, and KeyboardInterrupt or
        SystemExit after the stretch in which any of the processes got a signal.
        """
        began = time.perf_counter()
        end, length, stop, interval = epoch + epochs, FIRST, 0, checkpointer.interval
        anchors = Anchors(Anchor(state, last, epoch, self.resampler.now()))
        interruption = Interruption()

        def notify(stretch: Stretch) -> None:
            for listener in listeners:
                listener.on_stretch(stretch)

        checkpointer.on_start(self, history, epoch, end)
        for listener in listeners:
            listener.on_start(Run(epoch, end, self._description(), self.problem.listed))
        try:
            with interruption.held():
                while epoch < end and not stop:
                    self._resample(epoch, history)
                    start = time.perf_counter()
                    count = min(length, end - epoch, self.resampler.until(epoch), interval - epoch % interval)
                    result = self._stretch(state, last, epoch, count)
                    seconds = time.perf_counter() - start
                    warnings = self._record(history, epoch, result)
                    if result.finite:
                        state, last = result.state, result.last
                        epoch += result.done
                        if epoch % interval == 0:
                            loss = float(result.terms[-1, len(self.problem.names)])
                            anchors.offer(Anchor(state, last, epoch, self.resampler.now()), loss)
                    else:
                        anchor = anchors.before(epoch + result.done)
                        if not rollbacks or anchor is None:
                            began_at, message = epoch, self._nonfinite_message(result, epoch + result.done)
                            if epoch + result.done > 0:
                                state, last, epoch = result.last, result.last, epoch + result.done - 1
                                on_state(state, last, epoch)
                                history.truncate(epoch)
                            if epoch > began_at:
                                notify(Stretch(epoch, history.last(history), result.done / seconds, warnings))
                            checkpointer.on_stop(state, last, epoch)
                            raise NonFiniteLoss(message)
                        rollbacks -= 1
                        anchor, warning = self._roll_back(anchor, epoch + result.done, history, rollbacks)
                        anchors.replace(anchor)
                        state, last, epoch, warnings = anchor.state, anchor.last, anchor.epoch, (*warnings, warning)
                        checkpointer.on_rollback(epoch)
                    self.timing.seconds += seconds
                    self.timing.epochs += result.done
                    if self.timing.seconds_to_first_step is None:
                        self.timing.seconds_to_first_step = time.perf_counter() - began
                    else:
                        length = max(1, min(LONGEST, round(SECONDS * max(1, result.done) / seconds)))
                    on_state(state, last, epoch)
                    checkpointer.on_stretch(state, last, epoch)
                    notify(Stretch(epoch, history.last(history), result.done / seconds, warnings))
                    length, stop = self._agreed(length, interruption.signal or checkpointer.due_signal())
                    interruption.answered = bool(stop)
        finally:
            for listener in listeners:
                listener.on_end()
        if stop:
            interruption.expect(stop)
        where = f"after epoch {epoch}{checkpointer.on_stop(state, last, epoch)}"
        if stop:
            # All leave once it has been said: mpirun ends the others as soon as one has gone.
            self.transport.first_writes("the end", lambda: say_stopped(stop, where))
            raise_for(stop)

    def _agreed(self, length: int, signal: int) -> tuple[int, int]:
        """Return the length of the next stretch and a signal to stop by, the same on all processes.

        Clocks differ from process to process: all follow the first one's. A signal that any of them got is for all.
        """
        texts = self.transport.peers.exchange("the next stretch", lambda: f"{length} {signal}")
        return int(texts[0].split()[0]), max(int(text.split()[1]) for text in texts)

    def _resample(self, epoch: int, history: History) -> None:
        """Move the points that are due, and what depends on them; nothing has changed if that fails."""
        if not self.resampler.due(epoch):
            return
        start = time.perf_counter()
        with self.resampler.undone_by_failure():
            new = self.resampler.move(epoch)
            self._take_points()
        for name, count in new.items():
            history.append(f"{MOVED}{name}", np.array([epoch]), np.array([count]))
        self.timing.seconds += time.perf_counter() - start

    def _take_points(self) -> None:
        """Place the points as they are now; another number of them needs another program."""
        if any(count != self.problem.layouts[tag].count for tag, count in self.resampler.counts().items()):
            fresh = self.rebuilt()
            self.problem, self.points, self.placed = fresh.problem, fresh.points, fresh.placed
            self.program = fresh.program
        else:
            self.points = self.placed()

    def _roll_back(self, anchor: Anchor, failed: int, history: History, rollbacks: int) -> tuple[Anchor, str]:
        """Restore points and history as they were at an anchor; return it with shorter steps, and a warning."""
        if self.resampler.rules:
            self.resampler.restore(*anchor.points)
            self._take_points()
        old = np.asarray(anchor.state.step_scale)
        step_scale = self.transport.replicate(jnp.asarray(SHORTER * old, old.dtype))
        history.truncate(anchor.epoch)
        history.append(STEP_SCALE, np.array([anchor.epoch]), np.asarray(step_scale)[None])
        warning = (
            f"the loss of epoch {failed} is not finite: back to epoch {anchor.epoch}, with {SHORTER * old:g} of the "
            f"optimizer's steps; tries left: {rollbacks}"
        )
        return replace(
            anchor, state=replace(anchor.state, step_scale=step_scale), last=replace(anchor.last, step_scale=step_scale)
        ), warning

    def _stretch(self, state: State, last: State, first: int, count: int) -> StretchResult:
        (state, last, done, finite, slope_finite, terms, watched), (rows, last_rows) = self.program(
            *self.arguments(state, last, first, count)
        )
        state, last, done = replace(state, rows=rows), replace(last, rows=last_rows), int(done)
        # A tracker due in the epoch that failed saw parameters whose loss is not finite: it does not count.
        fired = [
            [np.asarray(v)[: fired_before(first + done, w.interval) - fired_before(first, w.interval)] for v in values]
            for w, values in zip(self._watched, watched, strict=True)
        ]
        terms = np.asarray(terms)[: done + (not finite)]
        return StretchResult(state, last, done, bool(finite), bool(slope_finite), terms, fired)

    def without_trackers(self) -> "Loop":
        """Return the same training without trackers: another program, which this loop's timing does not count."""
        return replace(self, problem=replace(self.problem, trackers=()), timing=Timing())

    @property
    def _watched(self) -> tuple[ScheduledRule | CompiledTracker, ...]:
        """Adaptive rules and trackers: what is recorded at an interval."""
        return *self.problem.rules, *self.problem.trackers

    def arguments(self, state: State, last: State, first: int, count: int) -> tuple[Any, Any]:
        """Return the arguments of the program of a stretch of `count` epochs from `first` on."""
        clock = self.transport.replicate((np.int32(first), np.int32(count)))
        points = tuple(self.points.rows.values()), tuple(self.points.batches.values())
        states = replace(state, rows=()), replace(last, rows=())
        return (*points, state.rows, last.rows), (*states, tuple(self.points.constants), *clock)

    @cached_property
    def program(self) -> Any:
        """The jitted program of a stretch, called as `program(*arguments(…))`."""
        tags, batched = list(self.points.rows), list(self.points.batches)
        problem, timing = self.problem, self.timing  # not `self`, which has the program: the two would keep each other

        def program(collectives: Collectives, sharded: Any, replicated: Any) -> tuple[Any, Any]:
            timing.compilations += 1  # this line runs when JAX traces the program, once a compilation
            (points, batches, *columns), (*states, constants, first, count) = sharded, replicated
            rows = dict(zip(tags, points, strict=True)), dict(zip(batched, batches, strict=True))
            state, last = [replace(state, rows=own) for state, own in zip(states, columns, strict=True)]
            result = stretch_program(problem, collectives, *rows, state, last, constants, first, count)
            state, last, *rest = result
            return (replace(state, rows=()), replace(last, rows=()), *rest), (state.rows, last.rows)

        return self.transport.spmd(program, "training")

    def _record(self, history: History, first: int, result: StretchResult) -> tuple[str, ...]:
        """Append a stretch to the history; return its warnings."""
        epochs = np.arange(first, first + result.done)
        terms = result.terms[: result.done, : len(self.problem.names)]
        for index, name in enumerate(self.problem.names):
            history.append(name, epochs, terms[:, index])
        measures = result.terms[: result.done, terms.shape[1] :].T
        for name, values in zip((TOTAL, *self.problem.optimizer.measures), measures, strict=True):
            history.append(name, epochs, values)
        trouble = self.problem.optimizer.trouble(result.state.optimizers)
        warnings = [] if trouble is None else [trouble]
        for watched, values in zip(self._watched, result.watched, strict=True):
            due = epochs[epochs % watched.interval == 0]
            warnings += watched.messages(due, values, history.last(watched.names))
            for name, value in zip(watched.names, values, strict=True):
                history.append(name, due, value)
        return tuple(warnings)

    def _nonfinite_message(self, result: StretchResult, epoch: int) -> str:
        """Return why the loss of an epoch is not finite."""
        terms = result.terms[-1, : len(self.problem.names)]
        return self.explain(self.parameters(result.state), epoch, terms, result.slope_finite)

    def _description(self) -> str:
        """Return devices, processes, points and precision in one line."""
        kind, size = self.transport.mesh.devices.flat[0].platform, self.transport.size
        points = " + ".join(self._count(tag) for tag in self.problem.loss.tags)
        shared = f" of {self.transport.processes} processes" if self.transport.processes > 1 else ""
        numbers = precision_of(next(iter(self.points.rows.values())).dtype)
        return f"{size} {kind} device{'s' if size > 1 else ''}{shared}, {points} points, {numbers}"

    def _count(self, tag: PointSet) -> str:
        batch = self.problem.batch_layouts.get(tag)
        return f"{'' if batch is None else f'{batch.count} of '}{self.problem.layouts[tag].count} {tag.tag}"
