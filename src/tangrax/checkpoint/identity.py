"""What a checkpoint must have been trained as to go on from it, and what may have changed since."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .optimizer_identity import Optimizer, changed


@dataclass(frozen=True)
class Identity:
    """The problem in lines, optimizers by what they train, digests of what trackers record, all of it in words too."""

    problem: list[str]
    optimizers: Mapping[str, Optimizer]
    digests: Mapping[str, str]
    words: Mapping[str, Any]

    @property
    def trackers(self) -> dict[str, list[str]]:
        """Of each tracker what it records, in words and as a digest."""
        return {name: [str(about["of"]), self.digests[name]] for name, about in self.words["trackers"].items()}

    def about(self) -> dict[str, Any]:
        """What a checkpoint says of itself, for `check` and `changes`."""
        optimizers = {name: asdict(optimizer) for name, optimizer in self.optimizers.items()}
        return {"problem": self.problem, "optimizers": optimizers, "trackers": self.trackers}

    def check(self, about: Mapping[str, Any], epoch: int, run_dir: Path, terms: Any) -> None:
        """Raise ValueError for a checkpoint of another problem, or of optimizers of another kind.

        `terms` are those of the run that wrote it, in words.
        """
        self._check_problem(about["problem"], epoch, run_dir, terms)
        self._check_optimizers(about["optimizers"], epoch, run_dir)

    def _check_problem(self, saved: list[str], epoch: int, run_dir: Path, terms: Any) -> None:
        if saved == self.problem:
            return
        pairs = [(a, b) for a, b in zip(saved, self.problem, strict=False) if a != b]
        longer, where = (saved, "there") if len(saved) > len(self.problem) else (self.problem, "here")
        if not pairs:
            pairs = [(f"'{longer[min(len(saved), len(self.problem))]}' {where} alone", "")]
        saved_line, own_line = pairs[0]
        difference = f"'{saved_line}' there, '{own_line}' here" if own_line else saved_line
        for name, now in self.words["terms"].items():
            if isinstance(terms, dict) and terms.get(name, now) != now:
                difference = f"'{name}' is {terms[name]} there, {now} here"
                break
        raise ValueError(
            f"run_dir={str(run_dir)!r}: its checkpoint of epoch {epoch} is of another problem: {difference}. Go back "
            f"to that problem, or give this one a directory of its own. Nothing was trained"
        )

    def _check_optimizers(self, saved: Mapping[str, Any], epoch: int, run_dir: Path) -> None:
        before = {name: optimizer["kind"] for name, optimizer in saved.items()}
        now = {name: optimizer.kind for name, optimizer in self.optimizers.items()}
        if before == now:
            return
        name = next((name for name in now if before.get(name, now[name]) != now[name]), None)
        if name is None:
            groups = [" and ".join(map(repr, names)) for names in (before, now)]
            difference = f"of {groups[0]} apart there, of {groups[1]} here"
        else:
            difference = f"of '{name}', {before[name]} there, {now[name]} here"
        raise ValueError(
            f"run_dir={str(run_dir)!r}: its checkpoint of epoch {epoch} was trained by other optimizers: {difference}. "
            f"Settings (a learning rate, a schedule for it) may change, the kind may not. Go back to that one, or take "
            f"its parameters, solver.save(path) and load(path), and give another directory. Nothing was trained"
        )

    def changes(self, about: Mapping[str, Any], epoch: int) -> Iterator[str]:
        """Sentences for settings of optimizers, and trackers, that differ from the checkpoint's."""
        for group, optimizer in self.optimizers.items():
            before = about["optimizers"][group]["settings"]
            for name in changed(before, optimizer.settings):
                was, now = (settings.get(name, "not set") for settings in (before, optimizer.settings))
                yield f"optimizer of '{group}': {name} is {now} from epoch {epoch} on, and was {was}"
        saved = about["trackers"]
        for name, (now, digest) in self.trackers.items():
            if name not in saved:
                yield f"tracker '{name}' is new: its history begins at epoch {epoch}"
            elif saved[name][1] != digest:
                was = saved[name][0]
                difference = f"was {was} and is {now} now" if was != now else f"is {now} with other numbers than before"
                yield f"tracker '{name}' {difference}: its history begins anew at epoch {epoch}"
