"""The language: symbolic fields, terms and parameter Jacobians, as immutable data."""

from . import markup as markup, ops as ops
from .constants import as_jax as as_jax, checked_array as checked_array, refuse_complex as refuse_complex
from .derivative_orders import derivative_orders as derivative_orders
from .failure import as_array as as_array, explanation as explanation, shape_of as shape_of, succeeds as succeeds
from .fingerprint import fingerprint as fingerprint
from .functions import (
    function as function,
    lift as lift,
    lift_reduction as lift_reduction,
    lift_sequence as lift_sequence,
    periodic as periodic,
    relative_l2 as relative_l2,
    stop_gradient as stop_gradient,
    tracker as tracker,
)
from .gradient_metrics import cosine as cosine, is_cosine as is_cosine, norms as norms, projections as projections
from .groups import split as split, within as within
from .kernel_request import (
    DensityRequest as DensityRequest,
    DualGramRequest as DualGramRequest,
    EigenvaluesRequest as EigenvaluesRequest,
    GramRequest as GramRequest,
    Request as Request,
    SpectrumRequest as SpectrumRequest,
    spectrum_request as spectrum_request,
)
from .masks import Selection as Selection
from .names import checked_name as checked_name, column_name as column_name, fault as fault
from .node import Node as Node, apply as apply, as_node as as_node
from .points import PointSet as PointSet, conform as conform
from .tracker import Tracker as Tracker
from .trainable import Trainable as Trainable, is_parameter as is_parameter, parted as parted
from .traversal import (
    all_nodes as all_nodes,
    arguments_first as arguments_first,
    describe as describe,
    local_nodes as local_nodes,
)
