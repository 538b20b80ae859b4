"""Fingerprint of an expression: lines of text that are the same in every process that wrote it."""

import hashlib
from collections.abc import Container, Iterable
from dataclasses import fields
from typing import Any

import numpy as np

from .masks import Selection
from .node import Node
from .points import PointSet
from .trainable import Trainable
from .traversal import all_nodes


def fingerprint(roots: Iterable[Node], but: Container[str] = ()) -> list[str]:
    """One line a node, arguments first: its operation with all constants, and the lines of its arguments.

    Functions, points and networks are compared by name: the contents of points and networks are compared elsewhere.
    Fields of operations named in `but` are written as None.
    """
    lines: list[str] = []
    place: dict[Node, int] = {}
    for node in all_nodes(roots):
        values = {field.name: None if field.name in but else getattr(node.op, field.name) for field in fields(node.op)}
        words = [f"{name}={_word(value)}" for name, value in values.items()]
        arguments = " ".join(str(place[argument]) for argument in node.args)
        place[node] = len(lines)
        lines.append(f"{len(lines)}: {type(node.op).__name__}({', '.join(words)}) of [{arguments}]")
    return lines


def _word(value: Any) -> str:
    match value:
        case Trainable():
            return f"'{value.name}'"
        case PointSet():
            return f"'{value.tag}'"
        case Selection():
            return f"'{value.trainable.name}'{'' if value.mask is None else list(value.mask)}"
        case bytes():
            return hashlib.sha256(value).hexdigest()[:16]
        case np.ndarray():
            return f"{value.dtype}{list(value.shape)} {_word(value.tobytes())}"
        case tuple() | list():
            return f"({', '.join(map(_word, value))})"
        case None | bool() | int() | float() | complex() | str():
            return repr(value)
        case _ if callable(value):
            return getattr(value, "__qualname__", type(value).__qualname__)
        case _:
            return type(value).__qualname__
