"""`tx.core` and the solver: what puts the floors below together."""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, overload

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import PyTree
from numpy.typing import ArrayLike

from . import analysis, checkpoint, export, jacobian, monitor, nn, optim
from .expr import (
    DensityRequest,
    DualGramRequest,
    EigenvaluesRequest,
    GramRequest,
    Node,
    Request,
    SpectrumRequest,
    Tracker,
    as_jax,
)
from .solve import History, Listener, NoCheckpoints, Timing, exclusive, read_terms
from .training import Training

MEMORY_LIMIT = 2**30  # bytes of temporaries of a step on one device
STOP, ROLLBACK, ROLLBACKS = "stop", "rollback", 8
Expression = Node | Request | Tracker | float  # what `eval` and `plan` take
Handle = nn.Network | nn.Parameter
Points = Mapping[str, ArrayLike] | None  # new points (M, columns) by tag, in place of those of the problem
Shown = Node | tuple[Node, Node] | SpectrumRequest | analysis.Field


class Evaluation(TypedDict, total=False):
    """Arguments of `Solver.eval` on which the kind of its result does not depend."""

    points: Points
    limit: int
    dtype: str | None


def core(
    terms: Sequence[Node | Tracker] | Mapping[str, Node | Tracker],
    *,
    optimizer: optim.Chosen | None = None,
    balance: optim.AdaptiveMethod | Sequence[optim.AdaptiveMethod] | None = None,
    conflict: optim.Conflict | None = None,
    devices: int | Mesh | None = None,
    dtype: str | None = None,
    memory_limit: int = MEMORY_LIMIT,
    resample: optim.Resampling | Sequence[optim.Resampling] | None = None,
    batch: Mapping[str, int] | None = None,
) -> "Solver":
    """A solver of a problem whose loss is the sum of its terms.

    Args:
        terms: terms and trackers by name, or a list of them (then named mse_0, mse_1, tracker_0, …).
        optimizer: trains every network and parameter that has no optimizer of its own: optax's, or `tx.optim`'s.
        balance: adaptive weights of the terms, such as `tx.optim.ntk_balance()`, or a list, applied in order.
        conflict: conflict-free updates, `tx.optim.config()` or `tx.optim.pcgrad()`.
        devices: devices that the points are split over: the first so many, or those of a mesh; all visible by default.
        dtype: "float32" or "float64"; that of the networks by default.
        memory_limit: bytes of a step's temporaries on one device; points are processed in chunks to stay below.
        resample: resampling of collocation points, such as `tx.optim.rad(…)`, or a list, one for each tag.
        batch: points of a tag in each step, by its name; trackers and `eval` use all points.

    Raises:
        TypeError: an entry is neither a term nor a tracker, or an argument is of another kind.
        ValueError: names are duplicate, there is no loss term, an optimizer is missing or does not fit, devices or
            memory are not there.

    Warns:
        UserWarning: a network has no derivatives of the order that the terms take, as relu has none.
    """
    _check(optimizer, "tx.core")
    adaptive_methods = optim.adaptive_methods(balance, conflict)
    problem = read_terms(terms), optimizer, adaptive_methods
    return Solver(Training(*problem, devices, dtype, memory_limit, resample, batch))


