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


async def receive(reader: asyncio.StreamReader, longest: int = LONGEST) -> dict[str, Any] | None:
    """The next message, None at the end; raises ValueError for what is none of ours or longer than `longest` bytes."""
    line = b""
    while not line.endswith(b"\n"):
        try:
            line += await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as more:  # of what the reader holds at a time
            line += await reader.readexactly(more.consumed)
        except (OSError, asyncio.IncompleteReadError):
            return None
        if len(line) > longest:
            raise ValueError(f"a message of more than {longest} bytes: {line[:80]!r}")
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"a message that is no object: {line[:80]!r}")
    return message
