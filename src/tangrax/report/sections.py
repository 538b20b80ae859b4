"""The sections of a run's page, each from its record; None where there is nothing to show."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..analysis import Record, findings
from ..solve import TOTAL, History
from . import cosines, fields, kernel_pictures as kernel, plots
from .canvas import COLOURS, finish, new_axes, plain
from .page import Element, details, element, picture, section, slider, table

POINTS = 1500  # of a curve; more are not told apart
OWN = "range of its own"
PICTURES = 24  # frames of all sliders together, so that a page stays small


def heading(record: Record) -> Element:
    start = record.start
    end = start["epochs"][1]
    state = "running" if record.running else "ended" if record.epoch >= end else "stopped, goes on when started again"
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.speeds[-1].time)) if record.speeds else start["time"]
    devices = start["devices"]
    where = f"{len(devices)} device{'s' if len(devices) != 1 else ''} of {start['processes']} process(es)"
    line = f"{state} · epoch {record.epoch:,} of {end:,} · {when} · {where} · {record.about['precision']}"
    return element("header", element("h1", record.name), element("p", line, klass="status"), _tiles(record))


def _tiles(record: Record) -> Element:
    tiles = []
    if TOTAL in record.history:
        tiles.append(("loss", f"{record.history[TOTAL][-1]:.2e}"))
    tiles += [(f"relative L2 error of {name}", f"{error:.1e}") for name, error in _errors(record).items()]
    tiles += [(name, f"{value:.4g}") for name, value in record.view["numbers"].items() if np.ndim(value) == 0]
    for spectrum in record.view["spectra"]:
        if "floor" in spectrum:
            tiles.append((f"effective rank, {spectrum['name']}", f"{spectrum['effective_rank']:.2f}"))
    if record.speeds and record.speeds[-1].epochs_per_second > 0:
        tiles.append(("epochs per second", _speed(record.speeds[-1].epochs_per_second)))
    return element("div", *(element("div", element("b", value), name) for name, value in tiles), klass="tiles")


def advice(record: Record) -> Element:
    all_findings = findings(record)
    if not all_findings:
        return section("Findings", element("p", "Nothing that is tracked calls for a change."))
    items = [
        element(
            "li",
            element("p", element("b", finding.what)),
            element("p", f"{finding.advice} (docs: {finding.page})"),
            **({"klass": "grave"} if finding.grave else {}),
        )
        for finding in all_findings
    ]
    return section("Findings", element("ul", *items, klass="findings"))


def losses(record: Record) -> Element | None:
    if TOTAL not in record.history:
        return None
    history = _thinned(record.history)
    names = [name for name in record.about["terms"] if name in history]
    figures = [picture(plots.losses(history, names), "Loss terms over epochs")]
    trackers = record.about.get("trackers", {})
    curves = [n for n in trackers if n in history and history[n].ndim == 1 and not trackers[n].get("cosine_of")]
    if curves:
        figures.append(picture(plots.tracker(history, curves, cosine=False), "Tracked values over epochs"))
    return section("Loss", element("div", *figures, klass="figures"))


def conflict(record: Record) -> Element | None:
    """Cosines over time: curves of pairs, rows of matrices."""
    history = _thinned(record.history)
    figures, meaning = [], []
    pairs: dict[str, str] = {}
    for name, about in record.about.get("trackers", {}).items():
        of = about.get("cosine_of")
        if not of or name not in history:
            continue
        values = history[name]
        meaning.append((name, about["of"], f"every {about['every']} epochs"))
        if values.ndim == 1:
            pairs[name] = plain(name)
        elif values.ndim == 3 and len(of) == values.shape[1]:
            short = [f"g{i + 1}" for i in range(len(of))]
            axes = cosines.cosine_history(history.epochs(name), values.astype(float), short)
            figures.append(picture(axes, f"Cosines {name} of all pairs over epochs"))
            axes = cosines.cosine_matrix(values[-1].astype(float), short)
            figures.append(picture(axes, f"Cosines {name} of all pairs now"))
            meaning += [(f"{name}, {label}", str(text), "") for label, text in zip(short, of, strict=True)]
    if pairs:
        figures.insert(0, picture(plots.tracker(history, pairs), "Cosines over epochs"))
    if not figures:
        return None
    note = "+1: what helps the one helps the other. 0: independent. -1: a step for the one undoes the other."
    body = element("div", *figures, klass="figures")
    return section("Cosines of gradients", body, table(meaning, ("name", "of", "")), note=note)


def kernels(record: Record) -> Element | None:
    history, figures, texts = _thinned(record.history), [], []
    for name in [n.removesuffix("/effective_rank") for n in history if n.endswith("/effective_rank")]:
        axes = plots.tracker(history, {f"{name}/effective_rank": plain(name)}, cosine=False, ylabel="effective rank")
        axes.set_title("Effective rank of the tangent kernel")
        figures.append(picture(axes, f"Effective rank of {name} over epochs"))
        if f"{name}/eigenvalues" in history:
            axes = kernel.spectrum_history(
                history.epochs(f"{name}/eigenvalues"),
                history[f"{name}/eigenvalues"],
                kernel.relative_floor(record.about["precision"]),
            )
            figures.append(picture(axes, f"Largest eigenvalues of {name} over epochs"))
    for spectrum in record.view["spectra"]:
        texts.append(details(f"{spectrum['name']} in numbers", element("pre", spectrum["text"])))
        if "floor" in spectrum:
            axes = kernel.spectrum(record.arrays[f"spectrum/{spectrum['name']}"], float(spectrum["floor"]))
            axes.set_title(f"{plain(spectrum['name'])}: {spectrum['rows']} rows, {spectrum['columns']} parameters")
            figures.append(picture(axes, f"Eigenvalues of {spectrum['name']} and what rounding leaves of them"))
    if not figures and not texts:
        return None
    note = "K = J Jᵀ. Large eigenvalues: patterns learned fast. Below the resolution floor there is only rounding."
    return section("Tangent kernel", element("div", *figures, klass="figures"), *texts, note=note)


def solutions(record: Record) -> Element | None:
    solutions = [field for field in record.view["fields"] if field["kind"] != "residual"]
    return _maps(record, "Solution", solutions, "Values of the epoch named above.")


def residuals(record: Record) -> Element | None:
    residuals = [field for field in record.view["fields"] if field["kind"] == "residual"]
    note = "What the equations want to be zero: large where the network has not learned yet."
    return _maps(record, "Residuals", residuals, note)


def throughput(record: Record) -> Element | None:
    body = []
    # While it compiles, a run has no speed.
    measured = [speed for speed in record.speeds if speed.epochs_per_second > 0]
    if len(measured) >= 2:
        axes = new_axes(None)
        epochs, speeds = [speed.epoch for speed in measured], [speed.epochs_per_second for speed in measured]
        axes.plot(epochs, speeds, color=COLOURS[0], marker="o", markersize=3)
        axes.set(xlabel="epoch", ylabel="epochs per second", title="Speed between checkpoints", ylim=(0, None))
        body.append(element("div", picture(finish(axes), "Epochs per second over epochs"), klass="figures"))
    body += [_profile(call) for call in record.profile if call["seconds"] > 0]
    return section("Throughput", *body) if body else None


def _profile(call: Mapping[str, Any]) -> Element:
    """Return a table of the seconds of a call of `solve`, part by part."""
    rows = [(name, f"{took:.2f}", f"{took / call['seconds']:.1%}") for name, took in call["parts"].items()]
    share = call["communication_share"]
    if share is not None:
        rows.append(("communication in a step", "", f"{share:.1%}"))
    first, end = call["epochs"]
    return table(rows, (f"profile of epochs {first:,} to {end:,}", "seconds", "share"))


def settings(record: Record) -> Element:
    about, start = record.about, record.start
    git = start.get("git") or {}
    changes = {True: ", with changes", None: ", changes not known"}.get(git.get("changed"), "")
    rows = [
        ("command", " ".join(map(str, start["command"]))),
        ("started", f"{start['time']} on {start['host']}"),
        ("devices", ", ".join(map(str, start["devices"]))),
        ("precision", about["precision"]),
        ("points", ", ".join(f"{count:,} {tag}" for tag, count in about.get("points", {}).items())),
        (
            "networks",
            ", ".join(
                f"{name} ({network['parameters']:,} parameters)" for name, network in about.get("networks", {}).items()
            ),
        ),
        ("git", f"{git['commit'][:12]}{changes}" if git else "no repository"),
        ("versions", ", ".join(f"{name} {version}" for name, version in start["versions"].items())),
    ]
    terms = [(name, str(text)) for name, text in about["terms"].items()]
    starts = [
        (entry["time"], f"epoch {entry['epochs'][0]} to {entry['epochs'][1]}", f"{len(entry['devices'])} device(s)")
        for entry in about["starts"]
    ]
    return section(
        "Settings",
        table(rows),
        element("h3", "Terms"),
        table(terms, ("name", "of")),
        details("All starts of this run", table(starts, ("time", "epochs", "devices"))),
        details("The problem in words", element("pre", "\n".join(map(str, about.get("problem", ()))))),
    )


def _maps(record: Record, title: str, entries: Sequence[Mapping[str, Any]], note: str) -> Element | None:
    if not entries:
        return None
    blocks: list[Element] = []
    several = sum(_frames(record, entry) > 1 for entry in record.view["fields"])
    count = max(2, min(fields.FRAMES, PICTURES // max(1, several)))
    for entry in entries:
        place = record.view["places"][entry["place"]]
        at, inside = record.arrays[f"at/{entry['place']}"], fields.recorded_inside(record, entry["place"])
        index = record.view["fields"].index(entry)
        values, reference = record.arrays[f"field/{index}"], record.arrays.get(f"reference/{index}")
        blocks.append(element("h3", f"{entry['name']} at {len(at):,} points of '{place['tag']}'"))
        blocks.append(element("p", entry["of"], klass="note"))
        components = values.reshape(len(values), -1).shape[1]
        for c in range(components):
            name = entry["name"] if components == 1 else f"{entry['name']}[{c}]"
            column = [None if v is None else v.reshape(len(v), -1)[:, c] for v in (values, reference)]
            signed = entry["kind"] == "residual"
            blocks.append(_field(at, place["axes"], name, column[0], column[1], signed, count, inside))
    return section(title, *blocks, note=note)


def _field(
    at: np.ndarray,
    names: Sequence[str],
    name: str,
    values: Any,
    reference: Any,
    signed: bool,
    count: int,
    inside: fields.Inside | None,
) -> Element:
    """Return pictures of one number a point: the values, the reference, the error."""
    if len(fields.varying(at)) < 2:
        return element("div", *_curves(at, names, name, values, reference, signed, inside), klass="figures")
    panels = [(name, values, signed)]
    if reference is not None:
        panels += [("reference", reference, signed), (f"error of {name}, {OWN}", values - reference, True)]
    limits = [fields.span(numbers, sign) for _, numbers, sign in panels]
    if reference is not None:
        # Each in colours of its own, a field and its reference would look alike whatever they are.
        limits[:2] = [fields.span(np.concatenate([values, reference]), signed)] * 2
    frames = {}
    for frame in fields.frames(at, names, count):
        pictures = [
            picture(
                fields.field(
                    at[frame.rows],
                    numbers[frame.rows],
                    names,
                    title=plain(title),
                    signed=sign,
                    limits=limits[i],
                    inside=inside,
                ),
                f"{title} {frame.label}",
                sharp=False,
            )
            for i, (title, numbers, sign) in enumerate(panels)
        ]
        frames[frame.label] = element("div", *pictures, klass="figures thirds" if len(panels) == 3 else "figures")
    return slider(frames, f"slices of {name}") if frames else element("p", "no slice has points enough for a picture")


def _curves(
    at: Any, names: Sequence[str], name: str, values: Any, reference: Any, signed: bool, inside: fields.Inside | None
) -> list[Element]:
    columns = fields.varying(at)
    if reference is None or not columns:
        return [picture(fields.field(at, values, names, title=plain(name), signed=signed, inside=inside), name)]
    x, label, gaps = at[:, columns[0]], names[columns[0]], fields.breaks(at, columns[0], inside)
    axes = plots.solution(x, values, reference, xlabel=plain(label), ylabel=plain(name), breaks=gaps)
    error = fields.field(at, values - reference, names, title=plain(f"error of {name}, {OWN}"), inside=inside)
    return [picture(axes, f"{name} and its reference over {label}"), picture(error, f"Error of {name} over {label}")]


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _frames(record: Record, entry: Mapping[str, Any]) -> int:
    return len(fields.varying(record.arrays[f"at/{entry['place']}"])) - 1


def _errors(record: Record) -> dict[str, float]:
    """Return relative L2 errors of fields that have a reference."""
    errors = {}
    for index, entry in enumerate(record.view["fields"]):
        reference = record.arrays.get(f"reference/{index}")
        if reference is not None and np.linalg.norm(reference) > 0:
            error = record.arrays[f"field/{index}"] - reference
            errors[entry["name"]] = float(np.linalg.norm(error) / np.linalg.norm(reference))
    return errors


def _thinned(history: History) -> History:
    """Thin a history to `POINTS` evenly chosen entries, the last one among them."""
    series = {}
    for name in history:
        epochs, values = history.epochs(name), history[name]
        chosen = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), POINTS)).round().astype(int))
        series[name] = (epochs[chosen], values[chosen])
    return History.of(series)
