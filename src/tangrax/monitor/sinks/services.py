"""Values of a run in TensorBoard and Weights & Biases. Their libraries are extras, imported when a sink is made."""

import itertools
import logging
import os
import secrets
import socket
import time
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...parallel import settings
from .sink import PATIENCE, Row, Sink, Writer

logger = logging.getLogger(__name__)

FEW = 32  # entries of an array that become a scalar each: five terms' cosines, twenty eigenvalues
BINS = 30  # of the histogram of more entries; TensorBoard draws as many
MODES = ("online", "offline", "shared", "disabled")  # of W&B
# Only the rows: W&B would add what the terminal shows, the machine's load, git's state, packages and code.
ONLY_ROWS = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
# Python's exit waits as long as these allow. W&B's own are 90 s and none: a dead network would hold it up.
TIMEOUTS = {"init_timeout": 2 * PATIENCE, "finish_timeout": PATIENCE - 1, "finish_timeout_raises": True}


class Histogram(NamedTuple):
    """How many values lie between one edge and the next, of which there is one more."""

    counts: np.ndarray
    edges: np.ndarray


def tensorboard(directory: str | Path) -> Sink:
    """Event files for TensorBoard, needs `tangrax[tensorboard]`: `tensorboard --logdir DIRECTORY` shows them.

    The step is the epoch. A number is a scalar, in float32. An array of up to 32 entries is a scalar for each,
    `name/0_1`; of a larger one there is a histogram of its finite entries. Each call of `solve` writes a file of its
    own. Where a run was killed and goes on some epochs earlier, TensorBoard shows what came last.

    Args:
        directory: of one run alone.

    Raises:
        ImportError: tensorboardX is missing.
    """
    library = _library("tensorboard", "tensorboardX")
    import_module("tensorboardX.proto.event_pb2")
    return Sink(f"TensorBoard in {directory}", lambda: _Events(library, Path(directory)))


def wandb(
    project: str | None = None,
    name: str | None = None,
    directory: str | Path | None = None,
    mode: str | None = None,
    **more: Any,
) -> Sink:
    """A run of Weights & Biases, needs `tangrax[wandb]`. What is None is as W&B's settings and variables have it.

    The step is the epoch. A number is a scalar, an array of up to 32 entries a scalar for each, `name/0_1`, a larger
    one a histogram of its finite entries. Nothing else is logged: not the terminal, load, code or git. Calls of `solve`
    with one sink make one run.

    Args:
        project: of the run.
        name: of the run.
        directory: of the run's files.
        mode: "online", "offline", "shared" or "disabled". "offline" writes files for `wandb sync` to send; so does a
            run that cannot reach W&B within 10 seconds.
        **more: for `wandb.init`: `id` (a script started again with the same one goes on with that run), `entity`,
            `group`, `tags`, `config`, `notes`; `settings`, a dict, is put over ours.

    Raises:
        ImportError: wandb is missing.
        ValueError: the mode is unknown, or there is no API key.
        TypeError: `wandb.init` does not take an argument.
    """
    # Reports of W&B's own errors, which go over the network; asked for before it is imported.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    library = _library("wandb", "wandb")
    if mode not in (None, *MODES):
        raise ValueError(f"mode={mode!r}: W&B has {', '.join(map(repr, MODES))}")
    arguments = {"project": project, "name": name, "dir": None if directory is None else str(directory), **more}
    arguments["settings"] = {**ONLY_ROWS, **TIMEOUTS, **more.get("settings", {})}
    arguments.setdefault("id", secrets.token_hex(4))
    signature(library.init).bind(**arguments)
    if settings().writes:
        mode = mode or library.setup().settings.mode
        if mode in ("online", "shared") and not _logged_in(library):
            mode = "offline"  # chosen at the terminal
    return Sink("Weights & Biases", _Project(library, arguments, mode or "online").opened)


def _library(extra: str, name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"tx.sinks.{extra} needs {name}: pip install 'tangrax[{extra}]'") from error


def _logged_in(library: Any) -> bool:
    """Log in before training, where a terminal may ask for the key; the sink's thread would ask amid training."""
    try:
        return library.login(verify=False)
    except library.errors.UsageError as error:
        raise ValueError(
            f"tx.sinks.wandb: {error} Or set WANDB_API_KEY, or give mode='offline' and send the files later with "
            f"`wandb sync`. Nothing was trained"
        ) from error


