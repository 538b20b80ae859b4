"""Pictures of a finished run. Needs matplotlib, the extra `plot`."""

from .plots import (
    cosine_matrix as cosine_matrix,
    losses as losses,
    save as save,
    solution as solution,
    spectrum as spectrum,
    tracker as tracker,
)
