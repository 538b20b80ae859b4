"""Names of terms, trackers, fields, networks and tags: any printable text goes through files, tables and pictures.

The texts themselves are the oracle: what is read, drawn and printed is what was given.
"""

import csv
import io
import json
import shutil
from xml.etree import ElementTree

import meshio
import numpy as np
import optax
import pytest
from matplotlib import rc_context
from rich.console import Console

import tangrax as tx
from tangrax import report
from tangrax.analysis import Field, read_record, summary
from tangrax.monitor import ProgressBar
from tangrax.solve import History

ODD = ["a\0b", "\ud800", "a\nb", "\x1b[2J", "a\u202eb", "", "  ", "x" * 201]
FINE = ["∂u", "$u$", "cost $", r"\$", "_res", "[/x]", "=cmd|' /C calc'!A0", ":smile:", "a/b%41.npy", "ü, ν", "about"]
X, _ = tx.domain.line(n=8).variable("interior")
SHAPE = tx.domain.rect()
PLACES = {
    "a term": lambda name: tx.core({name: (tx.nn.parameter(1.0) - X).mse}, optimizer=optax.sgd(0.1), devices=1),
    "a label": lambda name: (X * 2).mse.named(name),
    "a tracker": lambda name: X.mse.tracker(2, name=name),
    "a tracker named": lambda name: X.mse.tracker(2).named(name),
    "a network": lambda name: tx.nn.wrap(lambda p, z: p * z, np.ones(1), name=name),
    "a parameter": lambda name: tx.nn.parameter(1.0, name=name),
    "a tag": lambda name: tx.domain.line(n=8).points(name, np.array([0.5])),
    "a cloud's tag": lambda name: tx.domain.cloud({name: np.zeros((3, 2))}),
    "measurements": lambda name: tx.domain.line(n=8).values("interior", np.zeros(8), name),
    "a piece": SHAPE.named,
    "an edge": lambda name: tx.domain.polygon([(0, 0), (1, 0), (0, 1)], names=[name, None, None]),
    "an exported field": lambda name: tx.export.arguments.ExportedFields.of({name: X}),
    "a shown field": lambda name: tx.analysis.ReportData({name: X}, {}),
    "an axis": lambda name: Field(X, over={name: X}).check("u"),
}


@pytest.mark.parametrize("place", PLACES)
def test_names_that_no_file_or_terminal_keeps_are_refused_where_they_are_given(place):
    for name in ODD:
        if not name and place in ("a network", "a parameter"):
            continue  # none given: they have one of their own
        with pytest.raises(ValueError, match="name") as raised:
            PLACES[place](name)
        str(raised.value).encode()
    PLACES[place]("∂u")


