"""Pictures and the page of a run, running or ended. Needs matplotlib, the extra `plot`."""

from .canvas import COLOURS as COLOURS, REFERENCE as REFERENCE, save as save
from .cosines import cosine_history as cosine_history, cosine_matrix as cosine_matrix, leaf_cosines as leaf_cosines
from .fields import field as field, inside_of as inside_of, triangles as triangles
from .kernel_pictures import (
    eigenfunction as eigenfunction,
    eigenfunctions as eigenfunctions,
    spectrum as spectrum,
    spectrum_history as spectrum_history,
)
from .plots import losses as losses, solution as solution, tracker as tracker
from .run_page import write_report as write_report
