"""Tables of HTML, as notebooks show objects. Every text is escaped, as the tree is written out."""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

import numpy as np

Element = ElementTree.Element
Child = Element | str

# A notebook, light or dark, sets the colours: text takes its own, and a half-transparent grey reads on both.
CELL = "text-align: left; vertical-align: top; padding: 0.15em 1.2em 0.15em 0"
LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.35)"
LIGHT, BOLD = "font-weight: normal", "font-weight: bold"
WHOLE, BROKEN = "white-space: nowrap", "overflow-wrap: break-word"
FEW = 4  # entries of an array that are shown one by one
SHORT = 28  # characters of a cell that stay on one line


def element(tag: str, *children: Child, **attributes: str) -> Element:
    """An element with text and other elements in it; `klass` is its class, an underscore stands for a hyphen."""
    values = {
        ("class" if name == "klass" else name.replace("_", "-")): printable(value) for name, value in attributes.items()
    }
    node = Element(tag, values)
    for child in children:
        if not isinstance(child, str):
            node.append(child)
        elif len(node):
            node[-1].tail = (node[-1].tail or "") + printable(child)
        else:
            node.text = (node.text or "") + printable(child)
    return node


def code(text: object) -> Element:
    return element("code", str(text), style="background: none; color: inherit; padding: 0")


def table(rows: Iterable[Sequence[Child]], head: Sequence[str] = (), marked: int | None = None) -> Element:
    """A table whose rows begin with their names; the one of index `marked` is bold."""
    top = [element("th", name, scope="col", style=f"{CELL}; {LINE}; opacity: 0.7; {LIGHT}; {WHOLE}") for name in head]
    body = []
    for index, (name, *cells) in enumerate(rows):
        weight = BOLD if index == marked else LIGHT
        row = [_cell("th", name, weight, scope="row"), *(_cell("td", cell, weight) for cell in cells)]
        body.append(element("tr", *row))
    parts = [*([element("thead", element("tr", *top))] if top else []), element("tbody", *body)]
    return element("table", *parts, style="border-collapse: collapse; margin: 0.3em 0 0.8em 0; font-size: inherit")


def _cell(tag: str, content: Child, weight: str, **attributes: str) -> Element:
    short = isinstance(content, str) and len(content) <= SHORT
    return element(tag, content, style=f"{CELL}; {weight}; {WHOLE if short else BROKEN}", **attributes)


def view(title: str, *children: Child) -> str:
    """HTML for `_repr_html_`: a title, and what is below it."""
    head = element("div", title, style=f"{BOLD}; overflow-wrap: anywhere")
    box = element("div", head, *children, style="overflow-x: auto")
    return ElementTree.tostring(box, encoding="unicode", method="html")


def figure(value: object) -> str:
    """A number as a person reads it; of an array its few entries, or how many there are and their range."""
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    # The floats of JAX that NumPy has not, such as bfloat16, have no format of their own.
    entries = np.asarray(value, dtype=np.float64).ravel()
    if len(entries) <= FEW:
        return ", ".join(f"{entry:.4g}" for entry in entries)
    finite = entries[np.isfinite(entries)]
    if len(finite) == 0:
        return f"{len(entries)} numbers, none finite"
    lost = f", {len(entries) - len(finite)} not finite, others" if len(finite) < len(entries) else ""
    return f"{len(entries)} numbers{lost} from {finite.min():.4g} to {finite.max():.4g}"


def printable(text: object) -> str:
    """Without characters that a page cannot hold."""
    return "".join(c for c in str(text) if c in "\n\t" or (c.isprintable() and c.encode(errors="ignore")))
