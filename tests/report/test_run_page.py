"""The page of a run: what it shows is what was recorded, and nothing of what a run says runs in it."""

import base64
import html.parser
import json
import re
import shutil
import subprocess

import matplotlib
import numpy as np
import optax
import pytest
from launching import PATIENCE

import tangrax as tx
from tangrax import analysis, checkpoint, report
from tangrax.report import fields

EVIL = "</title><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text outside of scripts and styles."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self._inside = [], "", []
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self._inside):
            self.text += data

    def images(self):
        return [attrs for tag, attrs in self.tags if tag == "img"]


def poisson(run_dir, devices=1, epochs=60, name="u", **more):
    """Trained a little, with all that a page can show of a problem of one coordinate."""
    domain = tx.domain.line(n=24)
    (x, _), (ends, _) = domain.variable("interior"), domain.variable("boundary")
    net = tx.nn.mlp(1, width=6, depth=1, key=1)
    u = net(x)
    J = u.grad(net)
    left = x < 0.5
    pde, edge = (u.d2(x) + tx.np.sin(tx.np.pi * x)).mse, 10 * net(ends).mse
    terms = {
        "pde": pde,
        "edge": edge,
        "halves": tx.np.cosine(J[left].mean, J[~left].mean).tracker(10),
        "all": tx.np.cosine([pde.grad(net), edge.grad(net), J[left].mean]).tracker(10),
        "kernel": J.spectrum(k=4).tracker(20),
        "largest": abs(u).max.tracker(10),
    }
    solver = tx.core(terms, optimizer=optax.adam(1e-2), devices=devices, dtype="float64")
    exact = tx.np.sin(tx.np.pi * x) / tx.np.pi**2
    show = {name: (u, exact), "K": J.spectrum(), "size": u.mse}
    return solver.solve(epochs, progress=False, run_dir=run_dir, checkpoint_every=20, show=show, **more)


def test_what_is_shown_is_what_was_recorded(devices, tmp_path):
    solver = poisson(tmp_path, devices)
    record = analysis.read_record(tmp_path)
    assert record.epoch == 60 and not record.running and record.start["epochs"] == [0, 60]
    for name in solver.history:
        np.testing.assert_array_equal(record.history[name], solver.history[name])
    assert [speed.epoch for speed in record.speeds] == [20, 40, 60]
    assert [speed.epochs_per_second > 0 for speed in record.speeds] == [False, True, True]
    # By hand: u and the exact solution at the points, in NumPy.
    at = solver.points("interior")
    leaves = [
        np.asarray(leaf) for leaf in checkpoint.leaves_of(*next(iter(solver.training.parameters.items()))).values()
    ]
    weights = [leaf for leaf in leaves if leaf.ndim == 2]
    biases = [leaf for leaf in leaves if leaf.ndim == 1]
    u = np.tanh(at[:, :1] @ weights[0].T + biases[0]) @ weights[1].T + biases[1]
    np.testing.assert_allclose(record.arrays["at/0"], at)
    np.testing.assert_allclose(record.arrays["field/0"], u[:, 0], rtol=1e-12)
    np.testing.assert_allclose(record.arrays["reference/0"], np.sin(np.pi * at[:, 0]) / np.pi**2, rtol=1e-12)
    np.testing.assert_allclose(record.view["numbers"]["size"], np.mean(u**2), rtol=1e-12)
    kinds = [(each["name"], each["kind"]) for each in record.view["fields"]]
    assert kinds == [("u", "solution"), ("pde", "residual"), ("edge", "residual")]
    # What a residual is: the term is its mean square, of the last step's parameters or near them.
    assert np.mean(record.arrays["field/1"] ** 2) == pytest.approx(solver.history["pde"][-1], rel=0.1)

    page = Page(report.write_report(tmp_path))
    for heading in ("Findings", "Solution", "Loss", "Cosines of gradients", "Tangent kernel", "Residuals", "Settings"):
        assert heading in page.text
    error = np.linalg.norm(record.arrays["field/0"] - record.arrays["reference/0"])
    assert f"{error / np.linalg.norm(record.arrays['reference/0']):.1e}" in page.text
    assert f"{solver.history['loss'][-1]:.2e}" in page.text and "epoch 60 of 60" in page.text
    assert len(page.images()) >= 10 and all(image["alt"] for image in page.images())
    assert (tmp_path / "report.html").stat().st_size < 5e6


@pytest.mark.slow
def test_a_page_needs_nothing_else(tmp_path):
    poisson(tmp_path, epochs=20)
    page = Page(report.write_report(tmp_path, tmp_path / "page.html"))
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    assert not re.search(r"https?://(?!www\.w3\.org|matplotlib\.org|purl\.org|creativecommons\.org)", page.source)
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv")]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    for image in page.images():
        content = base64.b64decode(image["src"].split(",", 1)[1])
        assert content.startswith((b"<?xml", b"\x89PNG"))


