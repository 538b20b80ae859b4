"""From an expression to a function of one point, and to a program for one shard of points."""

from .coordinate_resolution import refuse_merged as refuse_merged
from .executor import (
    Executor as Executor,
    Placed as Placed,
    refuse_arrays_at as refuse_arrays_at,
    refuse_unknown as refuse_unknown,
)
from .expand import expand as expand, gradient_of as gradient_of, group_sizes as group_sizes, mean as mean
from .forward_laplacian import alone as alone
from .levels import shared as shared, trainables_of as trainables_of
from .pointwise import Values as Values, at_point as at_point, evaluate as evaluate, put_selected as put_selected
from .primitives import AtPoint as AtPoint, Columns as Columns, Gathered as Gathered
from .program import Program as Program, ShardContext as ShardContext
from .smoothness_check import too_rough as too_rough, warn_of_rough as warn_of_rough
