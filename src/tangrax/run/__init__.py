"""Around a run: progress on the terminal, parameters and checkpoints on disk."""

from . import sinks as sinks
from .about import environment as environment
from .checkpoint import (
    Saved as Saved,
    leaves_of as leaves_of,
    read as read,
    restored as restored,
    save as save,
)
from .network import load as load, rebuilt as rebuilt
from .progress import ProgressBar as ProgressBar
from .saving import Saving as Saving, Snapshot as Snapshot
