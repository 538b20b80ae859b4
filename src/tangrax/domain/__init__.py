"""`tx.domain`: shapes and their collocation points."""

from .combined import Combined as Combined, Named as Named
from .domain import Domain as Domain
from .made import ball as ball, box as box, disk as disk, line as line, rect as rect
from .shapes import Ball as Ball, Box as Box, Shape as Shape, Surface as Surface
