"""Predicted memory, operations and traffic of an evaluation, way by way, before anything is allocated."""

import os
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from ..expr import markup
from ..parallel import Transport

FEWER = "take fewer points (points=), fewer parameters (net.mask), more devices, or a higher limit="
HEAD = ("way", "memory a device", "operations", "sent", "")


class Cost(NamedTuple):
    """Memory, operations and traffic of a program on each device, beside the points and parameters."""

    memory: int  # bytes held at the same time, result included
    flops: float
    moved: int = 0  # bytes sent


@dataclass(frozen=True)
class Way:
    """One way to evaluate something, with its cost on each device beside the points and parameters."""

    name: str
    memory: int  # bytes held at the same time, result included
    flops: float
    moved: int = 0  # bytes sent
    note: str = ""


W = TypeVar("W", bound=Way, covariant=True)


@dataclass(frozen=True)
class Plan(Generic[W]):
    """Ways to evaluate something, those preferred first; `chosen` is the first within `limit` bytes a device.

    `refused` says why the result cannot be handed over, whichever way it is computed.
    """

    what: str
    ways: tuple[W, ...]
    limit: int
    devices: int
    mend: str
    refused: str = ""

    @property
    def chosen(self) -> W | None:
        if self.refused:
            return None
        return next((way for way in self.ways if way.memory <= self.limit), None)

    def settled(self) -> W:
        """Returns the way chosen; raises ValueError with all figures and the mend if none fits."""
        if self.refused:
            raise ValueError(self.refused)
        if self.chosen is None:
            figures = "; ".join(f"{way.name}: {as_size(way.memory)}" for way in self.ways)
            raise ValueError(
                f"{self.what} takes on each of {self.devices} device(s) {figures}, more than {as_size(self.limit)}: "
                f"{self.mend}"
            )
        return self.chosen

    @property
    def _title(self) -> str:
        return f"{self.what}, on {self.devices} device(s) within {as_size(self.limit)} each"

    @property
    def _below(self) -> list[str]:
        return [self.refused] if self.refused else []

    def _lines(self) -> list[tuple[str, ...]]:
        """A line a way, below `HEAD`."""
        lines = []
        for way in self.ways:
            if way is self.chosen:
                verdict = "chosen: the first that fits"
            else:
                verdict = "does not fit" if way.memory > self.limit else "fits"
            note = f"{verdict}; {way.note}" if way.note else verdict
            lines.append((way.name, as_size(way.memory), f"{way.flops:.2e}", as_size(way.moved), note))
        return lines

    def __str__(self) -> str:
        lines = [HEAD, *self._lines()]
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        table = [
            "  ".join([line[0].ljust(widths[0]), *(line[i].rjust(widths[i]) for i in (1, 2, 3)), line[4]]).rstrip()
            for line in lines
        ]
        return "\n".join([self._title, *table, *self._below])

    def _repr_html_(self) -> str:
        chosen = next((index for index, way in enumerate(self.ways) if way is self.chosen), None)
        return markup.view(self._title, markup.table(self._lines(), HEAD, chosen), *self._below)


def as_size(size: float) -> str:
    """Bytes as a person reads them."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit / 4:
            return f"{size / unit:.2f} {name}"
    return f"{int(size):,} bytes"


def capacity(transport: Transport) -> int:
    """Bytes that a device can hold: its own memory, or, of devices made of a CPU, their share of the host's."""
    device = transport.mesh.local_devices[0]
    own = device.memory_stats() or {}
    if "bytes_limit" in own:
        size = int(own["bytes_limit"])
    else:
        host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        size = host // len(transport.mesh.local_devices)
    if transport.processes == 1:
        return size
    # All processes must choose alike.
    return min(map(int, transport.peers.exchange("memory of the devices", lambda: str(size))))
