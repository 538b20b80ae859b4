"""Around a run: progress on the terminal, parameters and checkpoints on disk."""

from . import export as export, sinks as sinks
from .about import (
    environment as environment,
    outline as outline,
    outline_of_points as outline_of_points,
    outline_of_trackers as outline_of_trackers,
)
from .advice import Finding as Finding, findings as findings, told as told
from .archive import Arrays as Arrays
from .checkpoint import (
    Saved as Saved,
    leaves_of as leaves_of,
    matched as matched,
    read as read,
    save as save,
)
from .files import refuse_unwritable as refuse_unwritable
from .identity import optimizers_of as optimizers_of
from .network import load as load, rebuilt as rebuilt
from .profile import PROFILE as PROFILE, profiling as profiling
from .progress import ProgressBar as ProgressBar
from .record import Record as Record, as_written as as_written, read_record as read_record
from .saving import Saving as Saving, Snapshot as Snapshot, whole_number as whole_number
from .shown import Field as Field, Shown as Shown
from .view import solver_view as solver_view
