"""`tx.problems`: equations with references, and settings that solve them."""

from .library import every_name as every_name, families as families, get as get, names as names
from .problem import (
    Answer as Answer,
    BenchmarkProblem as BenchmarkProblem,
    LibraryProblem as LibraryProblem,
    Problem as Problem,
    Solved as Solved,
    Task as Task,
)
from .results import Measured as Measured, measured as measured
from .tables import report as report, table as table
