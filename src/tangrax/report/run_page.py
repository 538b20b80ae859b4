"""The page of a run: everything in its directory, for a person, in one file."""

from pathlib import Path

from matplotlib import style

from ..analysis import as_written, read_record
from ..checkpoint import refuse_unwritable
from . import page, sections

NAME = "report.html"


def write_report(run_dir: str | Path, path: str | Path | None = None) -> Path:
    """Write one self-contained page of a run, running or ended; by default `report.html` in its directory.

    Raises FileNotFoundError where there is no run, ValueError where the directory holds something else.
    """
    record = read_record(run_dir)
    target = Path(run_dir) / NAME if path is None else Path(path)
    refuse_unwritable(target, "write a report to")
    # The page of a run is the same wherever it is made: settings of the directory or the user would change it.
    with as_written(run_dir), style.context("default"):
        parts = [
            sections.heading(record),
            sections.advice(record),
            sections.solutions(record),
            sections.losses(record),
            sections.conflict(record),
            sections.kernels(record),
            sections.residuals(record),
            sections.throughput(record),
            sections.settings(record),
        ]
    page.write(target, f"{record.name} · Tangrax", [part for part in parts if part is not None])
    return target
