"""Strangers at the door: what connects to process 0 and is none of the run. No program is started."""

import asyncio
import contextlib
import json
import os
import resource
import socket

import jax
import pytest

from tangrax.parallel.setup import check_descriptors, has_certificates
from tangrax.processes import Limits
from tangrax.processes.hub import HELLO_BYTES, REFUSED, STRANGERS, Hub, versions
from tangrax.processes.messages import encoded, receive
from tangrax.processes.rendezvous import private_folder


def hello(rank, size=2, token="right", **more):
    return encoded(
        {
            "hello": {
                "token": token,
                "rank": rank,
                "size": size,
                "node": "here",
                "gpus": None,
                "versions": versions(),
                **more,
            }
        }
    )


def serve(scenario, size=2):
    """Run `scenario(hub, connect)` beside a hub; `connect(line)` gives a reader and a writer."""

    async def running():
        hub = Hub(size, "right", Limits(), lambda: {"word": 7})
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        serving, writers = asyncio.create_task(hub.serve(listening, 20)), []

        async def connect(line=b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            writer.write(line)
            return reader, writer

        try:
            return await asyncio.wait_for(scenario(hub, connect), 30)
        finally:
            for writer in writers:
                writer.close()
            serving.cancel()
            await asyncio.gather(serving, *[each.wait_closed() for each in writers], return_exceptions=True)
            while len(asyncio.all_tasks()) > 1:  # the hub's conversations
                await asyncio.sleep(0.01)

    return asyncio.run(running())


async def welcomed(hub, connect):
    """Whether the two processes of the run still find each other."""
    ours = [await connect(hello(rank)) for rank in range(2)]
    messages = [await receive(reader) for reader, _ in ours]
    assert [each["welcome"]["word"] for each in messages] == [7, 7]
    return ours


def test_silent_strangers_are_few():
    """More of them than descriptors: of those that say nothing the oldest are closed, and ours are taken in."""

    async def scenario(hub, connect):
        strangers = [await connect() for _ in range(3 * STRANGERS)]
        await asyncio.sleep(0.1)
        assert len(hub.strangers) <= STRANGERS
        await welcomed(hub, connect)
        with contextlib.suppress(ConnectionError):
            assert await strangers[0][0].read() == b""
        assert not strangers[-1][0].at_eof()

    serve(scenario)


@pytest.mark.parametrize(
    "line",
    [
        b"x" * (HELLO_BYTES + 1) + b"\n",
        b"[" * (HELLO_BYTES // 2) + b"\n",
        b'{"hello": 3}\n',
        b'{"hello": {"token": {}, "rank": 0, "size": 2, "node": "x"}}\n',
        b"\xff\xfe\n",
        b"GET / HTTP/1.1\r\n\r\n",
        hello(1, token="right "),
        hello("one"),
        hello(-1),
        hello(10**30),
        hello(0, node="n" * HELLO_BYTES),
    ],
    ids=lambda line: line[:20].decode(errors="replace").strip(),
)
def test_what_strangers_say(line):
    """It is answered by the end of the connection or by a refusal, and changes nothing."""

    async def scenario(hub, connect):
        reader, _ = await connect(line)
        answer = await reader.read()
        assert answer == b"" or "refused" in json.loads(answer)
        assert not hub.members
        await welcomed(hub, connect)

    serve(scenario)


def test_a_line_without_end_is_not_kept():
    async def scenario(hub, connect):
        _, writer = await connect()
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 2**26:
                writer.write(b"x" * 2**16)
                await asyncio.wait_for(writer.drain(), 10)
                sent += 2**16
        assert sent < 2**24  # what the system holds between the two
        await welcomed(hub, connect)

    serve(scenario)


def test_reasons_of_refusals_are_few():
    async def scenario(hub, connect):
        for rank in range(3 * REFUSED):
            reader, writer = await connect(hello(rank, token="wrong", node=f"host{rank}"))
            assert "another run" in json.loads(await reader.read())["refused"]
            writer.close()
        assert len(hub.refused) == REFUSED
        await welcomed(hub, connect)

    serve(scenario)


def test_other_versions_of_packages_are_refused():
    """The package, and both versions."""

    async def scenario(hub, connect):
        reader, _ = await connect(hello(1, versions={**versions(), "jax": "0.0.1"}))
        refused = json.loads(await reader.read())["refused"]
        assert f"it has jax 0.0.1, process 0 {jax.__version__}: install the same on all nodes" in refused
        reader, _ = await connect(hello(1, versions=None))
        assert "it has tangrax of an unknown version" in json.loads(await reader.read())["refused"]
        await welcomed(hub, connect)

    serve(scenario)


def test_nobody_can_connect_once_all_have_come():
    async def scenario(hub, connect):
        ours = await welcomed(hub, connect)
        with pytest.raises(ConnectionError):
            await connect(hello(1))
        ours[0][1].write(encoded({"say": [1, "a"]}))  # and those that have come still hear each other
        ours[1][1].write(encoded({"say": [1, "b" * 2**20]}))  # longer than a stranger's line may be
        for reader, _ in ours:
            while "all" not in (message := await receive(reader)):
                pass
            assert [len(text) for text in message["all"][1]] == [1, 2**20]

    serve(scenario)


def test_the_folder_of_the_socket_is_ours_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = os.umask(0)
    try:
        folder = private_folder()
    finally:
        os.umask(before)
    assert os.stat(folder).st_mode & 0o777 == 0o700 and os.listdir(folder) == []


@pytest.mark.parametrize("name", ["absent", "long" * 30])
def test_without_a_folder_for_a_socket(name, tmp_path, monkeypatch):
    """No directory, or a name that is too long: a port of loopback is used instead, and nothing is left."""
    if name != "absent":
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
    assert private_folder() is None
    assert name == "absent" or os.listdir(tmp_path / name) == []


def test_certificates_that_jax_would_ignore_are_refused(monkeypatch):
    assert not has_certificates()
    monkeypatch.setenv("JAX_MTLS_CERT_FILE", "process.pem")
    if hasattr(jax.config, "jax_mtls_cert_file"):
        return  # it has read its variables when it was imported
    with pytest.raises(RuntimeError, match=r"JAX_MTLS_CERT_FILE is set, and jax .* would ignore it"):
        has_certificates()


def test_too_few_descriptors_are_refused():
    """Before anything is connected; none of those that were tried stays open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = os.listdir("/proc/self/fd")
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, before[1]))
    try:
        with pytest.raises(RuntimeError, match=r"more files can be opened .* 64 processes take 160 .*ulimit -n"):
            check_descriptors(64)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(os.listdir("/proc/self/fd")) == len(opened)
