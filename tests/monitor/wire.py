"""Readers of the files of services, from their formats alone: protocol buffers, and the records they lie in."""

import struct
import zlib
from pathlib import Path


def fields(message: bytes) -> dict[int, list]:
    """Values by number: integers of varints, bytes of all others."""
    result: dict[int, list] = {}
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}[kind] if kind != 2 else varint()
            value, at = message[at : at + size], at + size
        result.setdefault(number, []).append(value)
    return result


def doubles(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 8}d", packed)


def events(path: Path) -> list[dict[int, list]]:
    """`Event`s of a file of TensorBoard: TFRecords, each with CRC-32C of its length and of its bytes."""
    data, at, result = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        body = data[at + 12 : at + 12 + size]
        assert _masked(data[at : at + 8]) == data[at + 8 : at + 12]
        assert _masked(body) == data[at + 12 + size : at + 16 + size]
        result.append(fields(body))
        at += 16 + size
    return result


def _masked(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def records(path: Path) -> list[dict[int, list]]:
    """`Record`s of a run of W&B: a log in blocks of 32 KiB, records in parts with CRC-32 of kind and bytes."""
    data, at, result, parts = path.read_bytes(), 7, [], b""
    assert data[:4] == b":W&B"
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        crc, size, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + 7 : at + 7 + size]
        assert zlib.crc32(bytes([kind]) + body) == crc
        parts += body
        if kind in (1, 4):  # whole, or the last part
            result.append(fields(parts))
            parts = b""
        at += 7 + size
    return result
