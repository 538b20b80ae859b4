"""From an expression to a function of one point, and to a program for one shard of points."""

from .dependence import shared as shared
from .dependence import trainables_of as trainables_of
from .expand import (
    Rule as Rule,
)
from .expand import (
    counted_group as counted_group,
)
from .expand import (
    expand as expand,
)
from .expand import (
    gradient_of as gradient_of,
)
from .expand import (
    mean as mean,
)
from .expand import (
    total as total,
)
from .pointwise import Values as Values
from .pointwise import evaluate as evaluate
from .primitives import Gathered as Gathered
from .primitives import PointSum as PointSum
from .program import Program as Program
