"""Meshes from STL and other files or from arrays, and whether their surface is that of a solid."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from ..expr import checked_array
from .meshes import Mesh, PerTriangle, library
from .polygons import Polygon
from .samplers import sobol
from .set_operations import Combined
from .shapes import FLAT, NEAR, OTHER_TAGS, Shape, is_own_name

LOOKED_AT = 1024  # points at which the surface must go round none or once
ROUNDED = 1e-9  # of an area: less than that is no overlap

Names = Sequence[str | None] | Callable[[PerTriangle, PerTriangle], Any] | None
Source = str | Path | tuple[Any, Any]


def read_mesh(source: Source, names: Names) -> Shape:
    """A solid from a file or from (vertices, triangles); raises ValueError where its surface is not that of a solid.

    Corners that coincide become one, triangles without an area are left out, and all are turned to face outwards. If
    vertices are in the plane, the polygons that the triangles fill.
    """
    if not isinstance(source, (str, Path)):
        source = (
            checked_array("mesh(vertices, …)", source[0], np.float64),
            checked_array("mesh(…, triangles)", source[1]),
        )
        if source[0].shape[1:] == (2,):
            return _filled(*source, names)
    trimesh = library("trimesh")
    if isinstance(source, (str, Path)):
        path = Path(source)
        name, (vertices, triangles, pieces) = path.name, _file(path, trimesh)
    else:
        name, (vertices, triangles), pieces = f"{len(source[0])} vertices", source, None
    vertices, triangles = np.asarray(vertices, np.float64), np.asarray(triangles)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(
            f"mesh({name}): arrays of shapes {vertices.shape} and {triangles.shape}: give the corners as (n, 3), and "
            f"as (m, 3) the three numbers of corners that make each triangle"
        )
    _refuse_wrong_numbers(name, vertices, triangles)
    source_index = np.arange(len(triangles))  # of each triangle, among those of the source
    solid = trimesh.Trimesh(vertices, triangles, process=False, face_attributes={"source": source_index})
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    solid.update_faces(solid.area_faces > (NEAR * size) ** 2)
    if len(solid.faces) == 0:
        raise ValueError(f"mesh({name}): all its {len(triangles)} triangles are without an area")
    _refuse_open(name, solid)
    trimesh.repair.fix_winding(solid)
    _refuse_flat(name, solid, trimesh)
    trimesh.repair.fix_inversion(solid, multibody=False)
    order = np.asarray(solid.face_attributes["source"])
    corners = np.array(solid.faces, np.int64)
    plain = Mesh(name, np.array(solid.vertices, np.float64), corners, (None,) * len(corners))
    _refuse_overlapping(name, plain)
    return replace(plain, names=_named(name, plain, names, pieces, order, len(triangles)))


def _file(path: Path, trimesh: Any) -> tuple[Any, Any, list[str] | None]:
    """Vertices and triangles of a file, and of which of its pieces each is if it has several."""
    if not path.is_file():
        raise ValueError(f"mesh({str(path)!r}): there is no such file")
    try:
        # Each where the file puts it, with its name.
        parts = [part for part in trimesh.load_scene(path).dump() if hasattr(part, "faces")]
    except Exception as error:  # readers of other people's formats raise what they like
        known = ", ".join(sorted(trimesh.available_formats()))
        raise ValueError(f"mesh({str(path)!r}): {error}. Formats that can be read: {known}") from error
    if not parts:
        raise ValueError(f"mesh({str(path)!r}): it holds no triangles")
    counts = [len(part.vertices) for part in parts]
    triangles = [part.faces + first for part, first in zip(parts, np.cumsum(counts) - counts, strict=True)]
    names = [part.metadata["name"] for part in parts for _ in part.faces]
    return np.concatenate([part.vertices for part in parts]), np.concatenate(triangles), names if parts[1:] else None


def _filled(vertices: np.ndarray, triangles: np.ndarray, names: Names) -> Shape:
    """What triangles in the plane fill: polygons, without their holes."""
    name = f"{len(vertices)} vertices"
    if names is not None:
        raise ValueError(f"mesh({name}): names are for surfaces in space; name the edges of a tx.domain.polygon")
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"mesh({name}): triangles of shape {triangles.shape}: give three numbers of corners for each")
    _refuse_wrong_numbers(name, vertices, triangles)
    pieces = shapely.polygons(vertices[triangles])
    whole, sum_of_areas = shapely.union_all(pieces), float(shapely.area(pieces).sum())
    if not whole.area > 0 or abs(whole.area - sum_of_areas) > ROUNDED * sum_of_areas:
        raise ValueError(
            f"mesh({name}): its {len(triangles)} triangles have areas of {sum_of_areas:g} and fill {whole.area:g}: "
            f"they must have areas, and not overlap"
        )
    # Corners of triangles along a straight edge are none of the polygon's.
    whole = whole.simplify(NEAR * float(np.linalg.norm(np.ptp(vertices, axis=0))))

    def inside(ring: Any) -> Polygon:
        corners = tuple((float(x), float(y)) for x, y in ring.coords[:-1])
        return Polygon(corners, (None,) * len(corners))

    parts = []
    for part in shapely.get_parts(whole):
        holes = [inside(ring) for ring in part.interiors]
        parts.append(reduce(lambda shape, hole: Combined(shape, hole, "-"), holes, inside(part.exterior)))
    return reduce(lambda shape, part: Combined(shape, part, "|"), parts)


def _refuse_wrong_numbers(name: str, vertices: np.ndarray, triangles: np.ndarray) -> None:
    if len(triangles) == 0 or not np.isfinite(vertices).all():
        raise ValueError(f"mesh({name}): {len(triangles)} triangles, coordinates must be finite numbers")
    if not np.issubdtype(triangles.dtype, np.integer) or triangles.min() < 0 or triangles.max() >= len(vertices):
        raise ValueError(f"mesh({name}): triangles must hold whole numbers from 0 to {len(vertices) - 1}")


def _refuse_open(name: str, solid: Any) -> None:
    """Raise where an edge belongs to one triangle, or to three or more."""
    edges = np.sort(solid.edges, axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    for wrong, what in ((counts == 1, "one triangle alone"), (counts > 2, "more than two triangles")):
        if wrong.any():
            a, b = solid.vertices[unique[wrong][0]]
            points = " to ".join(f"({', '.join(f'{c:g}' for c in point)})" for point in (a, b))
            raise ValueError(
                f"mesh({name}): {wrong.sum()} of its {len(unique)} edges belong to {what}, the first from {points}: "
                f"only a closed surface has an inside. Close its holes and join its pieces where it was made, or by "
                f"trimesh.repair.fill_holes"
            )


def _refuse_flat(name: str, solid: Any, trimesh: Any) -> None:
    """Raise where one of the closed surfaces has no volume inside: rounding alone would say what lies there."""
    triangles, areas = np.asarray(solid.vertices)[solid.faces], solid.area_faces
    piece = trimesh.graph.connected_component_labels(solid.face_adjacency, node_count=len(triangles))
    for number in range(piece.max() + 1):
        corners, area = triangles[piece == number], float(areas[piece == number].sum())
        a, b, c = np.moveaxis(corners - corners[0, 0], 1, 0)
        volume = abs(float(np.sum(a * np.cross(b, c)) / 6))  # by the divergence theorem
        size = float(np.linalg.norm(np.ptp(corners.reshape(-1, 3), axis=0)))
        if volume <= FLAT * area * size:
            raise ValueError(
                f"mesh({name}): a closed surface of {len(corners)} triangles is flat: a volume of {volume:.1e} within "
                f"an area of {area:.3g} leaves no points inside. Give it a thickness, or leave it out"
            )


def _refuse_overlapping(name: str, solid: Mesh) -> None:
    """Raise where the surface goes round some point more than once, or the wrong way."""
    lower, upper = map(np.array, solid.bounds)
    points = lower + sobol(LOOKED_AT, 3, 0) * (upper - lower)
    turns = library("igl").fast_winding_number(solid.vertices, solid.triangles, points)
    wrong = np.abs(turns - np.clip(np.round(turns), 0, 1)) > 0.25
    if wrong.any():
        where = ", ".join(f"{c:g}" for c in points[wrong][0])
        raise ValueError(
            f"mesh({name}): its surface goes {round(float(turns[wrong][0]))} times round ({where}): pieces that "
            f"overlap, or cross themselves. Make one mesh for each, and join them by |"
        )


def _named(
    name: str, solid: Mesh, names: Names, pieces: list[str] | None, order: np.ndarray, count: int
) -> tuple[str | None, ...]:
    """A name for each triangle, from those for the triangles given, or from a function of centers and normals."""
    if callable(names):
        labels = list(names(np.mean(solid.corners, axis=0), solid.normals))
        wanted = len(solid.triangles)
    else:
        labels = list(names if names is not None else pieces or [None] * count)
        wanted = count
    if len(labels) != wanted:
        raise ValueError(f"mesh({name}): {len(labels)} names for {wanted} triangles: give one each, or None")
    for one in dict.fromkeys(labels):
        if one is not None and not is_own_name(one):
            raise ValueError(f"mesh({name}): triangles named {one!r}: a name of its own, not {', '.join(OTHER_TAGS)}")
    return tuple(labels if callable(names) else [labels[index] for index in order])
