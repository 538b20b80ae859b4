"""Files with flipped bits, of another kind, or made to deceive: each is named as damaged, and nothing else is raised.

What was written is the oracle: reading gives all of it, or raises.
"""

import hashlib
import re
import struct
import zipfile

import numpy as np
import optax
import pytest
from run_problem import X, make
from test_resume import assert_same, refused, stopped

import tangrax as tx
from tangrax.analysis.record import read_record
from tangrax.checkpoint import archive
from tangrax.checkpoint.archive import Damaged, OtherFormat
from tangrax.checkpoint.run_directory import RunDirectory
from tangrax.domain import table_files

ARRAYS = {"state.step": np.arange(3, dtype=np.int32), "state.parameters[0]": np.linspace(0, 1, 12).reshape(3, 4)}
LEAVES = {name: [list(array.shape), str(array.dtype), None] for name, array in ARRAYS.items()}
SAID = {"problem": [], "optimizers": {}, "trackers": {}, "leaves": LEAVES, "points": {}}


def tiny(path, epoch=5):
    """A run's directory with a checkpoint of 28 numbers, and its file."""
    directory = RunDirectory(path)
    directory.open()
    directory.close()
    directory.write(epoch, SAID, ARRAYS, end=False)
    return directory, next((path / "checkpoints").iterdir())


def flips(path, places):
    """The file with each bit of these bytes flipped, one after the other."""
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place in places:
            for bit in range(8):
                file.seek(place)
                file.write(bytes([whole[place] ^ 1 << bit]))
                yield place, bit
            file.seek(place)
            file.write(whole[place : place + 1])


def sealed(content):
    """A file with the digest of what it holds now."""
    seal = hashlib.sha256(content[:-64] + bytes(64)).hexdigest()
    return content[:-64] + seal.encode()


def headers(path):
    """Places of all bytes that are not numbers: headers of entries and arrays, the central directory, the end."""
    content, places = path.read_bytes(), []
    end = 0
    with zipfile.ZipFile(path) as held:
        for entry in held.infolist():
            (size,) = struct.unpack_from("<H", content, content.index(b"\x93NUMPY", end) + 8)
            begin = content.index(b"\x93NUMPY", end) + 10 + size
            places += range(end, begin)
            end = content.index(b"PK\x07\x08", begin + entry.file_size - (begin - content.index(b"\x93NUMPY", end)))
    return [*places, *range(end, len(content))]


def test_every_flipped_bit_of_a_checkpoint_is_damage(tmp_path):
    """All bytes of it, headers and numbers: none is read as if nothing were, and nothing but Damaged is raised."""
    directory, path = tiny(tmp_path)
    count = 0
    for place, bit in flips(path, range(path.stat().st_size)):
        count += 1
        with pytest.raises(Damaged):
            directory.read(5)
            print(place, bit)
    assert count > 8000
    actual = directory.read(5)[1]
    assert actual.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(actual[name], array)


@pytest.mark.slow
def test_every_flipped_header_bit_of_a_trained_checkpoint_is_damage(tmp_path):
    make(width=2, optimizer=optax.sgd(1e-3)).solve(4, progress=False, run_dir=tmp_path)
    directory = RunDirectory(tmp_path)
    (path,) = (tmp_path / "checkpoints").iterdir()
    for _ in flips(path, headers(path)):
        with pytest.raises(Damaged):
            directory.read(4)


def test_headers_made_to_deceive_raise_nothing_else(tmp_path):
    """The digest of a changed header is made anew: what is read has the file's numbers, or is refused."""
    directory, path = tiny(tmp_path)
    whole, outcomes = path.read_bytes(), {"read": 0, "refused": 0}
    for place in headers(path)[:-72:7]:
        for bit in (0, 1, 4, 6):
            content = bytearray(whole)
            content[place] ^= 1 << bit
            path.write_bytes(sealed(bytes(content)))
            try:
                assert sum(array.nbytes for array in directory.read(5)[1].values()) < len(whole)
                outcomes["read"] += 1
            except (Damaged, OtherFormat):
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",  # 8 TB
        "{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (12,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-12,), }",
        "(" * 100,
        "-" * 110,
        "",
    ],
)
def test_sizes_that_headers_tell_are_compared_before_anything_is_allocated(header, tmp_path):
    path = tmp_path / "a.npz"
    archive.write(path, archive.SHOWN, {}, {"x": np.linspace(0, 1, 12)})
    content = path.read_bytes()
    begin = content.rindex(b"\x93NUMPY") + 10
    size = struct.unpack_from("<H", content, begin - 2)[0]
    path.write_bytes(sealed(content[:begin] + header.encode().ljust(size - 1) + b"\n" + content[begin + size :]))
    with pytest.raises(Damaged):
        archive.read(path, archive.SHOWN)


