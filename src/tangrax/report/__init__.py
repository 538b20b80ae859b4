"""Pictures of a finished run. Needs matplotlib, the extra `plot`."""

from .canvas import COLOURS as COLOURS, REFERENCE as REFERENCE, save as save
from .cosines import cosine_history as cosine_history, cosine_matrix as cosine_matrix, leaf_cosines as leaf_cosines
from .kernel import eigenfunction as eigenfunction, eigenfunctions as eigenfunctions, spectrum as spectrum
from .plots import losses as losses, solution as solution, tracker as tracker
