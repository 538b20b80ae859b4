"""Loss terms and trackers by name, as `tx.core` checks them, and what they train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..expr import Node, Tracker, Trainable, all_nodes, checked_name, describe, fingerprint, is_cosine, ops

TOTAL = "loss"
RESERVED = {  # beside the terms in a history, or in a row of a sink
    TOTAL: "is the name of the sum of all terms",
    "epoch": "is what sinks call the epoch",
    "epochs per second": "is what sinks call the speed",
}


class NonFiniteLoss(FloatingPointError):
    """Training met a loss or gradient that is not a finite number, and stopped before using it."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Checked terms and trackers; `trainables` are all networks and parameters in them, by name."""

    losses: dict[str, Node]
    trackers: dict[str, Tracker]
    trainables: dict[Trainable, str]
    trained: tuple[Trainable, ...]
    optimizers: dict[Trainable, Any]

    @property
    def roots(self) -> list[Node]:
        """Expressions of all terms and trackers."""
        return [*self.losses.values(), *(tracker.root for tracker in self.trackers.values())]

    def about(self) -> dict[str, Any]:
        """Terms and trackers in words for a person, and the arguments of trackers that are cosines."""
        trackers = {}
        for name, tracker in self.trackers.items():
            words: dict[str, Any] = {
                "of": str(tracker.node),
                "every": tracker.interval,
                "warn_below": tracker.warn_below,
            }
            if isinstance(tracker.node, Node) and is_cosine(tracker.node):
                words["cosine_of"] = [str(arg) for arg in tracker.node.args]
            trackers[name] = words
        return {
            "terms": {name: str(term) for name, term in self.losses.items()},
            "trackers": trackers,
            "networks": {name: {"parameters": t.size, "recipe": t.recipe} for t, name in self.trainables.items()},
        }

    def fingerprint(self, watched: bool = True) -> list[str]:
        """Lines that identify the problem, the same in every process, without points and parameters.

        Without `watched`, those of trackers and optimizers are left out: what is trained does not depend on them.
        """
        names = [f"term '{name}'" for name in self.losses]
        if not watched:
            return [*names, *fingerprint(self.losses.values(), but=("optimizer",))]
        names += [f"tracker '{name}' every {tracker.interval}" for name, tracker in self.trackers.items()]
        return [*names, *fingerprint(self.roots)]

    @property
    def in_losses(self) -> dict[Trainable, str]:
        """Networks and parameters that terms hold, by name, without those of trackers alone."""
        in_losses = {node.op.trainable for node in all_nodes(self.losses.values()) if isinstance(node.op, ops.Call)}
        return {trainable: name for trainable, name in self.trainables.items() if trainable in in_losses}


def read_terms(terms: Any) -> Terms:
    """Terms and trackers from a list or a dict; raises where they cannot be a problem."""
    if isinstance(terms, Mapping):
        entries = [(checked_name("tx.core", name), entry) for name, entry in terms.items()]
    elif isinstance(terms, Sequence) and not isinstance(terms, str):
        entries = [(None, entry) for entry in terms]
    else:
        raise TypeError(f"tx.core({terms!r}): give a list of terms and trackers, or a dict from names to them")
    losses: dict[str, Node] = {}
    trackers: dict[str, Tracker] = {}
    for name, entry in entries:
        if isinstance(entry, Tracker):
            _put(
                trackers,
                name or entry.name or _label(entry.root) or f"tracker_{len(trackers)}",
                entry,
                losses,
            )
        else:
            _check_term(entry, name)
            _put(losses, name or _label(entry) or _default_name(entry, losses), entry, trackers)
    if not losses:
        raise ValueError("tx.core has no loss term, only trackers: add one to train on, such as pde.mse")
    roots = [*losses.values()], [tracker.root for tracker in trackers.values()]
    return Terms(losses, trackers, _named(*roots), *_roles(roots[0]))


def _put(target: dict[str, Any], name: str, entry: Any, other: Mapping[str, Any]) -> None:
    if name in target or name in other or name in RESERVED:
        taken = RESERVED.get(name, "is given twice")
        raise ValueError(f"tx.core: the name '{name}' {taken}; give each term and tracker a name of its own")
    target[name] = entry


