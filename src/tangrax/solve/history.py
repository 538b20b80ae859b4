"""The history of a run: recorded values by name."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..expr import markup


class History(Mapping[str, np.ndarray]):
    """Recorded values by name: `history["loss"]` is an array with one entry (or row) per recorded epoch.

    `history.epochs("loss")` are those epochs; a value is that before the epoch's update.
    """

    def __init__(self) -> None:
        self._epochs: dict[str, list[np.ndarray]] = {}
        self._values: dict[str, list[np.ndarray]] = {}

    @classmethod
    def of(cls, series: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> "History":
        """A history of series.

        Args:
            series: (epochs, values) by name.
        """
        history = cls()
        for name, (epochs, values) in series.items():
            history.append(name, epochs, values)
        return history

    def append(self, name: str, epochs: np.ndarray, values: np.ndarray) -> None:
        """Add values to a series, which begins with them if there is none of that name.

        Args:
            name: of the series.
            epochs: whole numbers beyond those that it has.
            values: one for each epoch.
        """
        if len(epochs):
            self._epochs.setdefault(name, []).append(np.asarray(epochs))
            self._values.setdefault(name, []).append(np.asarray(values))

    def truncate(self, epoch: int) -> None:
        """Drop the latest values of all series.

        Args:
            epoch: values of this epoch and later ones are dropped.
        """
        for name in list(self._epochs):
            epochs, values = self.epochs(name), self[name]
            before = epochs < epoch
            self._epochs[name], self._values[name] = [epochs[before]], [values[before]]

    def between(self, first: int, stop: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Parts of all series.

        Args:
            first: epoch of the first values.
            stop: epoch before which they end.

        Returns:
            (epochs, values) by name, of those that have any.
        """
        series = {}
        for name in self:
            epochs = self.epochs(name)
            start, end = np.searchsorted(epochs, (first, stop))
            if end > start:
                series[name] = epochs[start:end], self[name][start:end]
        return series

    def __getitem__(self, name: str) -> np.ndarray:
        return self._joined(self._values, name)

    def epochs(self, name: str) -> np.ndarray:
        """The epochs that the values of a name belong to.

        Args:
            name: of a term, tracker or measurement.

        Returns:
            Whole numbers, rising, as many as there are values.

        Raises:
            KeyError: nothing is recorded under that name.
        """
        return self._joined(self._epochs, name)

    def last(self, names: Iterable[str]) -> dict[str, Any]:
        """The newest value of each name that has one.

        Args:
            names: of terms, trackers and measurements.

        Returns:
            Numbers and arrays by name.
        """
        # Pieces are not joined for it: that would copy all of the history after every stretch.
        pieces = {name: next(filter(len, reversed(self._values.get(name, []))), None) for name in names}
        return {name: values[-1] for name, values in pieces.items() if values is not None}

    def _joined(self, parts: dict[str, list[np.ndarray]], name: str) -> np.ndarray:
        if name not in parts:
            raise KeyError(f"nothing is recorded under '{name}': there is {', '.join(parts) or 'nothing yet'}")
        if len(parts[name]) > 1:
            parts[name] = [np.concatenate(parts[name])]
        return parts[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        entries = ", ".join(f"{name}: {len(self[name])}" for name in self)
        return f"History({entries})"

    def _repr_html_(self) -> str:
        rows = []
        for name in self:
            values, epochs = self[name], self.epochs(name)
            # A name whose epochs were all truncated has no values.
            ends = (
                [markup.figure(values[0]), markup.figure(values[-1]), f"{epochs[-1]:,}"] if len(epochs) else ["—"] * 3
            )
            rows.append([name, f"{len(epochs):,}", *ends])
        head = ("name", "values", "first", "last", "last epoch")
        return markup.view("history", markup.table(rows, head) if rows else "nothing yet")
