"""Process 0's side: it accepts the others, passes on their messages, and tells all when the run is lost."""

import asyncio
import contextlib
import hmac
import importlib.metadata
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .failure_verdict import Doing, Limits, Seen, different_ways, verdict
from .messages import encoded, receive, send, send_line

HELLO_BYTES = 2**16  # of the line in which who connects says who it is
HELLO = 5.0  # seconds that who connects has to say who it is
STRANGERS = 128  # connections that have not said yet who they are; of more, the oldest is closed
REFUSED = 20  # reasons that are kept
PACKAGES = ("tangrax", "jax", "jaxlib", "equinox", "optax", "numpy")
SETTLE = 0.5  # seconds from the first sign of trouble to the verdict


def versions() -> dict[str, str]:
    """Of what compiles and computes, which is to be the same on all processes."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


@dataclass
class Member:
    """A process that has come."""

    writer: asyncio.StreamWriter
    node: str
    gpus: list[str] | None = None  # that it sees
    doing: Doing = field(default_factory=Doing)
    heard: float = field(default_factory=time.monotonic)
    ended: bool = False


class Hub:
    """Serves `size` processes on a listening socket, from within an event loop.

    Once all have come, `greeting` is made and told to all, and nobody else can connect.
    """

    def __init__(self, size: int, token: str, limits: Limits, greeting: Callable[[], dict[str, Any]]):
        self.size, self.token, self.limits, self.greeting = size, token, limits, greeting
        self.members: dict[int, Member] = {}
        self.refused: dict[str, None] = {}  # the reasons, in the order in which they came
        self.strangers: dict[asyncio.StreamWriter, None] = {}
        self._versions = versions()
        self._complete = asyncio.Event()
        self._messages: dict[int, dict[int, str]] = {}
        self._entered: dict[int, dict[int, str]] = {}
        self._begun = 0
        self._reasons: list[tuple[int | None, str, int]] = []
        self._dead: set[int] = set()
        self._verdict_sent = False
        self._connected: set[int] = set()  # whose connection stands

    async def serve(self, listening: socket.socket, timeout: float) -> None:
        """Until the event loop ends; processes that have not all come after `timeout` seconds are told so."""
        server = await asyncio.start_server(self._talk, sock=listening, limit=HELLO_BYTES)
        async with server:
            try:
                await asyncio.wait_for(self._complete.wait(), timeout)
            except TimeoutError:
                missing = [str(rank) for rank in range(self.size) if rank not in self.members]
                also = f". Refused: {'; '.join(self.refused)}" if self.refused else ""
                self._tell(
                    refused=f"{len(self.members)} of {self.size} processes came within {timeout:g} s; missing: "
                    f"{', '.join(missing)}{also}. Was the job started with as many tasks as it says?"
                )
                return
            server.close()  # those that have come stay connected
            members = [self.members[rank] for rank in range(self.size)]
            nodes = len({member.node for member in members})
            seen = [(member.node, member.gpus) for member in members]
            self._tell(welcome={**self.greeting(), "nodes": nodes, "seen": seen})
            for member in self.members.values():
                member.heard = time.monotonic()
            while True:
                await asyncio.sleep(self.limits.beat)
                self._tell(beat=True)
                now = time.monotonic()
                seen = {r: Seen(m.doing, now - m.heard, m.ended) for r, m in sorted(self.members.items())}
                reason = verdict(seen, self.limits)
                if reason:
                    self._blame(None, reason)

    async def deserted(self, seconds: float) -> None:
        """Until the others have gone, or for some seconds: JAX aborts those that are there when process 0 is not."""
        end = time.monotonic() + seconds
        while len(self._connected) > 1 and time.monotonic() < end:
            await asyncio.sleep(0.02)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            self.strangers[writer] = None
            if len(self.strangers) > STRANGERS:
                oldest = next(iter(self.strangers))  # ours say who they are as soon as they have connected
                del self.strangers[oldest]
                oldest.transport.abort()
            rank = await self._take_in(reader, writer)
            self.strangers.pop(writer, None)
            if rank is None:
                return
            member = self.members[rank]
            self._connected.add(rank)
            with contextlib.suppress(ValueError):
                while message := await receive(reader):
                    member.heard = time.monotonic()
                    self._hear(rank, member, message)
            self._connected.discard(rank)
            if not self._complete.is_set():
                del self.members[rank]  # it gave up before all had come
            elif not member.ended:
                self._dead.add(rank)
                self._blame(
                    rank,
                    f"process {rank} on {member.node} died: its connection closed without a word (killed, out of "
                    f"memory, or crashed); it was {member.doing}",
                )

    async def _take_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int | None:
        """The rank of who has connected; None if it is none of this run."""
        try:
            message = await asyncio.wait_for(receive(reader, HELLO_BYTES), HELLO) or {}
            hello = message["hello"]
            token, rank, size, node = hello["token"], int(hello["rank"]), int(hello["size"]), str(hello["node"])[:100]
        except Exception:
            return None  # a stranger: nothing is said to it
        why = None
        if not hmac.compare_digest(str(token).encode(), self.token.encode()):
            why = "it belongs to another run, which uses the same address"
        elif size != self.size:
            why = f"it was told of {size} processes, process 0 of {self.size}"
        elif hello.get("versions") != self._versions:
            why = f"{_other_versions(hello.get('versions') or {}, self._versions)}: install the same on all nodes"
        elif not 0 <= rank < size or rank in self.members:
            why = f"there is a process {rank} already"
        if why:
            if len(self.refused) < REFUSED:
                self.refused[f"process {rank} on {node}: {why}"] = None
            send(writer, refused=f"process {rank} of {size} on {node} is refused: {why}")
            return None
        self.members[rank] = Member(writer, node, hello.get("gpus"))
        if len(self.members) == self.size:
            self._complete.set()
        return rank

    def _hear(self, rank: int, member: Member, message: dict[str, Any]) -> None:
        if "doing" in message:
            member.doing = Doing(**message["doing"])
            self._enter(rank, member.doing)
        if "say" in message:
            self._collect(rank, *message["say"])
        if "fail" in message:
            member.ended = True
            self._blame(rank, f"process {rank} {message['fail']}", message.get("code", 1))
        if "bye" in message:
            member.ended = True
            if all(m.ended for m in self.members.values()):
                self._tell(gone=True)

    def _collect(self, rank: int, number: int, text: str) -> None:
        messages = self._messages.setdefault(number, {})
        messages[rank] = text
        if len(messages) == self.size:
            del self._messages[number]
            self._tell(all=[number, [messages[r] for r in range(self.size)]])

    def _enter(self, rank: int, doing: Doing) -> None:
        """An operation begins once all processes have entered it, by the same name."""
        if not doing.inside or doing.number <= self._begun:
            return
        names = self._entered.setdefault(doing.number, {})
        names[rank] = doing.name
        other = next((r for r, name in names.items() if name != doing.name), None)
        if other is not None:
            self._blame(None, different_ways(doing.number, {other: names[other], rank: doing.name}))
        elif len(names) == self.size:
            del self._entered[doing.number]
            self._begun = doing.number
            self._tell(begin=doing.number)

    def _blame(self, rank: int | None, why: str, code: int = 1) -> None:
        """Process `rank` is at fault (None: it cannot be told): all are told in a moment, when more is known.

        Those that a dead process leaves behind fail too, and their own words may come first. A death is told at once:
        launchers kill the others.
        """
        self._reasons.append((rank, why, code))
        if rank in self._dead:
            self._tell_reason()
        elif len(self._reasons) == 1:
            asyncio.get_running_loop().call_later(SETTLE, self._tell_reason)

    def _tell_reason(self) -> None:
        if self._verdict_sent:
            return
        self._verdict_sent = True
        causes = [reason for reason in self._reasons if reason[0] is None]
        deaths = [reason for reason in self._reasons if reason[0] in self._dead]
        rank, why, code = (causes or deaths or self._reasons)[0]
        self._tell(verdict=why, code=code, rank=rank)

    def _tell(self, **message: Any) -> None:
        line = encoded(message)
        for member in list(self.members.values()):
            send_line(member.writer, line)


def _other_versions(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """The first difference, in words."""
    name = next((each for each in ours if theirs.get(each) != ours[each]), "packages")
    return f"it has {name} {theirs.get(name, 'of an unknown version')}, process 0 {ours.get(name, 'others')}"