def test_compressed_entries_are_refused(tmp_path):
    """A megabyte of zeros as a kilobyte, with a digest of its own."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.comment = archive.MARK + bytes(64)
        with file.open("x.npy", "w") as entry:
            np.lib.format.write_array(entry, np.zeros(1 << 17))
    path.write_bytes(sealed(path.read_bytes()))
    with pytest.raises(Damaged, match="is compressed"):
        archive.read(path, archive.SHOWN)


def test_what_is_written_is_read_and_is_a_numpy_archive(tmp_path):
    """Names of any kind, orders, precisions, no dimension, no rows; numbers begin where they need not be copied."""
    arrays = {
        **ARRAYS,
        "file": np.array([True, False]),
        "ä\0%∂/= \ud800\n": np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
        "none": np.zeros((0, 4), np.complex64),
        "number": np.array(3, ">i8"),
    }
    archive.write(tmp_path / "a.npz", archive.SOLVER, {"k": "ü"}, arrays)
    about, actual = archive.read(tmp_path / "a.npz", archive.SOLVER)
    assert about == {"k": "ü", "kind": "solver", "format": archive.FORMAT}
    assert list(actual) == list(arrays)
    for name, array in arrays.items():
        assert actual[name].dtype == array.dtype and actual[name].flags.aligned and not actual[name].flags.writeable
        np.testing.assert_array_equal(actual[name], array, strict=True)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as held:
        assert len(held.files) == 1 + len(arrays)
        np.testing.assert_array_equal(held["state.parameters[0]"], ARRAYS["state.parameters[0]"])
    with zipfile.ZipFile(tmp_path / "a.npz") as held:
        assert held.testzip() is None


def test_the_digest_is_that_of_hashlib(tmp_path):
    path = tmp_path / "a.npz"
    archive.write(path, archive.SOLVER, {}, ARRAYS)
    assert sealed(path.read_bytes()) == path.read_bytes()


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory):
    """Files of a run that was stopped at epoch 20 of 30, and the unbroken run."""
    path = tmp_path_factory.mktemp("run")
    stopped(make(), 30, 20, path, checkpoint_every=10)
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*.*")}, make().solve(30, progress=False)


def again(files, path):
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    return sorted((path / "checkpoints").iterdir()), sorted((path / "history").iterdir())


@pytest.mark.parametrize("wrong", ["history", "shown", "earlier"])
def test_a_file_of_another_kind_as_newest_checkpoint_is_set_aside(wrong, cut_short, tmp_path, capsys):
    files, whole = cut_short
    (first, newest), (_, piece) = again(files, tmp_path)
    actual = {"history": piece, "shown": tmp_path / "shown.npz", "earlier": first}[wrong]
    newest.write_bytes(actual.read_bytes())
    solver = make().solve(30, progress=False, run_dir=tmp_path, checkpoint_every=10)
    assert_same(solver, whole)
    messages = {
        "history": "is no checkpoint: a history was",
        "shown": "a shown was",
        "earlier": "checkpoint of epoch 10",
    }
    errors = capsys.readouterr().err
    assert messages[wrong] in errors and newest.name in errors and "looking for the one before" in errors
    assert newest.with_suffix(".damaged").exists()


@pytest.mark.parametrize("wrong", ["checkpoint", "earlier"])
def test_a_file_of_another_kind_as_history_leaves_a_gap(wrong, cut_short, tmp_path, capsys):
    files, whole = cut_short
    (first, _), (early, piece) = again(files, tmp_path)
    piece.write_bytes((first if wrong == "checkpoint" else early).read_bytes())
    record = read_record(tmp_path)
    solver = make().solve(30, progress=False, run_dir=tmp_path)
    errors = capsys.readouterr().err
    assert errors.count("the history has a gap there") == 2 and piece.name in errors
    expected = np.setdiff1d(np.arange(30), np.arange(10, 20))
    np.testing.assert_array_equal(solver.history.epochs("loss"), expected)
    np.testing.assert_array_equal(solver.history["loss"], whole.history["loss"][expected])
    np.testing.assert_array_equal(record.history.epochs("loss"), np.arange(10))


def test_arrays_of_other_shapes_than_a_checkpoint_tells_are_damage(tmp_path):
    directory, path = tiny(tmp_path)
    about, arrays = archive.read(path, archive.CHECKPOINT)
    for changed in (
        (about, {**arrays, "state.step": np.arange(2, dtype=np.int32)}),
        (about, {**arrays, "state.step": np.arange(3)}),
        (about, {"state.step": arrays["state.step"]}),
        ({**about, "points": {"interior": ["line", 3]}}, {**arrays, "points/interior": np.zeros(3)}),
        ({name: about[name] for name in about.keys() - {"problem"}}, arrays),
    ):
        archive.write(path, archive.CHECKPOINT, *changed)
        with pytest.raises(Damaged, match=path.name):
            directory.read(5)


def test_a_file_of_an_earlier_version_is_told(tmp_path):
    np.savez(tmp_path / "old.npz", about=archive.encoded({"format": 1}), **ARRAYS)
    with pytest.raises(ValueError, match=r"old.npz is damaged, of an earlier version or not ours.* Save it anew"):
        tx.load(tmp_path / "old.npz")
    archive.write(tmp_path / "none.npz", archive.SOLVER, {"networks": {}, "history": [], "epoch": 1, "points": {}}, {})
    with pytest.raises(ValueError, match="holds no network"):
        tx.load(tmp_path / "none.npz")
    recipe = {"leaves": [""], "recipe": {"kind": "mlp", "activation": "no such"}}
    about = {"networks": {"net": recipe}, "history": [], "epoch": 1, "points": {}}
    archive.write(tmp_path / "net.npz", archive.SOLVER, about, {"network/net/0": np.zeros(1)})
    with pytest.raises(Damaged, match="no such"):
        tx.load(tmp_path / "net.npz")


def test_a_checkpoint_is_no_saved_solver(cut_short, tmp_path):
    (first, _), _ = again(cut_short[0], tmp_path)
    with pytest.raises(ValueError, match="is no solver: a checkpoint was written there"):
        tx.load(first)


def test_a_damaged_run_json_is_set_aside(cut_short, tmp_path, capsys):
    """Nested too deep for Python: a RecursionError of its own."""
    again(cut_short[0], tmp_path)
    (tmp_path / "run.json").write_text("[" * 100_000)
    refused_text = re.escape(str(tmp_path / "run.json"))
    with pytest.raises(ValueError, match=refused_text):
        read_record(tmp_path)
    make().solve(30, progress=False, run_dir=tmp_path)
    assert re.search(rf"{refused_text}.*it is set aside", capsys.readouterr().err)
    assert (tmp_path / "run.damaged").read_text().startswith("[[[")
    assert len(read_record(tmp_path).about["starts"]) == 1


def test_a_damaged_shown_is_told_in_a_report(cut_short, tmp_path, capsys):
    again(cut_short[0], tmp_path)
    (tmp_path / "shown.npz").write_bytes((tmp_path / "shown.npz").read_bytes()[:-100])
    assert read_record(tmp_path).view["fields"] == []
    assert "fields and spectra are not shown" in capsys.readouterr().err


def test_nothing_that_can_be_read_is_refused(cut_short, tmp_path):
    checkpoints, pieces = again(cut_short[0], tmp_path)
    for path in checkpoints:
        path.write_bytes(pieces[0].read_bytes())
    refused(make(), 30, tmp_path, r"none of its checkpoints \(10, 20\) can be read")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_flipped_bits_of_an_archive_of_measurements(write, tmp_path):
    """NumPy would read a smaller shape without a word: what is read here is what was written, or is refused."""
    arrays = {"x": np.linspace(0, 1, 7), "u": np.linspace(0, 1, 7).astype(np.float32)}
    path = tmp_path / "a.npz"
    write(path, **arrays)
    outcomes = {"read": 0, "refused": 0}
    for place, bit in flips(path, range(path.stat().st_size)):
        try:
            actual = table_files.read(path)
            for name in actual:
                np.testing.assert_array_equal(actual[name], arrays[name], err_msg=f"{place}, {bit}")
            assert set(actual) <= set(arrays)  # a column that the directory lost is refused when it is asked for
            outcomes["read"] += 1  # a date, say
        except ValueError as error:
            assert str(path) in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


def test_moved_points_of_other_columns_are_refused_and_nothing_is_loaded(tmp_path):
    """As a checkpoint and as a saved solver; a whole file, made by hand."""
    solver = make("moving").solve(8, progress=False, run_dir=tmp_path)
    solver.save(tmp_path / "a.npz")
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    for path, kind in ((tmp_path / "a.npz", archive.SOLVER), (checkpoint, archive.CHECKPOINT)):
        about, arrays = archive.read(path, kind)
        (name,) = about["points"]
        archive.write(path, kind, about, {**arrays, f"points/{name}": np.zeros((40, 3))})
    fresh = make("moving")
    before = fresh.eval(X.mean), fresh.epoch
    for load in (lambda: fresh.load(tmp_path / "a.npz"), lambda: fresh.solve(9, progress=False, run_dir=tmp_path)):
        with pytest.raises(ValueError, match="have 3 columns and its own 2"):
            load()
    assert (fresh.eval(X.mean), fresh.epoch) == before
