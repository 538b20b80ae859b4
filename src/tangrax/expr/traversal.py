"""Walking expressions."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any


def arguments_first(roots: Iterable[Any], beneath: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """The roots and all that lies beneath them, each once and after what it is made of; expressions may be deep."""
    order: dict[Any, None] = {}
    stack = [(root, False) for root in roots]
    while stack:
        node, ready = stack.pop()
        if ready:
            order[node] = None
        elif node not in order:
            stack.append((node, True))
            stack.extend((below, False) for below in beneath(node))
    return list(order)


def all_nodes(roots: Iterable[Any]) -> list[Any]:
    """Every node that the roots are made of, arguments first."""
    return arguments_first(roots, lambda node: node.args)


def local_nodes(roots: Iterable[Any]) -> list[Any]:
    """All nodes computed at the same point as the roots, arguments first.

    Nodes that see all points at once (reductions, opaque functions) are listed, but not entered.
    """
    return arguments_first(roots, lambda node: node.args if node.op.local else ())


def describe(node: Any, depth: int = 6) -> str:
    """The expression as a person would write it, deep parts left out."""
    if depth == 0 and node.args:
        return "…"
    return node.op.text([describe(arg, depth - 1) for arg in node.args])


class Texts(Sequence[str]):
    """Descriptions of nodes, made only if a message needs them."""

    def __init__(self, nodes: Sequence[Any]):
        self.nodes = nodes

    def __getitem__(self, index: Any) -> Any:
        return describe(self.nodes[index])

    def __len__(self) -> int:
        return len(self.nodes)
