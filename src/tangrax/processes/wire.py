"""Messages between processes: one JSON object a line."""

import asyncio
import json
from typing import Any

LONGEST = 2**24  # bytes of a line


def send(writer: asyncio.StreamWriter, **message: Any) -> None:
    """Write a message, without waiting for the other side: it may be stopped, and must not hold up who writes."""
    send_line(writer, encoded(message))


def encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def send_line(writer: asyncio.StreamWriter, line: bytes) -> None:
    if not writer.is_closing():
        writer.write(line)


async def receive(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message, None at the end; raises ValueError for what is none of ours."""
    try:
        line = await reader.readline()
    except OSError:
        return None
    if not line.endswith(b"\n"):
        return None
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"a message that is no object: {line[:80]!r}")
    return message
