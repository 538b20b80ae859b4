"""Around a run: progress on the terminal, parameters on disk."""

from .checkpoint import (
    Saved as Saved,
    leaves_of as leaves_of,
    read as read,
    restored as restored,
    save as save,
)
from .progress import ProgressBar as ProgressBar
