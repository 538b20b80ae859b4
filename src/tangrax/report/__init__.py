"""Pictures of a finished run. Needs matplotlib, the extra `plot`."""

from .plots import cosine_matrix as cosine_matrix
from .plots import losses as losses
from .plots import save as save
from .plots import solution as solution
from .plots import spectrum as spectrum
from .plots import tracker as tracker
