"""The language: symbolic fields, terms and parameter Jacobians, as immutable data."""

from . import ops as ops
from .functions import (
    cosine as cosine,
    function as function,
    lift as lift,
    lift_reduction as lift_reduction,
    lift_sequence as lift_sequence,
    periodic as periodic,
    stop_gradient as stop_gradient,
    tracker as tracker,
)
from .node import (
    Node as Node,
    all_nodes as all_nodes,
    apply as apply,
    as_node as as_node,
    describe as describe,
    local_nodes as local_nodes,
)
from .points import PointSet as PointSet
from .tracker import Tracker as Tracker
from .trainable import Selection as Selection, Trainable as Trainable