SETTINGS = {
    "text.usetex": True,
    "text.latex.preamble": r"\input{|id}",
    "font.size": 40.0,
    "axes.facecolor": "red",
    "axes.prop_cycle": matplotlib.cycler(color=["red"]),
    "savefig.dpi": 10,
    "savefig.bbox": "tight",
    "svg.fonttype": "none",
    "svg.hashsalt": "other",
    "path.sketch": (1, 100, 2),
    "image.cmap": "gray",
    "lines.linewidth": 20.0,
}


@pytest.mark.slow
def test_a_page_is_the_same_under_any_settings_of_matplotlib(tmp_path):
    """Such as a `matplotlibrc` makes; they hold again afterwards."""
    poisson(tmp_path, epochs=20)
    page = report.write_report(tmp_path).read_bytes()
    with matplotlib.rc_context(SETTINGS):
        assert report.write_report(tmp_path, tmp_path / "other.html").read_bytes() == page
        assert {name: matplotlib.rcParams[name] for name in SETTINGS} == SETTINGS


@pytest.mark.slow
def test_texts_of_a_run_are_escaped(tmp_path):
    """In names, in the settings, in the command: a run's directory may come from anywhere."""
    poisson(tmp_path, epochs=20, name=EVIL)
    about = json.loads((tmp_path / "run.json").read_text())
    about["starts"][-1] |= {"command": [EVIL], "host": EVIL, "versions": {EVIL: EVIL}}
    about["starts"][-1]["git"] = {"commit": "c" * 40, "changed": None}
    about |= {"terms": {EVIL: EVIL, "pde": EVIL}, "problem": [EVIL, "\x00\x1b[0m"], "precision": "float64, " + EVIL}
    (tmp_path / "run.json").write_text(json.dumps(about))
    page = Page(report.write_report(tmp_path))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "cccccccccccc, changes not known" in page.text
    assert EVIL in page.text and "alert(1)</script>" not in page.source.replace("&lt;", "<x").split("<x")[0]
    assert all(image["src"].startswith("data:") for image in page.images())


def test_of_a_live_run(tmp_path):
    """Written between two checkpoints of a run that goes on."""
    seen = []

    class Look:
        def on_start(self, run): ...

        def on_stretch(self, stretch):
            if stretch.epoch == 40:
                record = analysis.read_record(tmp_path)
                seen.append((record.running, record.epoch, "running" in Page(report.write_report(tmp_path)).text))

        def on_end(self): ...

    poisson(tmp_path, listeners=[Look()])
    ((running, epoch, said),) = seen
    assert running and said and 20 <= epoch <= 40


def test_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        report.write_report(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="is not what a run writes"):
        report.write_report(tmp_path)
    (tmp_path / "run.json").write_text('{"starts": [{"epochs": "no"}]}')
    with pytest.raises(ValueError, match="not what this version"):
        report.write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
    poisson(tmp_path / "run", epochs=20)
    with pytest.raises(ValueError, match="name of a file"):
        report.write_report(tmp_path / "run", tmp_path)


@pytest.mark.parametrize("what", ["u", ("u", 1), "group", "coordinates"])
def test_what_cannot_be_shown_is_refused_before_training(what, tmp_path):
    x, _ = tx.domain.line(n=8).variable("interior")
    u = tx.nn.mlp(1, width=3, depth=1)(x)
    show = {"group": u[x < 0.5], "coordinates": analysis.Field(u, np.zeros(3), np.zeros((3, 5)))}.get(what, what)
    solver = tx.core([u.mse], optimizer=optax.sgd(0.1), devices=1)
    with pytest.raises((TypeError, ValueError), match=r"solve\(show=…\)"):
        solver.solve(5, run_dir=tmp_path / "run", show={"it": show})
    assert solver.epoch == 0 and not (tmp_path / "run").exists()


@pytest.mark.parametrize("columns", [2, 3])
def test_points_of_what_is_shown_are_those_of_eval(columns, tmp_path, devices):
    """A steady problem has no time: with a column of zeros for it or without, the same values are written."""
    x, y, _ = tx.domain.rect(n=8).variable("interior")
    u = tx.nn.mlp(2, width=3, depth=1)(x, y)
    at = np.random.default_rng(0).random((5, 2))
    field = analysis.Field(u, np.arange(5.0), np.pad(at, ((0, 0), (0, columns - 2))))
    solver = tx.core([u.mse], optimizer=optax.sgd(0.1), devices=devices, dtype="float64")
    solver.solve(1, progress=False, run_dir=tmp_path, show={"u": field})
    arrays = analysis.read_record(tmp_path).arrays
    np.testing.assert_array_equal(arrays["at/0"], np.pad(at, ((0, 0), (0, 1))))
    np.testing.assert_array_equal(arrays["field/0"], solver.eval(u, points={"interior": at}))
    with pytest.raises(ValueError, match=r"solve\(show=…\): 'u': .* the problem is steady"):
        analysis.ReportData(
            {"u": analysis.Field(u, np.arange(5.0), np.pad(at, ((0, 0), (0, 1)), constant_values=1.0))}, {}
        )
    with pytest.raises(TypeError, match="complex numbers"):
        analysis.ReportData({"u": analysis.Field(u, np.arange(5) + 1j, at)}, {})


