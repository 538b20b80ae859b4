"""Pages of HTML that need nothing beside them. Every text is escaped, as the tree is written out."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from matplotlib import rc_context

from ..checkpoint.atomic_files import atomic_write
from ..expr.markup import Child, Element, element
from .canvas import Axes

STYLE = (Path(__file__).parent / "page.css").read_text()
SCRIPT = (Path(__file__).parent / "page.js").read_text()


def section(title: str, *children: Child, note: str = "") -> Element:
    lead = [element("p", note, klass="note")] if note else []
    return element("section", element("h2", title), *lead, *children)


def table(rows: Iterable[Sequence[Child]], head: Sequence[str] = ()) -> Element:
    """Return a table whose rows begin with their names."""
    top = [element("thead", element("tr", *(element("th", name, scope="col") for name in head)))] if head else []
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    return element("div", element("table", *top, element("tbody", *body)), klass="wide")


def details(title: str, *children: Child) -> Element:
    return element("details", element("summary", title), *children)


def picture(axes: Axes, alt: str, *, sharp: bool = True) -> Element:
    """Return a figure as an image within the page: as curves, or with many colours (`sharp=False`) as dots."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    content = io.BytesIO()
    # Without a fixed salt and date, the same run would give other bytes each time.
    with rc_context({"svg.hashsalt": "tangrax"}):
        if sharp:
            figure.savefig(content, format="svg", metadata={"Date": None})
        else:
            figure.savefig(content, format="png", dpi=100)
    kind = "svg+xml" if sharp else "png"
    source = f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
    return element("figure", element("img", src=source, alt=alt))


def slider(frames: Mapping[str, Element], name: str) -> Element:
    """Return pictures shown one at a time, by a slider; without scripts, all of them one below the other."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    pictures = [element("div", element("p", label, klass="label"), figure) for label, figure in frames.items()]
    knob = element("input", type="range", min="0", max=str(len(pictures) - 1), value="0", aria_label=name)
    return element("div", knob, *pictures, klass="slider")


def write(path: Path, title: str, children: Sequence[Child]) -> None:
    """Write the page atomically."""
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    # Nothing is loaded from elsewhere and no script runs but ours, whatever a name in a run would say.
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", STYLE),
    )
    body = element("body", element("main", *children), element("script", SCRIPT))
    text = ElementTree.tostring(element("html", head, body, lang="en"), encoding="unicode", method="html")
    with atomic_write(path) as file:
        file.write(f"<!doctype html>\n{text}\n".encode())
