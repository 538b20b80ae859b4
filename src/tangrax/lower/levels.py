"""Dependence: exchanged values, the rounds after which they are known, the trainables beneath them."""

from collections.abc import Iterable, Sequence

import jax

from ..expr import Node, Trainable, all_nodes, arguments_first, local_nodes
from ..expr.ops import Apply, Call, Coordinate, Gradient, Scattered, Sensitivity
from .primitives import Exchange, Gathered, PointSum


def trainables_of(roots: Iterable[Node]) -> list[Trainable]:
    """Networks and parameters that the roots are made of or differentiated by, in the order they appear."""
    trainables: dict[Trainable, None] = {}
    for node in all_nodes(roots):
        if isinstance(node.op, Call):
            trainables[node.op.trainable] = None
        elif isinstance(node.op, Sensitivity):
            trainables.update((selection.trainable, None) for selection in node.op.wrt)
    return list(trainables)


def changes(node: Node) -> bool:
    """True if training can change it, through parameters or per-point weights."""
    columns = (n.op for n in all_nodes([node]) if isinstance(n.op, Coordinate))
    return bool(trainables_of([node])) or not all(op.fixed for op in columns)


def shared_by(roots: Sequence[Node]) -> list[Node]:
    """Values all shards share that the roots are computed from directly: exchanged, scattered, differentiated."""
    return [node for node in local_nodes(roots) if not node.op.local]


def feeds(node: Node) -> list[Node]:
    """Values all shards share that the arguments of `node` are computed from directly."""
    return shared_by(node.args)


def shared(roots: Sequence[Node]) -> list[Node]:
    """All shared values beneath the roots, themselves included, in the order they can be computed."""
    return arguments_first(shared_by(roots), feeds)


def moving_args(node: Node) -> Sequence[Node]:
    """The arguments that a derivative of a node passes through: none of a stop_gradient."""
    return () if isinstance(node.op, Apply) and node.op.function is jax.lax.stop_gradient else node.args


def moving_by(roots: Sequence[Node]) -> list[Node]:
    """Those of `shared_by` that a derivative of the roots passes through."""
    nodes = arguments_first(roots, lambda node: moving_args(node) if node.op.local else ())
    return [node for node in nodes if not node.op.local]


def moving(roots: Sequence[Node]) -> list[Node]:
    """Those of `shared` that a derivative of the roots passes through."""
    return arguments_first(moving_by(roots), lambda node: moving_by(node.args))


def levels(roots: Sequence[Node], constants: Iterable[Node] = ()) -> dict[Node, int]:
    """After which round of communication each shared value is known; `constants` are from the start (-1).

    An exchanged value takes a round after all that feeds it; a gradient is pulled back in the same rounds as the
    sums it differentiates, or, if it passes through gathered values, in rounds of its own after them.
    """
    level_of: dict[Node, int] = {}
    from_the_start = set(constants)
    for node in shared(roots):
        if node in from_the_start:
            level_of[node] = -1
            continue
        before = max((level_of[feed] for feed in feeds(node)), default=-1)
        if isinstance(node.op, Exchange) or (isinstance(node.op, Gradient) and needs_sweep(node)):
            level_of[node] = before + 1
        else:
            level_of[node] = before
    return level_of


def needs_sweep(gradient: Node) -> bool:
    """Whether a gradient passes through values of all points, so that it cannot be formed from sums."""
    return any(isinstance(node.op, (Gathered, Scattered)) for node in trained_feeds(gradient))


def trained_feeds(gradient: Node) -> list[Node]:
    """The shared values through which a gradient's term depends on its parameters, in the order they are known."""
    assert isinstance(gradient.op, Gradient)
    wanted = {selection.trainable for selection in gradient.op.wrt}
    return [
        node
        for node in moving(gradient.args)
        if isinstance(node.op, (PointSum, Gathered, Scattered)) and wanted.intersection(trainables_of([node]))
    ]