# Fields over several coordinates


@pytest.mark.parametrize("d, count", [(1, 1), (2, 1), (3, 8), (4, 8)])
def test_frames(d, count):
    """Slices along the last coordinate: each point in one at most, all of them within it, none lost of three."""
    at = np.random.default_rng(0).random((4000, d))
    frames = fields.frames(at, ["x", "y", "z", "t"])
    assert len(frames) == count
    used = sum(frame.rows.astype(int) for frame in frames)
    assert used.max() == 1
    if d < 4:
        assert used.min() == 1
    if d > 2:
        for i, frame in enumerate(frames):
            assert at[frame.rows, -1].min() >= i / 8 - 1e-3 and at[frame.rows, -1].max() <= (i + 1) / 8 + 1e-3


def test_maps_leave_holes_open():
    """Triangles of a ring of points: their area is that of the ring, not of the disk."""
    random = np.random.default_rng(1)
    radius, angle = np.sqrt(random.uniform(0.25, 1, 3000)), random.uniform(0, 2 * np.pi, 3000)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    drawing = report.triangles(x, y)
    corners = drawing.get_masked_triangles()
    a, b, c = (np.stack([x, y], 1)[corners[:, i]] for i in range(3))
    area = 0.5 * abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum()
    assert area == pytest.approx(0.75 * np.pi, rel=0.03)


@pytest.mark.parametrize("shape", ["circle", "sides"])
def test_a_boundary_is_drawn_as_dots(shape):
    along = np.random.default_rng(3).random(80)
    x, y = (np.cos(6.28 * along), np.sin(6.28 * along)) if shape == "circle" else (np.arange(80) % 2 * 1.0, along)
    (dots,) = report.field(np.stack([x, y], 1), along, ["x", "t"]).collections
    np.testing.assert_array_equal(dots.get_offsets(), np.stack([x, y], 1))
    np.testing.assert_array_equal(dots.get_array(), along)


@pytest.mark.parametrize("d", [1, 2])
def test_a_field_is_drawn_as_it_is(d, tmp_path):
    random = np.random.default_rng(2)
    at = np.column_stack([random.random((60, d)), np.zeros(60)])
    values = at[:, 0] - 0.5
    values[3] = np.nan
    axes = report.field(at, values, [*["x", "y"][:d], "t"], signed=True)
    finite = np.isfinite(values)
    if d == 1:
        (line,) = axes.lines
        order = np.argsort(at[:, 0])
        np.testing.assert_array_equal(line.get_xydata(), np.stack([at[:, 0], values], 1)[order])
    else:
        (mesh,) = axes.collections
        np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan)[finite], values[finite])
        assert mesh.get_clim() == (-np.abs(values[finite]).max(), np.abs(values[finite]).max())
    assert report.save(axes, tmp_path / "field.png").stat().st_size > 3000


def test_eigenvalues_over_epochs():
    values = np.array([[4.0, 1.0], [8.0, 2.0]])
    axes = report.spectrum_history(np.array([0, 10]), values, 0.1)
    curves = [line.get_ydata().tolist() for line in axes.lines]
    assert curves[:2] == [[4, 8], [1, 2]] and np.allclose(curves[2], [0.4, 0.8])


@pytest.mark.processes
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_in_a_browser(tmp_path):
    """Sliders show one frame at a time, and the console stays empty."""
    x, y, t = tx.domain.rect(n=400).over_time(0.0, 1.0).variable("interior")
    u = tx.nn.mlp(3, width=4, depth=1)(x, y, t)
    solver = tx.core({"pde": (u.d(t) - u.laplacian(x, y)).mse}, optimizer=optax.adam(1e-3), devices=1)
    solver.solve(20, progress=False, run_dir=tmp_path / "run", show={"u": (u, x * y)})
    page = report.write_report(tmp_path / "run")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    run = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=PATIENCE)
    assert "CONSOLE" not in run.stderr, run.stderr
    (tmp_path / "dom.html").write_text(run.stdout)
    dom = Page(tmp_path / "dom.html")
    knobs = [attributes for tag, attributes in dom.tags if tag == "input"]
    assert len(knobs) == 2 and all("display: block" in knob["style"] for knob in knobs)
    frames = sum(int(knob["max"]) + 1 for knob in knobs)
    assert [("hidden" in a) for t, a in dom.tags if t == "div"].count(True) == frames - 2
