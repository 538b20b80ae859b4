"""The language: symbolic fields, terms and parameter Jacobians, as immutable data."""

from . import ops as ops
from .functions import (
    cosine as cosine,
)
from .functions import (
    function as function,
)
from .functions import (
    lift as lift,
)
from .functions import (
    lift_reduction as lift_reduction,
)
from .functions import (
    lift_sequence as lift_sequence,
)
from .functions import (
    periodic as periodic,
)
from .functions import (
    stop_gradient as stop_gradient,
)
from .functions import (
    tracker as tracker,
)
from .node import (
    Node as Node,
)
from .node import (
    all_nodes as all_nodes,
)
from .node import (
    apply as apply,
)
from .node import (
    as_node as as_node,
)
from .node import (
    describe as describe,
)
from .node import (
    local_nodes as local_nodes,
)
from .points import PointSet as PointSet
from .tracker import Tracker as Tracker
from .trainable import Selection as Selection
from .trainable import Trainable as Trainable
