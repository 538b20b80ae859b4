"""HTML of a solver, for notebooks."""

from collections.abc import Mapping

from jax.sharding import Mesh

from ..expr import markup
from ..solve import TOTAL, History, Terms

NOTHING = "—"


def solver_view(
    terms: Terms,
    history: History,
    points: Mapping[str, int],
    epoch: int,
    precision: str,
    mesh: Mesh,
    stalled: str | None,
) -> str:
    """Return HTML of a problem and how far its training is. Nothing is computed for it."""
    about = terms.about()
    loss, at = _newest(history, [TOTAL])
    facts = {
        "loss": f"{loss} at epoch {at}" if at != NOTHING else "nothing recorded yet",
        "stalled": stalled or "no",
        "devices": f"{mesh.size} × {mesh.devices.flat[0].device_kind}",
        "precision": precision,
    }
    losses = [[name, markup.code(of), _newest(history, [name])[0]] for name, of in about["terms"].items()]
    names = {*terms.losses, *terms.trackers}
    trackers = []
    for name, tracker in about["trackers"].items():
        # A spectrum records several values, under names of their own.
        parts = [other for other in history if other.startswith(f"{name}/") and other not in names]
        newest = _newest(history, [name] if name in history else parts, name)
        trackers.append([name, markup.code(tracker["of"]), f"{tracker['every']:,}", *newest])
    networks = [
        [name, f"{trainable.size:,}", "yes" if trainable in terms.trained else "no"]
        for trainable, name in terms.trainables.items()
    ]
    tables = [
        markup.table(facts.items()),
        markup.table(losses, ("term", "of", "newest value")),
        *([markup.table(trackers, ("tracker", "of", "every", "newest value", "at epoch"))] if trackers else []),
        markup.table(networks, ("network or parameter", "numbers", "trained")),
        markup.table([[tag, f"{count:,}"] for tag, count in points.items()], ("tag", "points")),
    ]
    return markup.view(f"solver at epoch {epoch:,}", *tables)


def _newest(history: History, names: list[str], owner: str = "") -> tuple[str, str]:
    """Return the newest values of some names, and their epoch."""
    newest = history.last(names)
    if not newest:
        return NOTHING, NOTHING
    texts = [f"{name.removeprefix(f'{owner}/')} {markup.figure(value)}" for name, value in newest.items()]
    epoch = max(int(history.epochs(name)[-1]) for name in newest)
    return markup.figure(next(iter(newest.values()))) if len(names) == 1 else ", ".join(texts), f"{epoch:,}"
