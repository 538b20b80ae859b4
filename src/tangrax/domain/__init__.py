"""`tx.domain`: shapes and their collocation points."""

from .domain import Domain as Domain, box as box, line as line, rect as rect
from .shapes import Box as Box, Shape as Shape