def test_what_is_no_text_is_no_name():
    for place in ("a term", "an exported field"):
        with pytest.raises(TypeError, match="3 is no name: give a text"):
            PLACES[place](3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run all of whose names are odd but fine, twice as long as its first call of `solve`, with its table."""
    path = tmp_path_factory.mktemp("run")
    output = io.StringIO()
    listeners = lambda: [ProgressBar(Console(file=output, width=300)), tx.sinks.csv(path / "log.csv")]

    def make():
        cloud = tx.domain.cloud({"$tag": np.linspace(0, 1, 12)[:, None]})
        x, _ = cloud.variable("$tag")
        k = tx.nn.parameter(0.5, name="=net|\\$%00")
        terms = {name: (k * x - i).mse if i < 3 else abs(k * x - i).mean for i, name in enumerate(FINE)}
        terms["[/tracker]"] = (k * x).mse.tracker(2, warn_below=10.0)
        return tx.core(terms, optimizer=optax.sgd(0.01), devices=1, dtype="float64"), k, x

    for epochs in (4, 8):
        solver, k, x = make()
        show = {"$u": k * x, "_v$": (k * x, x), "=K": (k * x).grad(k).spectrum()}
        solver.solve(epochs, progress=False, run_dir=path / "run", show=show, listeners=listeners())
    return path, solver, k, x, output.getvalue()


def test_names_come_back_from_a_run_and_a_saved_solver(trained, tmp_path):
    path, solver, k, *_ = trained
    record = read_record(path / "run")
    assert set(FINE) < set(record.history) and record.history.keys() == solver.history.keys()
    np.testing.assert_array_equal(record.history.epochs("$u$"), np.arange(8))
    solver.save(tmp_path / "a.npz")
    before = solver.module(k)
    np.testing.assert_array_equal(tx.load(tmp_path / "a.npz"), before)
    solver.load(tmp_path / "a.npz")
    assert set(solver.history) == set(record.history)


def test_names_are_drawn_on_a_page(trained):
    page = report.write_report(trained[0] / "run").read_text()
    for name in ("∂u", "cost $", "=cmd|' /C calc'!A0", "$u", "_v$"):
        assert name in page


def test_names_that_look_like_markup_are_printed_as_they_are(trained):
    output = trained[-1]
    for name in ("∂u", "$u$", "cost $", r"\$"):  # as many as a line has room for
        assert name in output
    assert "warning: epoch 0: [/tracker] = " in output


def test_heads_of_tables_are_no_formulas(trained, tmp_path):
    """The second call found the table that the first began, and added no column."""
    path, solver, k, x, _ = trained
    with (path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    head = list(rows[0])
    assert "'=cmd|' /C calc'!A0" in head and "$u$" in head and len(head) == len(set(head))
    assert float(rows[-1]["'=cmd|' /C calc'!A0"]) == solver.history["=cmd|' /C calc'!A0"][7]
    solver.export(tmp_path / "a.csv", {"=1+1": k * x, "-u": k * x, "＋u": k * x, " @u": k * x, "u-v": k * x})
    heads = next(csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert heads == ["x", "'=1+1", "'-u", "'＋u", "' @u", "u-v"]


def test_names_of_fields_come_back_from_files_of_vtk(trained, tmp_path):
    """The XML file read by Python's own parser, the other one by meshio."""
    _, solver, k, x, _ = trained
    names = ["∂u", "$u$", '"q"', "</x>", "a&b"]
    for kind in ("vtu", "vtk"):
        solver.export(tmp_path / f"a.{kind}", dict.fromkeys(names, k * x))
    read = ElementTree.parse(tmp_path / "a.vtu").iter("DataArray")
    assert set(names) <= {each.get("Name") for each in read}
    assert set(names) <= set(meshio.read(tmp_path / "a.vtk").point_data)


def test_names_are_drawn_letter_by_letter(tmp_path):
    """Matplotlib's own text in an SVG file; mathematics would be drawn without its dollars."""
    one, x = (np.arange(3), np.ones(3)), np.linspace(0, 1, 12)
    history = History.of({"loss": one, **dict.fromkeys(FINE, one)})
    pictures = {
        "losses": (report.losses(history), FINE),
        "tracker": (report.tracker(history, FINE, cosine=False), FINE),
        "cosines": (report.cosine_history(np.arange(2), np.ones((2, 11, 11)), FINE), [f"∂u · {n}" for n in FINE[1:]]),
        "leaves": (report.leaf_cosines(FINE, np.ones(11)), FINE),
        "field": (report.field(np.stack([x, 0 * x], axis=1), x, ["$u$", "y"]), ["$u$"]),
    }
    for kind, (axes, names) in pictures.items():
        with rc_context({"svg.fonttype": "none"}):
            report.save(axes, tmp_path / f"{kind}.svg")
        text = (tmp_path / f"{kind}.svg").read_text(encoding="utf-8")
        texts = [each.text.lstrip("\u200b") for each in ElementTree.fromstring(text).iter() if each.text]
        assert set(names) <= set(texts), kind


def test_what_a_directory_from_elsewhere_tells_commands_no_terminal(trained, tmp_path):
    """Control characters and half characters in its texts, as JSON can hold them."""
    shutil.copytree(trained[0] / "run", tmp_path / "run")
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    about["precision"] = "float64\x1b[2J\ud800"
    (tmp_path / "run" / "run.json").write_text(json.dumps(about))
    text = summary(read_record(tmp_path / "run"))
    assert "\x1b" not in text and text.encode() and "float64[2J" in text


def test_parameters_whose_keys_are_no_names_are_not_exported(tmp_path):
    """Keys of a module's dicts may be anything; ZIP files cut them at NUL. Checkpoints keep them, escaped."""
    make = lambda: tx.nn.wrap(lambda p, z: p["a\0b"] * z, {"a\0b": np.ones(1)}, name="net")
    net = make()
    solver = tx.core([(net(X) - X).mse], optimizer=optax.adam(0.1), devices=1, dtype="float64")
    with pytest.raises(ValueError, match=r"'net/a\\x00b' is no name"):
        solver.export(tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()
    solver.solve(2, progress=False, run_dir=tmp_path / "run")
    again = tx.core([(make()(X) - X).mse], optimizer=optax.adam(0.1), devices=1, dtype="float64")
    assert again.solve(3, progress=False, run_dir=tmp_path / "run").timing.epochs == 1
