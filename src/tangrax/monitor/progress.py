"""Progress of a run at the terminal."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..solve import Run, Stretch

PLAIN: Any = {"highlight": False, "markup": False, "emoji": False}  # names may look like rich's markup
SHOWN = 4  # values beside the loss that fit a line


class ProgressBar:
    """A bar with loss, speed and time left; plain lines, `lines` of them a run, where output is no terminal."""

    def __init__(self, console: Console | None = None, lines: int = 10):
        self.console = console or Console()
        self.lines = lines
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._run: Run | None = None
        self._next_line = 0.0
        self._began = 0.0
        self._newest: Stretch | None = None

    def on_start(self, run: Run) -> None:
        self._run, self._newest = run, None
        self._began = time.perf_counter()
        self._next_line = run.first + (run.end - run.first) / self.lines
        self.console.print(f"epochs {run.first} to {run.end} on {run.where}", **PLAIN)
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                TextColumn("{task.fields[values]}", markup=False),
                console=self.console,
            )
            self._task = self._progress.add_task("", total=run.end, completed=run.first, speed="compiling", values="")
            self._progress.start()

    def on_stretch(self, stretch: Stretch) -> None:
        self._newest = stretch
        for warning in stretch.warnings:
            self.console.print(f"warning: {warning}", style="yellow", **PLAIN)
        if self._progress is not None:
            self._progress.update(
                self._task,
                completed=stretch.epoch,
                speed=f"{stretch.speed:.0f}/s",
                values=self._values(stretch),
            )
        else:
            assert self._run is not None
            if stretch.epoch >= min(self._next_line, self._run.end):
                self._next_line += (self._run.end - self._run.first) / self.lines
                left = (self._run.end - stretch.epoch) / stretch.speed
                line = f"epoch {stretch.epoch:>7}  {self._values(stretch)}  {stretch.speed:.0f}/s"
                self.console.print(f"{line}  {left:.0f} s left" if left else line, soft_wrap=True, **PLAIN)

    def on_end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._newest is not None:
            self.console.print(f"done in {time.perf_counter() - self._began:.1f} s", highlight=False)

    def _values(self, stretch: Stretch) -> str:
        """Return the newest values of terms and trackers: a line has no room for all that is recorded."""
        assert self._run is not None
        return values_line({name: stretch.newest[name] for name in self._run.names if name in stretch.newest})


def values_line(newest: Mapping[str, Any]) -> str:
    """Return `loss 1.2e-03  mse_0 1.1e-03 …`: the loss first, then other single numbers."""
    parts = [f"loss {float(newest['loss']):.3e}"] if "loss" in newest else []
    others = [(name, value) for name, value in newest.items() if name != "loss" and np.ndim(value) == 0]
    parts += [f"{name} {float(value):.3g}" for name, value in others[:SHOWN]]
    return "  ".join(parts)
