"""The connection of a process to the others of its run: joint operations, messages, and how they end."""

import abc
import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from types import FrameType
from typing import Any

from .failure_verdict import Doing, Limits
from .gpus import visible_gpus
from .hub import Hub, versions
from .messages import LONGEST, receive, send

GRACE = 1.5  # seconds that a process has to end by itself, with its own traceback, once the run is lost
TERM = signal.SIGTERM
ATTEMPT = 5.0  # seconds for one address, which may swallow what is sent to it
RETRY = 0.2  # seconds between attempts to reach process 0
LAST_WORD = 1.0  # seconds that a process which fails waits for process 0 to have heard of it
LINGER = 3.0  # seconds that process 0, once the run is lost, waits for the others to end before it


class Peers(abc.ABC):
    """The processes of a run as one of them sees them."""

    rank: int
    size: int
    nodes: int

    @abc.abstractmethod
    def operation(self, name: str) -> AbstractContextManager[None]:
        """A context for what all processes do together, in the same order; the others find one that stays away.

        It begins once all have come to it: MPI may abort without a word where two communicate what does not match.
        """

    @abc.abstractmethod
    def exchange(self, name: str, message: Callable[[], str]) -> list[str]:
        """The message of each process, in the order of their ranks, on every process: an operation of its own."""

    @abc.abstractmethod
    def limit(self, limits: Limits) -> None:
        """From now on, these limits."""

    @abc.abstractmethod
    def fail(self, what: str, code: int = 1) -> None:
        """Tell the others that this process ends, so that they end too; `what` follows its name in their message."""


class SingleProcess(Peers):
    """The only process of a run."""

    rank, size, nodes = 0, 1, 1

    def operation(self, name):
        return contextlib.nullcontext()

    def exchange(self, name, message):
        return [message()]

    def limit(self, limits):
        pass

    def fail(self, what, code=1):
        pass