class _Events(Writer):
    """An event file: records of one `Event` each. All values of a row are in one."""

    _numbers = itertools.count()  # calls of `solve` within a second

    def __init__(self, library: Any, directory: Path):
        self._proto = library.proto
        directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(self._numbers)}"
        self._file = library.RecordWriter(str(directory / name))
        self._put(file_version="brain.Event:2")
        self._begun = False

    def write(self, row):
        step = int(row["epoch"])
        if not self._begun:
            # TensorBoard forgets values of this epoch and later ones: those of a run that was killed, in an older file.
            status = self._proto.event_pb2.SessionLog(status=self._proto.event_pb2.SessionLog.START)
            self._put(step=step, session_log=status)
            self._begun = True
        summary = self._proto.summary_pb2.Summary()
        for name, value in _values(row).items():
            if isinstance(value, Histogram):
                summary.value.add(tag=name, histo=self._histogram(value))
            else:
                summary.value.add(tag=name, simple_value=value)
        self._put(step=step, summary=summary)
        self._file.flush()

    def close(self):
        self._file.close()

    def _put(self, **content: Any) -> None:
        self._file.write(self._proto.event_pb2.Event(wall_time=time.time(), **content).SerializeToString())

    def _histogram(self, histogram: Histogram) -> Any:
        counts, edges = histogram
        return self._proto.summary_pb2.HistogramProto(
            min=edges[0], max=edges[-1], num=counts.sum(), bucket=counts, bucket_limit=edges[1:]
        )


class _Project:
    """Opens the run of W&B, which every call of `solve` goes on with; without a network, its files."""

    def __init__(self, library: Any, arguments: dict[str, Any], mode: str):
        self._library, self._arguments, self._mode = library, arguments, mode
        self._announced = False

    def opened(self) -> Writer:
        try:
            run = self._run()
        except self._library.errors.CommError as error:
            if self._mode == "offline":
                raise
            own_id = self._arguments["id"]
            self._mode, self._arguments["id"] = "offline", secrets.token_hex(4)  # the first is in use by what failed
            run = self._run()
            reason = str(error).splitlines()[0]
            sync = f"wandb sync --id {own_id} {run.settings.sync_dir}"
            logger.warning(
                f"Weights & Biases cannot be used ({reason}): the run is written to files, `{sync}` sends them later"
            )
        if self._mode == "online" and not self._announced:
            self._announced = True
            logger.info(f"Weights & Biases shows this run at {run.url}")
        return _Logged(self._library, run)

    def _run(self) -> Any:
        if self._arguments["dir"] is not None:
            # W&B would write to the system's temporary files where it cannot write here, and not say so.
            (Path(self._arguments["dir"]) / "wandb").mkdir(parents=True, exist_ok=True)
        more: dict[str, Any] = {}
        if self._mode == "online" and not {"resume", "resume_from", "fork_from"} & set(self._arguments):
            more["resume"] = "allow"
        return self._library.init(mode=self._mode, reinit="create_new", **more, **self._arguments)


class _Logged(Writer):
    def __init__(self, library: Any, run: Any):
        self._histogram, self._run = library.Histogram, run

    def write(self, row):
        logged = {
            name: self._histogram(np_histogram=value) if isinstance(value, Histogram) else value
            for name, value in _values(row).items()
        }
        self._run.log(logged, step=int(row["epoch"]))

    def close(self):
        try:
            self._run.finish()
        except TimeoutError as error:
            raise TimeoutError(
                f"not all was sent: `wandb sync {self._run.settings.sync_dir}` does that later"
            ) from error


def _values(row: Row) -> dict[str, float | Histogram]:
    """Return the values of a row beside its epoch: numbers and histograms."""
    values: dict[str, float | Histogram] = {}
    for name, value in row.items():
        array = np.asarray(value)
        if name == "epoch":
            continue
        if array.size > FEW:
            finite = array[np.isfinite(array)]
            if finite.size:
                values[name] = Histogram(*np.histogram(finite, BINS))
        elif array.ndim:
            # TensorBoard and W&B put what has one name before the slash together.
            values |= {f"{name}/{'_'.join(map(str, index))}": float(entry) for index, entry in np.ndenumerate(array)}
        else:
            values[name] = float(array)
    return values
