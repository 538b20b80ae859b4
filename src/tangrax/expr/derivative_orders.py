"""How often networks are differentiated in space and time, in expressions."""

from collections.abc import Sequence

import numpy as np

from .node import Node
from .ops import Call, Derivative, Laplacian
from .trainable import Trainable
from .traversal import arguments_first


def derivative_orders(roots: Sequence[Node]) -> dict[tuple[Trainable, int], int]:
    """Return, for each network with its number of inputs, the highest order of its derivatives along coordinates."""
    order: dict[Node, int] = dict.fromkeys(roots, 0)
    orders: dict[tuple[Trainable, int], int] = {}
    for node in reversed(arguments_first(roots, lambda node: node.args)):
        own = order[node]
        match node.op:
            case Derivative():
                own += len(node.op.axes)
            case Laplacian():
                own += 2
            case Call() if node.args:
                key = node.op.trainable, sum(int(np.prod(arg.shape)) for arg in node.args)
                orders[key] = max(orders.get(key, 0), own)
        for arg in node.args:
            order[arg] = max(order.get(arg, 0), own if node.op.local else 0)
    return orders
