"""Findings about a run from its tracked values: the figure, the threshold, and advice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..expr import markup
from ..solve import STEP_SCALE, TOTAL
from .record import Record

ALIGNED = 0.3  # a cosine below it between groups that should learn together is a warning
FEW = 1.5  # an effective rank below it: hardly more than one pattern is learned
STALLED = 0.02  # what the loss falls by in the last fifth of training, below which it has stalled
FAR = 1000.0  # times as large as another: a term that training sees nearly alone


@dataclass(frozen=True)
class Finding:
    """A finding and advice on it; `page` of the documentation has more."""

    what: str
    advice: str
    page: str
    grave: bool = True


def findings(record: Record) -> list[Finding]:
    """Return all findings about a run, gravest first."""
    unsorted = [*_faults(record), *_undefined(record), *_cosines(record), *_ranks(record), *_losses(record)]
    return sorted(unsorted, key=lambda finding: not finding.grave)


def summary(record: Record) -> str:
    """Return a run in a few lines: how far it is, newest values, findings."""
    history, start = record.history, record.start
    state = "running" if record.running else "not running"
    lines = [f"{record.path}: {state}, epoch {record.epoch} of {start['epochs'][1]}, {record.about['precision']}"]
    for name in history:
        value = np.asarray(history[name][-1])
        if value.ndim == 0:
            lines.append(f"  {name:24} {float(value):.4g}")
    for finding in findings(record):
        lines += ["", f"{'! ' if finding.grave else '- '}{finding.what}", f"  {finding.advice}"]
    # The run may be someone else's: a terminal would obey control characters.
    return "\n".join(map(markup.printable, lines))


def stalled(record: Record) -> float | None:
    """Return by what part the loss fell in the last fifth of training (medians of its halves), from 50 epochs on."""
    loss = np.asarray(record.history.get(TOTAL, ()), dtype=float)
    last = loss[-(len(loss) // 5) :]
    if len(loss) < 50:
        return None
    early, late = np.median(last[: len(last) // 2]), np.median(last[len(last) // 2 :])
    return float(1 - late / early) if early > 0 else None


def _faults(record: Record) -> Iterator[Finding]:
    if STEP_SCALE in record.history:
        epochs, step_scale = record.history.epochs(STEP_SCALE), record.history[STEP_SCALE]
        yield Finding(
            f"The loss was not finite: training went back to epoch {epochs[-1]} and goes on with "
            f"{step_scale[-1]:g} of the optimizer's steps.",
            "Start with a smaller learning rate, or a schedule that warms up.",
            "training",
        )


def _undefined(record: Record) -> Iterator[Finding]:
    """Yield findings for ranks and cosines that are NaN: the comparisons below would pass them over."""
    watched = [name for name, about in _trackers(record) if about.get("cosine_of")]
    watched += [name for name in record.history if name.endswith("/effective_rank")]
    for name in watched:
        values = np.asarray(record.history.get(name, ()), dtype=float)
        undefined = np.asarray([not np.isfinite(value).all() for value in values])
        if len(values) and undefined[-1]:
            since = record.history.epochs(name)[undefined][0]
            yield Finding(
                f"{name} is no number (NaN), first at epoch {since}: the Jacobian it is made of is not finite at some "
                f"point.",
                "The field or its derivative is singular there, as that of sqrt or log at 0: move the points away, "
                "take them out (J[condition]), or change the field. solver.eval(J) shows which rows they are.",
                "kernels",
            )


def _cosines(record: Record) -> Iterator[Finding]:
    for name, about in _trackers(record):
        if not about.get("cosine_of") or name not in record.history:
            continue
        value = np.asarray(record.history[name][-1], dtype=float)
        names = [str(gradient) for gradient in about["cosine_of"]]
        if value.ndim == 0 and len(names) == 2:
            yield from _cosine(name, f"{names[0]} and {names[1]}", float(value))
        elif value.ndim == 2 and len(names) == len(value):
            rows, columns = np.triu_indices(len(value), 1)
            cosines = np.nan_to_num(value[rows, columns], nan=np.inf)
            worst = int(np.argmin(cosines))
            i, j = rows[worst], columns[worst]
            yield from _cosine(name, f"{names[i]} and {names[j]}", float(cosines[worst]))


def _cosine(name: str, pair: str, value: float) -> Iterator[Finding]:
    if value < 0:
        yield Finding(
            f"{name} = {value:.2f}: {pair} are in conflict, a step for the one undoes part of the other.",
            "If the loss has stalled, balance the terms (balance=), take updates without conflict "
            "(conflict=tx.optim.config()), or train with tx.optim.gauss_newton(). Of two terms of the loss the cosine "
            "is -1 at every minimum of their sum: then it says that training has ended.",
            "balance",
        )
    elif value < ALIGNED:
        yield Finding(
            f"{name} = {value:.2f}: {pair} hardly help each other (below {ALIGNED}).",
            "Where they should learn alike, add collocation points or let them move (resample=).",
            "resampling",
            grave=False,
        )


def _ranks(record: Record) -> Iterator[Finding]:
    ranks = [(name, float(record.history[name][-1])) for name in record.history if name.endswith("/effective_rank")]
    ranks += [(s["name"], float(s["effective_rank"])) for s in record.view["spectra"] if "floor" in s]
    for name, rank in ranks:
        if rank < FEW:
            yield Finding(
                f"{name.removesuffix('/effective_rank')}: the effective rank of the tangent kernel is {rank:.2f}, the "
                f"network learns hardly more than one pattern (below {FEW}).",
                "Take a wider network, Fourier features, or more collocation points. Second-order steps "
                "(tx.optim.gauss_newton()) learn slow patterns as fast as quick ones.",
                "kernels",
            )


def _losses(record: Record) -> Iterator[Finding]:
    fall = stalled(record)
    if fall is not None and fall < STALLED:
        yield Finding(
            f"The loss has stalled: in the last fifth of training it fell by {max(fall, 0):.1%}.",
            "More epochs alone will not help. Lower the learning rate, or go on with tx.optim.gauss_newton() from "
            "here; it is at the floor if the loss is a rounding of what it began with.",
            "gauss-newton",
            grave=False,
        )
    terms = {n: float(record.history[n][-1]) for n in record.about.get("terms", {}) if n in record.history}
    positive = {name: value for name, value in terms.items() if value > 0}
    if len(positive) > 1:
        most, least = max(positive, key=positive.__getitem__), min(positive, key=positive.__getitem__)
        if positive[most] > FAR * positive[least]:
            yield Finding(
                f"Terms are far apart: {most} = {positive[most]:.1e}, {least} = {positive[least]:.1e}.",
                "If the solution is off where the larger one is, weight the terms (balance=tx.optim.grad_norm()).",
                "balance",
                grave=False,
            )


def _trackers(record: Record) -> list[tuple[str, dict[str, Any]]]:
    trackers = record.about.get("trackers", {})
    return [(str(name), about) for name, about in trackers.items() if isinstance(about, dict)]