class Solver:
    """Trains and evaluates a problem, and has its history; made by `tx.core`.

    `training` is for what works on solvers, such as benchmarks: loop, compiled programs, parameters on their devices.
    """

    def __init__(self, training: Training):
        self.training = training
        self._changing = threading.Lock()

    def __repr__(self) -> str:
        terms = self.training.terms
        names = ", ".join([*terms.losses, *terms.trackers])
        return f"<solver of {names}: epoch {self.epoch}, {self.training.dtype}, {self.mesh.size} device(s)>"

    def _repr_html_(self) -> str:
        about = self.epoch, self.precision, self.mesh, self.stalled
        return monitor.solver_view(self.training.terms, self.history, self.training.resampler.counted(), *about)

    @property
    def epoch(self) -> int:
        """Number of epochs trained so far."""
        return self.training.epoch

    @property
    def history(self) -> History:
        """Recorded values by name: terms, trackers, the loss, and what optimizers and adaptive methods measure."""
        return self.training.history

    @property
    def timing(self) -> Timing:
        """Compilations, epochs and seconds of training in this process."""
        return self.training.timing

    @property
    def mesh(self) -> Mesh:
        """The devices that share the points, along one axis "points"."""
        return self.training.transport.mesh

    @property
    def precision(self) -> str:
        """Of parameters and points, and of matrix products: "float32, products highest"."""
        return self.training.precision

    @property
    def stalled(self) -> str | None:
        """Why the optimizer makes no more progress, if it knows: Gauss-Newton says so at round-off. Else None."""
        return self.training.stalled

    # Training

    @exclusive
    def optimizer(self, optimizer: optim.Chosen, *handles: Handle) -> "Solver":
        """Replaces the optimizer; its state is new, the parameters stay.

        Args:
            optimizer: an optax optimizer, or one of `tx.optim`.
            *handles: networks and parameters that it trains; everything by default.

        Returns:
            The same solver.

        Raises:
            TypeError: `optimizer` is not an optimizer.
            ValueError: a network is not trained in this problem, or the optimizers do not go together.
        """
        _check(optimizer, "solver.optimizer")
        self.training.replace_optimizer(optimizer, [handle.selection.trainable for handle in handles])
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
        show: Mapping[str, Shown] | None = None,
        on_nonfinite: str = "stop",
        profile: str | Path | None = None,
    ) -> "Solver":
        """Trains for `epochs` more epochs, one optimizer step each.

        Loss, terms and trackers are recorded in `history` before each epoch's update. With `run_dir`, the same call in
        another process resumes from the newest checkpoint, on any devices, and ends at the same epoch.

        Args:
            epochs: number of epochs.
            progress: show a progress bar, or some lines where there is no terminal.
            listeners: callbacks between compiled stretches of epochs, such as `tx.sinks`.
            run_dir: directory of the run, for its checkpoints, history and report.
            checkpoint_every: epochs between checkpoints, and the epochs that a rollback goes back to.
            keep: number of checkpoints that are kept, besides the last one of each call.
            resume: "auto", or "never" to refuse a directory with checkpoints.
            show: what `tangrax report` draws besides residuals: fields, pairs (field, reference), terms, and spectra,
                which are computed at the end only.
            on_nonfinite: "stop", or "rollback" to go back to the last multiple of `checkpoint_every` and take steps
                half as long, up to 8 times.
            profile: directory for a trace and a table of times.

        Returns:
            The same solver.

        Raises:
            NonFiniteLoss: a loss or gradient is not finite; the parameters are those of the last finite epoch.
            ValueError: an argument is out of range, or the checkpoints are of another problem; nothing was trained.
            OSError: a directory cannot be written; nothing was trained.
        """
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"solve({epochs!r}): give a whole number of epochs, 0 or more")
        training = self.training
        transport = training.transport
        training.executor.check("solve")
        notified = [*listeners, *([monitor.ProgressBar()] if progress and transport.writes else [])]
        if on_nonfinite not in (STOP, ROLLBACK):
            raise ValueError(f"solve(on_nonfinite={on_nonfinite!r}): give '{STOP}' or '{ROLLBACK}'")
        end, rollbacks = self.epoch + int(epochs), ROLLBACKS if on_nonfinite == ROLLBACK else 0
        interval = checkpoint.whole_number("checkpoint_every", checkpoint_every)
        report_data = analysis.ReportData(show or {}, training.terms.losses)
        profiling = monitor.profiling(profile, transport, self.timing, run_dir)
        notified = profiling.listeners(notified)
        if run_dir is None:
            training.run(end, notified, NoCheckpoints(interval) if rollbacks else NoCheckpoints(), rollbacks)
            profiling.finish(training.loop, training.state, training.last)
            return self
        view = partial(self._report_content, report_data, end)
        how: dict[str, Any] = {"interval": interval, "keep": keep, "resume": resume}
        writer = profiling.timed(checkpoint.CheckpointWriter(run_dir, training.identity(), transport, view, **how))
        with writer.opened(checkpoint.environment(self.mesh, transport.processes, self.epoch, end)):
            snapshot = writer.newest(self.epoch, end)
            if snapshot is not None:
                training.resume(snapshot)
            writer.describe()
            if self.epoch >= end:
                writer.show(self.epoch)
            training.run(end, notified, writer, rollbacks)
            profiling.finish(training.loop, training.state, training.last)
        return self

    # Results

    @overload
    def eval(self, nodes: DensityRequest, *, sharded: bool = False, **how: Unpack[Evaluation]) -> jacobian.Density: ...
    @overload
    def eval(
        self, nodes: EigenvaluesRequest, *, sharded: bool = False, **how: Unpack[Evaluation]
    ) -> jacobian.Spectrum: ...
    @overload
    def eval(
        self, nodes: SpectrumRequest, *, sharded: bool = False, **how: Unpack[Evaluation]
    ) -> jacobian.Spectrum | jacobian.Density: ...
    @overload
    def eval(
        self,
        nodes: Node | GramRequest | DualGramRequest | float,
        *,
        sharded: Literal[False] = False,
        **how: Unpack[Evaluation],
    ) -> np.ndarray: ...
    @overload
    def eval(self, nodes: Expression, *, sharded: bool = False, **how: Unpack[Evaluation]) -> Any: ...
    @overload
    def eval(self, nodes: Sequence[Expression], *, sharded: bool = False, **how: Unpack[Evaluation]) -> list[Any]: ...
    def eval(
        self,
        nodes: Expression | Sequence[Expression],
        *,
        points: Points = None,
        sharded: bool = False,
        limit: int = jacobian.RESULT_LIMIT,
        dtype: str | None = None,
    ) -> Any:
        """Values of expressions at the current parameters.

        Args:
            nodes: an expression, a request such as `J.spectrum()` or `J.gram()`, or a list of them.
            points: new points by tag, (M, columns): space, and time in a problem over time.
            sharded: leave the rows of fields on their devices.
            limit: bytes of one result; of a spectrum, bytes that each device holds for it.
            dtype: "float64" computes in double precision from the same parameters; that of the run by default.

        Returns:
            One value, or a list for a list. A field has a row for each of N points in the user's order: (N,), (N, C) of
            C components, (N, P) for a Jacobian. A term has its own shape. With `sharded`, fields are `ShardedRows`.

        Raises:
            ValueError: points are not finite or of another shape, a group is empty, a result exceeds `limit`, or J has
                no spectrum because it is not finite.
        """
        return jacobian.evaluate(self.training.evaluator_in(dtype), nodes, points or {}, sharded, limit)

    def plan(
        self,
        node: Expression,
        *,
        points: Points = None,
        sharded: bool = False,
        limit: int = jacobian.RESULT_LIMIT,
    ) -> jacobian.Plan:
        """Memory in bytes and operations of `eval` on each device, for each way, and the way that it would choose.

        Nothing large is allocated; `print(solver.plan(J.gram()))` shows a table.

        Args:
            node: as in `eval`: an expression or a request.
            points: new points by tag, (M, columns).
            sharded: plan for rows that stay on their devices.
            limit: bytes of the result, or that each device holds for a spectrum.

        Returns:
            The plan; its `chosen` is None where no way stays below `limit`.

        Raises:
            ValueError: points are not finite or of another shape, or a group is empty.
        """
        return jacobian.plan_of(self.training.evaluator, node, points or {}, sharded, limit)

    def points(self, tag: str | Node) -> np.ndarray:
        """Current points of a tag.

        Args:
            tag: its name, or a field on it where several domains have a tag of that name.

        Returns:
            Coordinates (N, columns), time in the last column, float64.

        Raises:
            ValueError: no term is on that tag, or several domains have it.
        """
        return self.training.resampler.coordinates(tag)

    def module(self, net: Handle) -> PyTree:
        """A network with its trained parameters, as the kind of object that was wrapped; of a parameter, its value.

        Args:
            net: a network or parameter; one that is not part of the problem is returned as it is at first.

        Returns:
            The module, its arrays on this process's own device.
        """
        trainable = net.selection.trainable
        # Arrays of this process alone, which it can use without the others.
        own = jax.tree.map(lambda leaf: as_jax(np.asarray(leaf)), self.training.device_parameters.of(trainable))
        return checkpoint.rebuilt(trainable, own)

    # On disk

    def save(self, path: str | Path) -> None:
        """Writes parameters, epoch, history and resampled points to one file, completely or not at all.

        Args:
            path: the file; an old one is replaced.

        Raises:
            OSError: the file cannot be written; an old one at `path` stays.
        """
        saved = self.training.saved()
        self.training.transport.first_writes("the solver", lambda: checkpoint.save(path, saved))

    @exclusive
    def load(self, path: str | Path) -> "Solver":
        """Loads parameters, epoch, history and resampled points from a file of `save`; optimizer states are reset.

        Args:
            path: the file.

        Returns:
            The same solver.

        Raises:
            ValueError: the file is damaged, or of other networks or another precision; nothing has changed then.
            OSError: there is no such file.
        """
        self.training.load(checkpoint.read(path), path)
        return self

    def export(
        self,
        path: str | Path,
        fields: Node | Mapping[str, Node] | None = None,
        *,
        points: Points = None,
        cells: Mapping[str, ArrayLike] | None = None,
        dtype: str | None = None,
    ) -> None:
        """Writes trained fields or parameters for programs without Tangrax.

        Args:
            path: its suffix selects the format. `.jax`: a function of points, (n, columns), for
                `jax.export.deserialize`; `.csv`, `.npz`, `.vtu`, `.vtk`: values at points; `.npz` without fields: all
                parameters as arrays by name.
            fields: a field, or fields by name, of one tag.
            points: new points by tag, as in `eval`; those of the tag by default.
            cells: vertex indices (M, corners) by kind of cell, such as "triangle"; for `.vtu` and `.vtk`.
            dtype: as in `eval`.

        Raises:
            ValueError: the arguments do not go together, or a field is no function of one point; nothing is computed.
            OSError: the file cannot be written; an old one at `path` stays.
        """
        export.export(path, fields, points, cells, self.training.evaluator_in(dtype), self.training.terms.trainables)

    def _report_content(self, report_data: analysis.ReportData, end: int) -> tuple[dict[str, Any], checkpoint.Arrays]:
        return report_data.collect(self.eval, self.points, last=self.epoch == end)


def _check(optimizer: object, name: str) -> None:
    """Refuse what is no optimizer."""
    if optimizer is not None and not isinstance(optimizer, optim.Settings):
        nn.check_optimizer(optimizer, name)
