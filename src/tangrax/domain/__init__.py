"""`tx.domain`: shapes and their collocation points."""

from .clouds import Cloud as Cloud, cloud as cloud
from .combined import Combined as Combined, Named as Named
from .domain import Domain as Domain
from .ellipses import Ellipse as Ellipse
from .extruded import Extruded as Extruded
from .made import (
    annulus as annulus,
    ball as ball,
    box as box,
    cylinder as cylinder,
    disk as disk,
    ellipse as ellipse,
    extrusion as extrusion,
    line as line,
    mesh as mesh,
    polygon as polygon,
    rect as rect,
    triangle as triangle,
)
from .meshes import Mesh as Mesh
from .moved import Moved as Moved
from .polygons import Polygon as Polygon
from .shapes import Ball as Ball, Box as Box, Shape as Shape, Surface as Surface
