"""Shapes as data: numbers, names and arrays from which the same shape can be made, and no code."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from .ellipses import Ellipse
from .extrusion import Extruded
from .meshes import Mesh
from .polygons import Polygon
from .set_operations import Combined, Named
from .shapes import Ball, Box, Shape
from .transforms import Moved

KINDS = {kind.__name__: kind for kind in (Ball, Box, Combined, Ellipse, Extruded, Mesh, Moved, Named, Polygon)}


def written(shape: Shape, arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any] | None:
    """A shape as JSON; its arrays go to `arrays`, under names that begin with `prefix`.

    None for a shape of another kind than these, or made of one.
    """
    if type(shape) is not KINDS.get(type(shape).__name__):
        return None
    content: dict[str, Any] = {"kind": type(shape).__name__}
    for field in fields(shape):  # pyright: ignore[reportArgumentType]
        value, name = getattr(shape, field.name), f"{prefix}/{field.name}"
        if isinstance(value, Shape):
            value = written(value, arrays, name)
            if value is None:
                return None
        elif isinstance(value, np.ndarray):
            arrays[name], value = value, {"array": name}
        content[field.name] = value
    return content


def shape_from(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Shape:
    """The shape that was written. Raises KeyError, TypeError or ValueError where something else was."""
    kind = KINDS[content["kind"]]
    return kind(**{field.name: _value(content[field.name], arrays) for field in fields(kind)})


def _value(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, Mapping):
        return arrays[value["array"]] if "array" in value else shape_from(value, arrays)
    return tuple(_value(entry, arrays) for entry in value) if isinstance(value, list) else value
