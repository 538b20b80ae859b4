"""What is asked of all rows of a Jacobian: how it is answered."""

import math
from collections.abc import Callable

import numpy as np

from ..expr import Node, Request, ops
from ..parallel import ShardedRows, singular_values, singular_values_bytes
from .rows import as_size
from .spectrum import Spectrum

Evaluate = Callable[[list[Node]], list[ShardedRows]]


def answer(request: Request, evaluate: Evaluate, points: int, shards: int, itemsize: int, limit: int) -> Spectrum:
    """The object that a request is for, at so many points; `evaluate` gives the values of fields as sharded rows.

    Raises before anything is computed if what each device would hold for it exceeds `limit` bytes.
    """
    restricted = isinstance(request.node.op, ops.Restrict)
    wanted = list(request.node.args) if restricted else [request.node]
    *components, columns = wanted[0].shape
    each = math.prod(components)
    size = singular_values_bytes(points * each, columns, shards, itemsize)
    if size > limit:
        raise ValueError(
            f"{request} of {points * each} rows and {columns} parameters takes {as_size(size)} on each of {shards} "
            f"device(s), more than {as_size(limit)}: take fewer points (points=), fewer parameters (net.mask), more "
            f"devices, or a higher limit="
        )
    rows, *kept = evaluate(wanted)
    count = each * (points if not kept else int(np.sum(kept[0].gather())))
    if count == 0:
        raise ValueError(f"{request}: the group holds none of the {points} points")
    found = singular_values(rows, *kept)[: min(count, columns)]
    return Spectrum(found.astype(np.float64), count, columns, float(np.finfo(rows.dtype).eps))
