"""Profile of a run: a trace of a few epochs, and a table of the seconds that its parts took."""

import contextlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from ..checkpoint.archive import Damaged, read_json, reading
from ..checkpoint.atomic_files import atomic_write
from ..parallel import Transport
from ..solve import Listener, Loop, Run, State, Stretch, Timing
from .step_timing import StepTiming, time_step

logger = logging.getLogger(__name__)

PROFILE = "TANGRAX_PROFILE"  # the directory, where `solve` is not given one
FILE = "profile.json"
REPEATED = 10  # epochs that are trained once more for the trace where training was over too soon
PARTS = ("compile", "step", "communication", "trackers", "input/output", "points", "rest")

# What calls of `solve` in this process wrote, by directory: a script with several of them keeps all.
_written: dict[Path, list[dict[str, Any]]] = {}


class Profiling:
    """Hooks that `solve` calls; this one, of a run that is not profiled, does nothing."""

    def listeners(self, listeners: Sequence[Listener]) -> Sequence[Listener]:
        return listeners

    def timed(self, target: Any) -> Any:
        return target

    def finish(self, loop: Loop | None, state: State | None, last: State | None) -> None:
        pass


def profiling(
    path: str | Path | None, transport: Transport, timing: Timing, run_dir: str | Path | None = None
) -> Profiling:
    """Return a profile in the directory `path` or, left out, in that of TANGRAX_PROFILE; the first process decides.

    Raises OSError on every process where nothing can be written there, ValueError where another file is in its place.
    """
    began = time.perf_counter()
    chosen = str(path or os.environ.get(PROFILE, ""))
    if not chosen:
        return Profiling()
    # Where only some were told to profile, this is where they learn that the others do something else.
    directory = Path(transport.peers.exchange("where the profile goes", lambda: chosen)[0])
    transport.first_writes("the profile", lambda: _make(directory))
    beside = None if run_dir is None else Path(run_dir)
    transport.first_writes("the profile", lambda: _refuse_other_files(directory, beside))
    return Profile(directory, transport, timing, beside, began)


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(
            f"profile={str(path)!r}: nothing can be written there ({error}). Give a directory of your own. Nothing "
            f"was trained"
        ) from error


def _refuse_other_files(*directories: Path | None) -> None:
    for path in [directory / FILE for directory in directories if directory is not None]:
        if os.path.lexists(path) and not read_profile(path.parent):
            raise ValueError(f"{path} is no profile, and one would take its place: move it away. Nothing was trained")


class Profile(Profiling):
    """Measures a call of `solve` from `began` on. All processes measure, and the first one traces and writes."""

    def __init__(self, path: Path, transport: Transport, timing: Timing, run_dir: Path | None, began: float):
        self._path, self._transport, self._timing, self._run_dir = path, transport, timing, run_dir
        self._began = began
        self._written = self._overhead = 0.0  # seconds of input and output, and of profiling
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._warm: list[tuple[int, int]] = []  # epochs of stretches in which nothing was compiled
        self._warm_seconds = self._prepared = 0.0
        self._run: Run | None = None
        self._epoch = self._stretches = 0
        self._failed = False
        self._tracing: contextlib.ExitStack | None = None
        self._before = (0, 0.0, 0)

    def listeners(self, listeners: Sequence[Listener]) -> Sequence[Listener]:
        """Return the listeners, timed, and the profile after them."""
        return [*map(self.timed, listeners), self]

    def timed(self, target: Any) -> Any:
        """Return an object whose methods' time counts as input and output."""
        return _Timed(target, self)

    @contextlib.contextmanager
    def counting(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - began)

    # Called by the loop

    def on_start(self, run: Run) -> None:
        self._run, self._epoch = run, run.first
        self._prepared = time.perf_counter() - self._began - self._written - self._overhead
        self._before = self._now()
        if self._timing.seconds_to_first_step is not None:  # most likely the program is compiled
            self._trace(run.first)

    def on_stretch(self, stretch: Stretch) -> None:
        before, self._before = self._before, self._now()
        compilations, seconds, done = [self._before[i] - before[i] for i in range(3)]
        self._stretches += 1
        trained = min(seconds, done / stretch.speed) if stretch.speed else seconds
        self._seconds["points"] += seconds - trained
        if compilations:
            self._seconds["compile"] += trained + (self._prepared if self._stretches == 1 else 0.0)
        else:
            self._warm.append((self._epoch, self._epoch + int(done)))
            self._warm_seconds += trained
        self._epoch = stretch.epoch
        assert self._run is not None
        # The first stretch that compiles nothing is in the trace; it has 10 epochs, and later ones many more.
        if self._warm:
            self._end_trace()
        elif stretch.epoch < self._run.end:
            self._trace(stretch.epoch)

    def on_end(self) -> None:
        self._end_trace()

    def _now(self) -> tuple[int, float, int]:
        return self._timing.compilations, self._timing.seconds, self._timing.epochs

    # The trace

    def _trace(self, epoch: int) -> None:
        """Trace what follows, as training from an epoch on; where the profiler fails, training does not."""
        if not self._transport.writes or self._failed:
            return
        with self.counting("_overhead"):
            if self._tracing is None:
                options = jax.profiler.ProfileOptions()
                options.python_tracer_level = 0  # each call of a Python function would be an event
                try:
                    jax.profiler.start_trace(self._path, create_perfetto_trace=True, profiler_options=options)
                except (RuntimeError, OSError) as error:
                    self._failed = True
                    logger.warning(f"no trace is taken: {error}")
                    return
                self._tracing = contextlib.ExitStack()
            self._tracing.close()
            self._tracing.enter_context(jax.profiler.StepTraceAnnotation("training", step_num=epoch))

    def _end_trace(self) -> None:
        if self._tracing is None:
            return
        with self.counting("_overhead"):
            self._tracing.close()
            self._tracing = None
            try:
                jax.profiler.stop_trace()
            except (RuntimeError, OSError, ValueError) as error:
                logger.warning(f"the trace could not be written to {self._path}: {error}")

    # The table

    def finish(self, loop: Loop | None, state: State | None, last: State | None) -> None:
        """Measure what only a comparison shows, on all processes; the first one writes and prints."""
        if self._run is None or loop is None or state is None or last is None:
            if self._transport.writes:
                logger.warning("nothing was trained: there is no profile of it")
            return
        seconds = time.perf_counter() - self._began - self._overhead
        if not self._warm:
            self._trace_again(loop, state, last)
        epochs = sum(stop - start for start, stop in self._warm)
        timing = time_step(loop, state, last, self._warm_seconds / epochs) if epochs else None
        summary = self._summary(self._run, seconds, timing)
        self._transport.first_writes("the profile", lambda: self._write(summary))

    def _trace_again(self, loop: Loop, state: State, last: State) -> None:
        """Trace some more epochs, which change nothing: training was over before a stretch that compiled nothing."""
        self._trace(self._epoch)
        jax.block_until_ready(loop.program(*loop.arguments(state, last, self._epoch, REPEATED)))
        self._end_trace()

    def _summary(self, run: Run, seconds: float, timing: StepTiming | None) -> dict[str, Any]:
        """Return seconds of all parts, which add up to `seconds`, and how each was measured."""
        parts = {**self._seconds, "input/output": self._written}
        trackers, communication = (0.0, 0.0) if timing is None else timing.shares(self._warm)
        stepping = self._warm_seconds * (1 - trackers)
        parts["trackers"] = self._warm_seconds - stepping
        parts["communication"] = stepping * communication
        parts["step"] = stepping - parts["communication"]
        parts["rest"] = max(0.0, seconds - sum(parts.values()))
        overhead = time.perf_counter() - self._began - seconds
        return {
            "epochs": [run.first, self._epoch],
            "where": run.where,
            "devices": self._transport.size,
            "processes": self._transport.processes,
            "compilations": self._timing.compilations,
            "seconds": sum(parts.values()),
            "profiling_seconds": overhead,
            "parts": parts,
            "communication_share": None if timing is None else communication,
            "compared": None if timing is None else timing.as_json(),
            "how": _how(timing),
        }

    def _write(self, summary: dict[str, Any]) -> None:
        calls = _written.setdefault(self._path.resolve(), [])
        calls.append(summary)
        for directory in (self._path, self._run_dir):
            if directory is not None:
                with atomic_write(directory / FILE) as file:
                    file.write(json.dumps({"calls": calls}, indent=1).encode())
        Console().print(table(summary), f"the same in {self._path / FILE}, with a trace beside it", highlight=False)


