"""Parameters and states on disk: solver files, a run's directory, checkpoints."""

from .archive import Arrays as Arrays, Damaged as Damaged, read_json as read_json, reading as reading
from .atomic_files import atomic_write as atomic_write, other_kind as other_kind, refuse_unwritable as refuse_unwritable
from .identity import Identity as Identity
from .optimizer_identity import optimizers_of as optimizers_of
from .provenance import (
    environment as environment,
    fingerprint as fingerprint,
    fingerprint_of_points as fingerprint_of_points,
    fingerprint_of_trackers as fingerprint_of_trackers,
)
from .snapshot import Snapshot as Snapshot
from .solver_file import (
    SolverFile as SolverFile,
    leaves_of as leaves_of,
    load as load,
    matched as matched,
    read as read,
    rebuilt as rebuilt,
    save as save,
)
from .writer import CheckpointWriter as CheckpointWriter, whole_number as whole_number
