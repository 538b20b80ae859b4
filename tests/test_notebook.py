"""What notebooks show: valid, escaped, and the numbers of the object."""

from html.parser import HTMLParser

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tangrax as tx
from tangrax.expr import markup
from tangrax.jacobian import Spectrum
from tangrax.jacobian.plan import Plan, Way
from tangrax.jacobian.spectrum_picture import MOST
from tangrax.report import page
from tangrax.solve import History

VOID = {"br", "hr", "img", "input", "meta"}
EVIL = "</table><script>alert('&')</script>"
DOMAIN = tx.domain.rect(mesh_size=0.25)
X, Y, _ = DOMAIN.variable("interior")
XB, YB, _ = DOMAIN.variable("boundary")


class Page(HTMLParser):
    """Tables as lists of rows of texts, and all elements with their attributes; every element must be closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.title = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data
        elif not self.tables:
            self.title += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def view_of(thing):
    text = thing._repr_html_()
    assert "background: #" not in text and "color: #" not in text, "a notebook, light or dark, sets the colours"
    parsed = Page(text)
    assert not parsed.of("script") and not parsed.of("style")
    return parsed


def solver_of(devices, terms=None):
    net = tx.nn.mlp(2, width=4, depth=2, name="net")
    k = tx.nn.parameter(2.0, name="k")
    u = net(X, Y)
    pde = k * u.laplacian(X, Y) - 1
    problem = {"pde": pde.mse, "edge": net(XB, YB).mse, "worst": abs(pde).max.tracker(2)}
    problem["K"] = u.grad(net).spectrum(5).tracker(3)
    solver = tx.core({**problem, **(terms or {})}, optimizer=optax.adam(1e-2), devices=devices, dtype="float64")
    return solver, net, u, pde


# Solvers


def test_solver(devices):
    solver, *_ = solver_of(devices)
    before = view_of(solver)
    assert before.tables[0][0] == ["loss", "nothing recorded yet"] and before.tables[1][1][2] == "—"
    solver.solve(5, progress=False)
    parsed = view_of(solver)
    facts, terms, trackers, networks, points = parsed.tables
    history = solver.history
    assert parsed.title == "solver at epoch 5"
    assert facts == [
        ["loss", f"{history['loss'][-1]:.4g} at epoch 4"],
        ["stalled", "no"],
        ["devices", f"{devices} × cpu"],
        ["precision", solver.precision],
    ]
    assert [row[0] for row in terms] == ["term", "pde", "edge"]
    assert [row[2] for row in terms[1:]] == [f"{history[name][-1]:.4g}" for name in ("pde", "edge")]
    worst, kernel = trackers[1:]
    assert worst[0] == "worst" and worst[2:] == ["2", f"{history['worst'][-1]:.4g}", "4"]
    assert kernel[0] == "K" and kernel[2] == "3" and kernel[4] == "3"
    assert f"effective_rank {history['K/effective_rank'][-1]:.4g}" in kernel[3]
    values = history["K/eigenvalues"][-1]
    assert f"eigenvalues 5 numbers from {values.min():.4g} to {values.max():.4g}" in kernel[3]
    # 2 → 4 → 4 → 1, with biases; 3 inner grid points each way of 5, 16 on the edge.
    assert networks[1:] == [["net", "37", "yes"], ["k", "1", "yes"]]
    assert points[1:] == [["interior", "9"], ["boundary", "16"]]


def test_solver_shows_why_it_stalled(monkeypatch):
    solver, *_ = solver_of(1)
    monkeypatch.setattr(type(solver), "stalled", "round-off <1e-16>")
    assert view_of(solver).tables[0][1] == ["stalled", "round-off <1e-16>"]


def test_names_are_escaped():
    solver, *_ = solver_of(1, {EVIL: (X * Y).mean, EVIL + "2": (X + Y).mean.tracker(1)})
    solver.solve(1, progress=False)
    _, terms, trackers, *_ = view_of(solver).tables
    assert EVIL in [row[0] for row in terms] and EVIL + "2" in [row[0] for row in trackers]
    assert EVIL in [row[0] for row in view_of(solver.history).tables[0]]
    assert view_of(Plan(EVIL, (Way(EVIL, 1, 1.0),), 2, 1, "")).tables[0][1][0] == EVIL
    other = tx.nn.mlp(2, width=2, depth=1, name=EVIL)
    assert EVIL in view_of(other(X, Y).grad(other).gram()).title


def test_text_that_no_page_can_hold_is_left_out():
    parsed = Page(markup.view("a\x00b\ud800c", markup.element("p", "x", title="\x01y")))
    assert parsed.title.startswith("abc") and parsed.of("p") == [{"title": "y"}]
    assert page.element is markup.element


def test_history():
    history = History()
    assert view_of(history).title == "historynothing yet"
    history.append("loss", np.array([0, 1, 2]), np.array([4.0, 2.0, 1.25]))
    history.append("cosines", np.array([0, 2]), np.array([[1.0, np.nan, 3, 4, 5], [0.5, 1, 2, 3, 4]]))
    history.append("late", np.array([2]), np.array([1.0]))
    assert view_of(history).tables[0] == [
        ["name", "values", "first", "last", "last epoch"],
        ["loss", "3", "4", "1.25", "2"],
        ["cosines", "2", "5 numbers, 1 not finite, others from 1 to 5", "5 numbers from 0.5 to 4", "2"],
        ["late", "1", "1", "1", "2"],
    ]
    history.truncate(2)
    assert view_of(history).tables[0][3] == ["late", "0", "—", "—", "—"]


@pytest.mark.parametrize(
    "value, text",
    [
        (1234567, "1,234,567"),
        (np.float32(0.25), "0.25"),
        (jnp.asarray(1.5, "bfloat16"), "1.5"),
        ([1.0, 2.0], "1, 2"),
        (np.full(6, np.nan), "6 numbers, none finite"),
    ],
)
def test_figures(value, text):
    assert markup.figure(value) == text


# Spectra


def circles(view):
    return [(float(c["cx"]), float(c["cy"]), c["fill"], c["stroke"]) for c in view.of("circle")]


def straight(x, y):
    """What is left of y beside a straight line in x."""
    return np.abs(np.polyval(np.polyfit(x, y, 1), x) - y).max()


def test_spectrum():
    singular = np.array([1e2, 3.0, 1e-1, 1e-2, 1e-4, 1e-9, 0.0])
    spectrum = Spectrum(singular, rows=7, columns=9, eps=1e-7)
    view = view_of(spectrum)
    title, *lines = str(spectrum).splitlines()
    assert view.title == title
    assert [" ".join(row).split() for row in view.tables[0]] == [line.split() for line in lines]
    assert dict(view.tables[0])["largest eigenvalue"] == "1e+04"
    # 4 ε σ_max is 4e-5: σ = 1e-4 is detectable and no more, 1e-9 and 0 are rounding.
    circles_drawn = circles(view)
    assert len(circles_drawn) == spectrum.detectable == 5
    # 1 % of 1e-2 squared is 1e-6, and 2 · 1e-2 · 4e-5 is 8e-7.
    assert [fill for *_, fill, _ in circles_drawn] == ["currentColor"] * 4 + ["none"]
    assert [stroke for *_, stroke in circles_drawn] == ["currentColor"] * 4 + ["gray"]
    x, y = np.array([c[0] for c in circles_drawn]), np.array([c[1] for c in circles_drawn])
    assert straight(np.log(np.arange(1, 6)), x) < 0.1 and straight(np.log(singular[:5]), y) < 0.1
    (dashed,) = [line for line in view.of("line") if "stroke-dasharray" in line]
    per_decade = (y[4] - y[0]) / 12
    assert float(dashed["y1"]) == pytest.approx(y[0] + per_decade * np.log10(1e4 / spectrum.floor), abs=0.2)
    (picture,) = view.of("svg")
    assert picture["aria-label"].startswith("5 of 7 eigenvalues")
    assert all(0 < float(line[end]) < int(picture["width"]) for line in view.of("line") for end in ("x1", "x2"))


@pytest.mark.parametrize("count, most", [(40, 40), (5000, MOST)])
def test_of_many_eigenvalues_some_are_drawn(count, most):
    spectrum = Spectrum(np.geomspace(1, 1e-3, count), rows=count, columns=count, eps=1e-16)
    circles_drawn = circles(view_of(spectrum))
    assert most / 2 < len(circles_drawn) <= most
    assert circles_drawn[0][1] < circles_drawn[-1][1] and np.all(np.diff([x for x, *_ in circles_drawn]) >= 0)


def test_nothing_is_drawn_of_nothing():
    assert not view_of(Spectrum(np.zeros(2), rows=2, columns=4, eps=1e-16)).of("svg")


def test_one_eigenvalue():
    assert len(circles(view_of(Spectrum(np.array([2.0]), rows=1, columns=4, eps=1e-16)))) == 1


def test_spectrum_of_a_solver(devices):
    solver, net, u, _ = solver_of(devices)
    J = u.grad(net)
    spectrum = solver.eval(J.spectrum())
    rows = solver.eval(J)
    view = view_of(spectrum)
    largest = np.linalg.eigvalsh(rows @ rows.T)[-1]
    assert float(dict(view.tables[0])["largest eigenvalue"]) == pytest.approx(largest, rel=1e-3)
    assert len(circles(view)) == 9


# Plans and requests


def test_plan():
    ways = (Way("first", 5000, 1e9, 10), Way("second", 50, 2e9, note="slow"), Way("third", 5, 3e9))
    plan = Plan("K", ways, 100, 2, "")
    view = view_of(plan)
    assert view.title == str(plan).splitlines()[0]
    for row, line in zip(view.tables[0], str(plan).splitlines()[1:], strict=True):
        assert " ".join(row).split() == line.split()
    assert [row[4] for row in view.tables[0][1:]] == ["does not fit", "chosen: the first that fits; slow", "fits"]
    bold = ["bold" in cell["style"] for cell in view.of("td")]
    assert bold == [False] * 4 + [True] * 4 + [False] * 4
    assert not any("bold" in cell["style"] for cell in view_of(Plan("K", ways[:1], 100, 2, "")).of("td"))


def test_request():
    _, net, u, pde = solver_of(1)
    J, other = u.grad(net), pde.grad(net)
    some = dict(view_of(J[X < 0.4].gram()).tables[0])
    assert some["rows of J"] == "at most 9 (9 points of 'interior')" and some["parameters"] == "37 (37 of 37 of 'net')"
    two = dict(view_of(J.gram(net(XB, YB).grad(net))).tables[0])
    assert two["rows of J_a"].startswith("9 ") and two["rows of J_b"] == "16 (16 points of 'boundary')"
    assert two["J_b"] == str(net(XB, YB).grad(net))
    view = view_of(other.spectrum(k=3, vectors=2))
    assert view.title == str(other.spectrum(k=3, vectors=2))
    assert view.tables[0][-2:] == [["k", "3"], ["vectors", "2"]]
    assert dict(view_of(J.dual_gram()).tables[0])["what"] == "JᵀJ"


def test_rows_of_several_components_and_some_parameters():
    net = tx.nn.mlp(2, 3, width=4, depth=2, name="net")
    mask = eqx.tree_at(lambda m: m.layers[0].weight, jax.tree.map(lambda _: False, net.params), True)
    facts = dict(view_of(net(X, Y).grad(net.mask(mask)).gram()).tables[0])
    assert facts["rows of J"] == "27 (9 points of 'interior', 3 components)"
    # 2 → 4 → 4 → 3, with biases; the first weight has 8 numbers.
    assert facts["parameters"] == "8 (8 of 47 of 'net')"
