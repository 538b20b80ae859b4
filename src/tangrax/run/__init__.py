"""Around a run: progress on the terminal, parameters on disk."""

from .checkpoint import (
    Saved as Saved,
)
from .checkpoint import (
    leaves_of as leaves_of,
)
from .checkpoint import (
    read as read,
)
from .checkpoint import (
    restored as restored,
)
from .checkpoint import (
    save as save,
)
from .progress import ProgressBar as ProgressBar