def _label(node: Node) -> str | None:
    return node.op.name if isinstance(node.op, ops.Label) else None


def _default_name(term: Node, losses: Mapping[str, Any]) -> str:
    kind = term.op.kind if isinstance(term.op, ops.Reduce) else "term"
    return f"{kind}_{len(losses)}"


def _check_term(entry: Any, name: str | None) -> None:
    called = f"'{name}' " if name else ""
    if not isinstance(entry, Node):
        raise TypeError(f"tx.core: {called}{entry!r} is neither a term nor a tracker")
    if entry.points is not None:
        raise TypeError(
            f"tx.core: {called}{entry} has one value per point of '{entry.points.tag}', a term is one number: "
            f"take {entry}.mse"
        )
    if entry.shape != () or entry.facts.kind == "b":
        raise TypeError(f"tx.core: {called}{entry} has shape {entry.shape}: a term to train on is one real number")
    for node in all_nodes([entry]):
        if isinstance(node.op, (ops.Jacobian, ops.Gradient, ops.RowMean)):
            raise ValueError(
                f"tx.core: {called}{entry} holds the parameter Jacobian {node}: it cannot be trained on, only "
                f"watched: {describe(entry, 2)}.tracker(interval)"
            )


def _named(terms: Sequence[Node], watched: Sequence[Node]) -> dict[Trainable, str]:
    """All trainables, those of terms first, whatever is watched; a name used twice gets a number."""
    names: dict[Trainable, str] = {}
    taken, counts = set[str](), dict[str, int]()
    for node in [*all_nodes(terms), *all_nodes(watched)]:
        if isinstance(node.op, ops.Call) and node.op.trainable not in names:
            base = name = node.op.trainable.name
            while name in taken:
                counts[base] = counts.get(base, 0) + 1
                name = f"{base}_{counts[base]}"
            names[node.op.trainable] = name
            taken.add(name)
    return names


def _roles(terms: Sequence[Node]) -> tuple[tuple[Trainable, ...], dict[Trainable, Any]]:
    """All that is trained, and the optimizers of handles."""
    calls = [node.op for node in all_nodes(terms) if isinstance(node.op, ops.Call)]
    frozen = {call.trainable for call in calls if call.frozen}
    free = {call.trainable for call in calls if not call.frozen}
    optimizers: dict[Trainable, Any] = {}
    for call in calls:
        name = call.trainable.name
        if call.trainable in frozen and call.trainable in free:
            raise ValueError(
                f"'{name}' is frozen in one place and trained in another: use the same handle everywhere, or "
                f"tx.np.stop_gradient(…) where its value must not be trained through"
            )
        own = call.optimizer
        if own is not None and optimizers.setdefault(call.trainable, own) is not own:
            raise ValueError(f"'{name}' has two optimizers: call it by one handle, the one .optimizer(…) returned")
    trained = tuple(dict.fromkeys(call.trainable for call in calls if call.trainable in free))
    if not trained:
        names = ", ".join(t.name for t in frozen)
        why = f"{names} is frozen" if names else "no term holds a network or parameter"
        raise ValueError(f"tx.core has nothing to train: {why}")
    return trained, optimizers


def describe_trouble(terms: Mapping[str, Node], epoch: int, what: str, bad: Sequence[tuple[str, float]]) -> str:
    """A message for a run that met values (or gradients: `what`) that are not finite: which, where, what to do."""
    parts = []
    for name, value in bad:
        tags = dict.fromkeys(n.op.points.tag for n in all_nodes([terms[name]]) if isinstance(n.op, ops.Coordinate))
        where = ", ".join(f"'{tag}'" for tag in tags)
        parts.append(f"the {what} of {name} = {terms[name]} (tag {where}) is {value}")
    causes = "; ".join(parts) or "the sum of the terms overflows"
    if epoch == 0:
        after = "Nothing was changed; look for a division by zero, a logarithm or a root of a negative number there"
    else:
        after = f"The parameters of epoch {epoch - 1}, the last finite one, are kept; try a smaller learning rate"
    return f"training stopped at epoch {epoch}: {causes}. {after}"