class _Timed:
    """An object whose methods' time counts as input and output; `isinstance` sees its own class."""

    def __init__(self, target: Any, profile: Profile):
        self._target, self._profile = target, profile

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **named: Any) -> Any:
            with self._profile.counting("_written"):
                return attribute(*args, **named)

        return call


def _how(timing: StepTiming | None) -> dict[str, str]:
    """Return how each part was measured."""
    nothing = "no stretch without compiling: run more epochs"
    return {
        "compile": "until the first epochs are done, and other stretches that compiled",
        "step": "the rest of the stretches",
        "communication": nothing if timing is None else timing.how_communication(),
        "trackers": nothing if timing is None else "after training, from one state: a stretch with and without them",
        "input/output": "calls of listeners, sinks and checkpoints; not what their threads do meanwhile",
        "points": "moving points",
        "rest": "seconds of the call less all of these",
    }


def read_profile(directory: Path) -> list[dict[str, Any]]:
    """Return what calls of `solve` took, from `profile.json`; a damaged one is logged, and gives an empty list."""
    path = directory / FILE
    if not path.exists():
        return []
    try:
        with reading(path):
            return [
                {
                    "epochs": [int(epoch) for epoch in call["epochs"]],
                    "seconds": float(call["seconds"]),
                    "parts": {str(name): float(seconds) for name, seconds in call["parts"].items()},
                    "communication_share": None if (share := call["communication_share"]) is None else float(share),
                }
                for call in read_json(path)["calls"]
            ]
    except Damaged as error:
        logger.warning(f"{error}: its times are not shown")
        return []


def table(summary: Mapping[str, Any]) -> Table:
    """Return seconds and shares of a call of `solve`, for the terminal."""
    first, end = summary["epochs"]
    grid = Table(title=f"epochs {first} to {end} on {summary['where']}", title_justify="left")
    for name in ("", "seconds", "share", "how it was measured"):
        grid.add_column(name, justify="right" if name in ("seconds", "share") else "left", overflow="fold")
    for name, seconds in summary["parts"].items():
        label = f"{name} ({summary['compilations']})" if name == "compile" else name
        grid.add_row(label, f"{seconds:.3f}", f"{seconds / summary['seconds']:.1%}", summary["how"][name])
    grid.add_section()
    grid.add_row("all", f"{summary['seconds']:.3f}", "100.0%", "the call of solve")
    grid.add_row("profiling", f"{summary['profiling_seconds']:.3f}", "", "trace and comparisons, not in all")
    return grid
