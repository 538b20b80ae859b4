"""`tx.domain`: shapes and their collocation points."""

from .constructors import (
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
from .domain import Domain as Domain
from .ellipses import Ellipse as Ellipse
from .extrusion import Extruded as Extruded
from .meshes import Mesh as Mesh
from .point_clouds import Cloud as Cloud, cloud as cloud
from .polygons import Polygon as Polygon
from .set_operations import Combined as Combined, Named as Named
from .shapes import Ball as Ball, Box as Box, Shape as Shape, Surface as Surface
from .transforms import Moved as Moved
