"""`tx.domain`: shapes and their collocation points."""

from .domain import Domain as Domain
from .domain import box as box
from .domain import line as line
from .domain import rect as rect
from .shapes import Box as Box
from .shapes import Shape as Shape
