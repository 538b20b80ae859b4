"""Walking expressions."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .node import Node


def arguments_first(roots: "Iterable[Node]", beneath: "Callable[[Node], Iterable[Node]]") -> "list[Node]":
    """The roots and all nodes beneath them, each once and after its arguments; expressions may be deep."""
    visited: dict[Node, None] = {}
    stack = [(root, False) for root in roots]
    while stack:
        node, ready = stack.pop()
        if ready:
            visited[node] = None
        elif node not in visited:
            stack.append((node, True))
            stack.extend((below, False) for below in beneath(node))
    return list(visited)


def all_nodes(roots: "Iterable[Node]") -> "list[Node]":
    """All nodes of the roots, arguments first."""
    return arguments_first(roots, lambda node: node.args)


def local_nodes(roots: "Iterable[Node]") -> "list[Node]":
    """All nodes computed at the same point as the roots, arguments first.

    Nodes that see all points at once (reductions, opaque functions) are listed, but not entered.
    """
    return arguments_first(roots, lambda node: node.args if node.op.local else ())


def describe(node: "Node", depth: int = 6) -> str:
    """The expression as a person would write it, deep parts left out."""
    if depth == 0 and node.args:
        return "…"
    return node.op.text([describe(arg, depth - 1) for arg in node.args])


class Texts(Sequence[str]):
    """Descriptions of nodes, made only if a message needs them."""

    def __init__(self, nodes: "Sequence[Node]"):
        self.nodes = nodes

    def __getitem__(self, index: Any) -> Any:
        return describe(self.nodes[index])

    def __len__(self) -> int:
        return len(self.nodes)
