"""Sums of second derivatives that were written term by term, made Laplacians."""

import operator
from collections.abc import Sequence
from typing import NamedTuple

from ..expr import Node, arguments_first
from ..expr.ops import Apply, Derivative, Laplacian


class Term(NamedTuple):
    """± factor · node."""

    positive: bool
    factor: Node | None
    node: Node


def collected(field: Node) -> Node:
    """The field, each u_xx + u_yy in it (both times the same factor, whatever stands between them) a Laplacian of u."""
    rewritten: dict[Node, Node] = {}
    for node in arguments_first([field], _beneath):
        arguments = _beneath(node)
        args = [rewritten[arg] for arg in arguments]
        changed = any(a is not b for a, b in zip(args, arguments, strict=True))
        rewritten[node] = _joined(Node(node.op, *args) if changed else node)
    return rewritten[field]


def _beneath(node: Node) -> Sequence[Node]:
    return node.args if isinstance(node.op, (Apply, Derivative, Laplacian)) else ()


def _joined(node: Node) -> Node:
    """A sum with its second derivatives along different axes put together."""
    if _function(node) not in (operator.add, operator.sub):
        return node
    listed = _terms(node)
    terms: list[Term] = []
    for term in listed:
        for place, other in enumerate(terms):
            axes = (*_axes(term.node), *_axes(other.node))
            if _alike(term, other) and len(set(axes)) == len(axes):
                terms[place] = term._replace(node=Node(Laplacian(tuple(sorted(axes))), *term.node.args))
                break
        else:
            terms.append(term)
    return node if len(terms) == len(listed) else _sum(terms)


def _alike(one: Term, other: Term) -> bool:
    """Whether two terms are second derivatives of one field with the same factor."""
    if not (_axes(one.node) and _axes(other.node)):
        return False
    return one.positive == other.positive and one.factor is other.factor and one.node.args[0] is other.node.args[0]


def _terms(node: Node) -> list[Term]:
    """Terms of a sum, from left to right."""
    terms: list[Term] = []
    stack = [(node, True)]
    while stack:
        part, positive = stack.pop()
        function = _function(part)
        if function in (operator.add, operator.sub):
            stack += [(part.args[1], positive == (function is operator.add)), (part.args[0], positive)]
        elif function is operator.neg:
            stack.append((part.args[0], not positive))
        else:
            terms.append(Term(positive, *_factored(part)))
    return terms


def _factored(node: Node) -> tuple[Node | None, Node]:
    if _function(node) is operator.mul:
        first, second = node.args
        if _axes(second):
            return first, second
        if _axes(first):
            return second, first
    return None, node


def _sum(terms: Sequence[Term]) -> Node:
    values = [node if factor is None else factor * node for _, factor, node in terms]
    total = values[0] if terms[0].positive else -values[0]
    for term, value in zip(terms[1:], values[1:], strict=True):
        total = total + value if term.positive else total - value
    return total


def _axes(node: Node) -> tuple[int, ...]:
    """Those along which a node is the sum of second derivatives; none if it is no such sum."""
    if isinstance(node.op, Laplacian):
        return node.op.axes
    if isinstance(node.op, Derivative) and len(node.op.axes) == 2 and len(set(node.op.axes)) == 1:
        return node.op.axes[:1]
    return ()


def _function(node: Node) -> object:
    return node.op.function if isinstance(node.op, Apply) else None