class ConnectedProcess(Peers):
    """One of several processes, tied to process 0 by a connection that lives as long as the run.

    A thread of its own keeps it: the main thread may be held for long inside a compiled program. When the run is
    lost, that thread is what ends the process.
    """

    def __init__(self, rank: int, size: int, limits: Limits):
        self.rank, self.size, self.nodes, self.limits = rank, size, 1, limits
        self._state = (Doing(), time.monotonic())
        self._heard = time.monotonic()
        self._pid = os.getpid()
        self._code: int | None = None  # of a process that has failed
        self._hub: Hub | None = None
        self._folder: str | None = None
        self._lost, self._gone = threading.Event(), threading.Event()
        self._answers: dict[int, concurrent.futures.Future[list[str]]] = {}
        self._begins: dict[int, concurrent.futures.Future[None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[Any] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="tangrax-peers", daemon=True).start()

    def join(
        self,
        addresses: Sequence[tuple[str, int]],
        token: str,
        timeout: float,
        hub: tuple[Hub, socket.socket] | None = None,
    ) -> dict[str, Any]:
        """Connect to the others; returns the greeting of process 0, once all have come. Raises RuntimeError."""
        if hub is not None:
            self._hub = hub[0]
            self._start(hub[0].serve(hub[1], timeout))
        joining = asyncio.run_coroutine_threadsafe(self._join(addresses, token, timeout), self._loop)
        greeting, reader = joining.result()
        self.nodes, self._folder = greeting["nodes"], greeting.get("folder")
        self._heard = time.monotonic()
        self._state = (Doing(), self._heard)
        self._start(self._listen(reader))
        self._start(self._beat())
        previous = sys.excepthook

        def report_failure(kind: Any, error: Any, trace: Any) -> None:
            previous(kind, error, trace)
            self.fail(f"failed: {kind.__name__}: {error}"[:1000], 130 if kind is KeyboardInterrupt else 1)

        sys.excepthook = report_failure
        # Registered after JAX's and MPI's own, so run before them: they would wait for processes that are lost.
        atexit.register(self._leave)
        return greeting

    def shut_door(self) -> None:
        """All have connected to JAX's service: its socket, which stays open, needs no name any more."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def heed_sigterm(self) -> None:
        """End by SIGTERM as by a failure, telling the others. JAX's notifier would swallow it: call this after JAX."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(TERM) == signal.SIG_DFL:
            signal.signal(TERM, self._stopped)

    @contextlib.contextmanager
    def operation(self, name: str) -> Iterator[None]:
        doing = Doing(self._state[0].number + 1, name, True)
        begins = self._begins[doing.number] = concurrent.futures.Future()
        self._state = (doing, time.monotonic())
        self._loop.call_soon_threadsafe(self._send_state)
        try:
            begins.result()
            yield
        except BaseException:
            self._state = (replace(doing, inside=False, failed=True), time.monotonic())
            raise
        self._state = (replace(doing, inside=False), time.monotonic())

    def exchange(self, name, message):
        with self.operation(name):
            number = self._state[0].number
            answer = self._answers[number] = concurrent.futures.Future()
            text = message()
            self._loop.call_soon_threadsafe(lambda: self._send(say=[number, text]))
            return answer.result()

    def limit(self, limits):
        self.limits = limits
        if self._hub is not None:
            self._hub.limits = limits

    def fail(self, what, code=1):
        if self._code is None:
            self._code = code
            self._loop.call_soon_threadsafe(lambda: self._send(fail=what, code=code))
            self._lost.wait(LAST_WORD)

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        """SIGTERM outside of training, which holds it back until all processes can stop together."""
        self.fail("was stopped by SIGTERM", 128 + number)
        raise SystemExit(128 + number)

    def _leave(self) -> None:
        """At the end of the script: go when all have come to theirs, or at once when the run has failed."""
        if os.getpid() != self._pid:
            return  # a fork of it, which has no connection
        if self._code is None:
            self._loop.call_soon_threadsafe(lambda: self._send(bye=True))
            self._gone.wait()
        else:
            if self._hub is not None:
                with contextlib.suppress(TimeoutError):
                    asyncio.run_coroutine_threadsafe(self._hub.deserted(LINGER), self._loop).result(LINGER + 1)
            self._exit(self._code)

    # In the thread of the connection

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # else nobody would hear of it, and this process watch no longer
                await self._end(f"the connection to the other processes failed: {error!r}", 1)

        self._tasks.append(asyncio.run_coroutine_threadsafe(guarded(), self._loop))

    def _send(self, **message: Any) -> None:
        if self._writer is not None:
            send(self._writer, **message)

    def _send_state(self) -> None:
        doing, since = self._state
        self._send(doing=asdict(replace(doing, seconds=time.monotonic() - since)))

    async def _join(
        self, addresses: Sequence[tuple[str, int]], token: str, timeout: float
    ) -> tuple[dict[str, Any], asyncio.StreamReader]:
        end = time.monotonic() + timeout
        reader, where = await self._reach(addresses, end, timeout)
        who = {"rank": self.rank, "size": self.size, "node": _node()}
        hello = {"token": token, **who, "gpus": visible_gpus(os.environ), "versions": versions()}
        self._send(hello=hello)
        # Process 0 started its clock before this one and has a word to say at the end of it.
        message = None
        with contextlib.suppress(ValueError, TimeoutError):
            async with asyncio.timeout(end - time.monotonic() + 2):
                message = await receive(reader)
        if message is None or not message.keys() & {"welcome", "refused"}:
            raise RuntimeError(
                f"what answers at {where} is not process 0 of this run, or it has ended before all had come: see its "
                f"messages, or whether another program has that port"
            )
        if "refused" in message:
            raise RuntimeError(message["refused"])
        return message["welcome"], reader

    async def _reach(
        self, addresses: Sequence[tuple[str, int]], end: float, timeout: float
    ) -> tuple[asyncio.StreamReader, str]:
        """A connection to the first address that takes one, tried until `end`."""
        why = ""
        while True:
            for host, port in addresses:
                left = end - time.monotonic()
                if left <= 0:
                    attempted = ", ".join(f"{h}:{p}" for h, p in addresses)
                    raise RuntimeError(
                        f"process {self.rank} of {self.size} could not reach process 0 at {attempted} within "
                        f"{timeout:g} s ({why}): is it running, and does no firewall stand between the nodes?"
                    )
                try:
                    async with asyncio.timeout(min(left, ATTEMPT)):
                        reader, self._writer = await asyncio.open_connection(host, port, limit=LONGEST)
                    return reader, f"{host}:{port}"
                except (OSError, TimeoutError) as error:
                    why = str(error) or type(error).__name__
            await asyncio.sleep(RETRY)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ValueError):
            while message := await receive(reader):
                self._heard = time.monotonic()
                if "all" in message:
                    number, texts = message["all"]
                    if answer := self._answers.pop(number, None):
                        answer.set_result(texts)
                if begins := self._begins.pop(message.get("begin", 0), None):
                    begins.set_result(None)
                if "verdict" in message:
                    await self._end(message["verdict"], message["code"], message["rank"])
                if "gone" in message:
                    self._gone.set()
        if not self._gone.is_set():
            await self._end("process 0 died: its connection closed without a word (killed, or out of memory)", 1)

    async def _beat(self) -> None:
        while True:
            self._send_state()
            await asyncio.sleep(self.limits.beat)
            silent = time.monotonic() - self._heard
            if silent > self.limits.heartbeat and not self._gone.is_set():
                await self._end(f"process 0 has not been heard of for {silent:.0f} s (stopped, or its node is down)", 1)

    async def _end(self, why: str, code: int, rank: int | None = 0) -> None:
        """The run is lost, by the fault of process `rank`. The main thread may still fail of itself, and say so."""
        doing, since = self._state
        if rank != self.rank:
            mine = replace(doing, seconds=time.monotonic() - since)
            # In one piece: launchers that put the rank before each line break what comes in several. Nobody may read.
            with contextlib.suppress(Exception):
                sys.stderr.write(f"tangrax: {why}. Process {self.rank} ends; it was {mine}\n")
                sys.stderr.flush()
        self._lost.set()
        await asyncio.sleep(GRACE)
        if self._hub is not None:
            await self._hub.deserted(LINGER)
        self._exit(code if self._code is None else self._code)

    def _exit(self, code: int) -> None:
        """End here and now: other threads may be held inside a collective that will not return."""
        self.shut_door()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
