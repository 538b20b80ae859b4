"""Meshes of domains with round holes: curved triangles and tetrahedra, by Triangle and TetGen through MeshPy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
import skfem
import trimesh
from meshpy import tet, triangle

sparse: Any = scipy.sparse
tree: Any = scipy.spatial.KDTree


def arc(hole: Sequence[float], start: float, end: float, size: float) -> np.ndarray:
    """Return points of a circle (x, y, radius) between two angles, ends included, about `size` apart."""
    count = max(3, int(np.ceil(abs(end - start) * hole[2] / size)))
    angle = np.linspace(start, end, count + 1)
    return np.column_stack([hole[0] + hole[2] * np.cos(angle), hole[1] + hole[2] * np.sin(angle)])


def triangles(
    outline: np.ndarray, holes: Sequence[Sequence[float]], cut: Sequence[Sequence[float]], size: float, rim: float
) -> Any:
    """Return triangles of a polygon without holes, their edges on circles curved.

    Args:
        outline: corners of the polygon, (n, 2), those on circles of `cut` close together.
        holes: circles (x, y, radius) inside.
        cut: circles that are part of the outline.
        size: of triangles.
        rim: of edges on circles.
    """
    rings = [outline, *(arc(hole, 0.0, 2 * np.pi, rim)[:-1] for hole in holes)]
    starts = np.cumsum([0, *map(len, rings)])
    info = triangle.MeshInfo()
    info.set_points(np.concatenate(rings).tolist())
    info.set_facets(
        [
            (start + k, start + (k + 1) % len(ring))
            for start, ring in zip(starts.tolist(), rings, strict=False)
            for k in range(len(ring))
        ]
    )
    info.set_holes([tuple(hole[:2]) for hole in holes])
    # No more points on the boundary, as these would not lie on the circles; the outline has enough.
    built = triangle.build(info, max_volume=size**2 * 3**0.5 / 4, min_angle=30, allow_boundary_steiner=False)
    flat: Any = skfem.MeshTri(np.array(built.points).T, np.array(built.elements).T)
    return curved(skfem.MeshTri2.from_mesh(flat), flat.p[:, flat.facets[:, flat.boundary_facets()]], (*holes, *cut))


def tetrahedra(balls: Sequence[Sequence[float]], size: float) -> Any:
    """Return tetrahedra of [0, 1]³ without balls (x, y, z, radius), their edges on spheres curved."""
    corners = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    faces = [[0, 1, 3, 2], [4, 5, 7, 6], [0, 1, 5, 4], [2, 3, 7, 6], [0, 2, 6, 4], [1, 3, 7, 5]]
    points, markers = [corners], [1] * 6
    for number, (*center, radius) in enumerate(balls):
        # Edges of an icosahedron are 1.05 of its radius, and halved each time.
        sphere = trimesh.creation.icosphere(max(1, round(np.log2(1.05 * radius / size))), radius)
        faces += (sphere.faces + sum(map(len, points))).tolist()
        points.append(sphere.vertices + center)
        markers += [number + 2] * len(sphere.faces)
    info = tet.MeshInfo()
    info.set_points(np.concatenate(points).tolist())
    info.set_facets(faces, markers=markers)
    info.set_holes([tuple(ball[:3]) for ball in balls])
    options = tet.Options(switches="pq1.3Q")
    built = tet.build(info, options=options, max_volume=size**3 / 8.5, attributes=False)
    vertices, surface = np.array(built.points), np.array(built.faces)
    marked = np.array(built.face_markers)
    for number, (*center, radius) in enumerate(balls):
        on = np.unique(surface[marked == number + 2])  # TetGen may have put some on the chords
        away = vertices[on] - center
        vertices[on] = center + radius * away / np.linalg.norm(away, axis=1, keepdims=True)
    flat: Any = skfem.MeshTet(vertices.T, np.array(built.elements).T)
    rims = flat.facets[:, flat.boundary_facets()]
    edges = np.unique(np.sort(np.concatenate([rims[[0, 1]], rims[[1, 2]], rims[[0, 2]]], axis=1), axis=0), axis=1)
    return curved(skfem.MeshTet2.from_mesh(flat), flat.p[:, edges], balls)


def curved(mesh: Any, edges: np.ndarray, holes: Sequence[Sequence[float]]) -> Any:
    """Return a mesh of second order with the middles of edges between two points of a hole's rim moved onto it.

    Args:
        mesh: with straight edges.
        edges: ends of the edges on the boundary, (dimension, 2, edges).
        holes: (…center, radius).
    """
    nodes = mesh.doflocs.copy()
    _, middle = tree(nodes.T).query(edges.mean(axis=1).T)
    for *center, radius in holes:
        at = np.array(center)[:, None]
        ends = np.linalg.norm(edges - at[:, None], axis=0)
        index = middle[np.all(np.abs(ends - radius) < 1e-9, axis=0)]
        away = nodes[:, index] - at
        nodes[:, index] = at + radius * away / np.linalg.norm(away, axis=0)
    return type(mesh)(nodes, mesh.t)


def probed(basis: Any, points: np.ndarray, candidates: int = 24) -> Any:
    """Return the values of a scalar basis at points, (points, basis), as scikit-fem has no finder for curved cells.

    Raises:
        ValueError: where a point lies outside of the mesh.
    """
    mesh, mapping = basis.mesh, basis.mapping
    centers = mesh.p[:, mesh.t].mean(axis=1)
    _, near = tree(centers.T).query(points, k=min(candidates, mesh.t.shape[1]))
    x = points.T[:, :, None]
    deepest = np.full(len(points), -np.inf)
    cells, local = near[:, 0].copy(), np.empty(points.T.shape)
    for cell in near.T:
        s = np.full(x.shape, 1 / (len(x) + 1))
        for _ in range(8):  # Newton's method; one is enough where edges are straight
            s = s + np.einsum("ijkl,jkl->ikl", mapping.invDF(s, cell), x - mapping.F(s, cell))
        result = np.abs(mapping.F(s, cell) - x).max(axis=(0, 2)) < 1e-9
        depth = np.where(result, np.minimum(s.min(axis=0), 1 - s.sum(axis=0))[:, 0], -np.inf)
        better = depth > deepest
        deepest[better], cells[better], local[:, better] = depth[better], cell[better], s[:, better, 0]
    if deepest.min() < -1e-3:  # rims are followed to third order in the cells' size
        worst = points[np.argmin(deepest)]
        raise ValueError(f"({', '.join(f'{each:g}' for each in worst)}) lies outside of the mesh")
    values = np.stack([basis.elem.lbasis(local, k)[0] for k in range(basis.Nbfun)], axis=1)
    rows = np.repeat(np.arange(len(points)), basis.Nbfun)
    columns = basis.element_dofs[:, cells].T.ravel()
    return sparse.csr_matrix((values.ravel(), (rows, columns)), shape=(len(points), basis.N))
