"""`tx.problems`: equations with references, and settings that solve them."""

from .library import get as get, names as names
from .problem import Answer as Answer, Problem as Problem, Solved as Solved, Task as Task
from .results import Measured as Measured, measured as measured
from .tables import report as report, table as table
