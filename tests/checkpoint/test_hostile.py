"""Files from someone else: a pickle in any of them would make a file when it is loaded, and none is made."""

import contextlib
import io
import json
import pickle
import socket
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from run_problem import make
from test_damage import sealed

import tangrax as tx
from tangrax import analysis, checkpoint
from tangrax.checkpoint.archive import DIGITS, MARK


class Payload:
    """What writes `marker` when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.fixture
def marker(tmp_path):
    """Absent at the end, although the payload does what it says when it is unpickled."""
    path = tmp_path / "executed"
    pickle.loads(pickle.dumps(Payload(path))).close()
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


def poisoned(path, marker):
    """The archive at `path`, each of its arrays in turn one of objects, with its digest; then a pickle alone."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    objects = io.BytesIO()
    np.save(objects, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    for target in [*entries, "another.npy", "another.pkl"]:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**entries, target: b""}.items():
                archive.writestr(name, objects.getvalue() if name == target else content)
            archive.comment = MARK + bytes(DIGITS)
        path.write_bytes(sealed(path.read_bytes()))
        yield target
    path.write_bytes(pickle.dumps(Payload(marker)))
    yield "a pickle alone"


def test_a_saved_solver_runs_nothing(marker, tmp_path):
    solver, path = make(), tmp_path / "solver.npz"
    solver.save(path)
    for what in poisoned(path, marker):
        for load in (tx.load, solver.load):
            with pytest.raises(ValueError, match=r"damaged|is not"):
                load(path)
            assert not marker.exists(), what
    assert solver.epoch == 0


@pytest.mark.parametrize("name", ["checkpoints/end-000000004.npz", "history/000000004.npz", "shown.npz"])
def test_a_run_directory_runs_nothing(name, marker, tmp_path):
    """A run goes on there, and a report reads it; what cannot be read is refused or left out."""
    run_dir = tmp_path / "run"
    make().solve(4, progress=False, run_dir=run_dir)
    path = run_dir / name
    for what in poisoned(path, marker):
        try:
            analysis.read_record(run_dir)
        except ValueError as error:
            assert "pickle" not in str(error)  # NumPy would advise to load it unsafely
        assert not marker.exists(), what
    try:
        make().solve(4, progress=False, run_dir=run_dir)
    except ValueError as error:
        assert "can be read" in str(error)


def test_tables_and_meshes_run_nothing(marker, tmp_path):
    path = tmp_path / "sensors.npz"
    np.savez(path, x=np.linspace(0, 1, 5))
    for what in poisoned(path, marker):
        # Columns that nobody asks for are not read.
        with contextlib.nullcontext() if what.startswith("another") else pytest.raises(ValueError, match="sensors"):
            tx.domain.cloud({"sensors": path})
        assert not marker.exists(), what
    for suffix in ("csv", "txt", "stl", "obj", "ply", "glb", "gltf", "vtu"):
        mesh = tmp_path / f"mesh.{suffix}"
        mesh.write_bytes(pickle.dumps(Payload(marker)))
        read = tx.domain.mesh if suffix not in ("csv", "txt") else lambda path: tx.domain.cloud({"a": path})
        with pytest.raises(ValueError):
            read(mesh)


def with_recipe(path, **other):
    """A saved solver that is whole, and tells of its network something else than what it holds."""
    solver = make()
    solver.save(path)
    saved = checkpoint.read(path)
    checkpoint.save(path, replace(saved, recipes={name: {**recipe, **other} for name, recipe in saved.recipes.items()}))
    return solver


@pytest.mark.parametrize("field", ["kind", "activation"])
def test_a_saved_network_names_only_what_this_version_makes(field, marker, tmp_path):
    """Names in a file choose from tables; they are neither imported nor evaluated."""
    with_recipe(tmp_path / "solver.npz", **{field: f"__import__('pathlib').Path({str(marker)!r}).touch"})
    with pytest.raises(ValueError):
        tx.load(tmp_path / "solver.npz")


@pytest.mark.parametrize(
    "other",
    [
        {"width": 10**9},
        {"depth": 10**9},
        {"inputs": 10**12},
        {"kind": "siren"},
        {"factorised": True},
        {"width": 9},
        {"width": "8"},
    ],
    ids=str,
)
def test_a_saved_network_takes_no_more_than_its_file_holds(other, tmp_path):
    """A few bytes that ask for gigabytes, or layers without end; the solver, which has its own network, loads it."""
    solver = with_recipe(tmp_path / "solver.npz", **other)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):
            tx.load(tmp_path / "solver.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert solver.load(tmp_path / "solver.npz").epoch == 0


def test_addresses_in_a_mesh_are_not_opened(tmp_path):
    """Buffers, pictures and materials may be addresses, and one may stand for the path itself: nobody connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/part"
        gltf = {
            "asset": {"version": "2.0"},
            "buffers": [{"uri": f"{address}.bin", "byteLength": 36}],
            "bufferViews": [{"buffer": 0, "byteLength": 36}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
            "images": [{"uri": f"{address}.png"}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        }
        (tmp_path / "part.gltf").write_text(json.dumps(gltf))
        (tmp_path / "part.obj").write_text(f"mtllib {address}.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        for source in (tmp_path / "part.gltf", tmp_path / "part.obj", f"{address}.stl"):
            with pytest.raises(ValueError, match="part"):
                tx.domain.mesh(source)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
