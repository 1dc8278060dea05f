"""Frames between processes of a server: a head in JSON and bytes, each with its length before it. Never pickled."""

from __future__ import annotations

import struct
from asyncio import StreamReader
from collections.abc import Mapping
from typing import Any

import orjson

_LENGTHS = struct.Struct(">II")


def frame(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Write a frame."""
    text = orjson.dumps(head)
    return b"".join((_LENGTHS.pack(len(text), len(body)), text, body))


async def read_frame(reader: StreamReader) -> tuple[dict[str, Any], bytes]:
    """Read the next frame.

    Raises:
        asyncio.IncompleteReadError: The other side has gone.
    """
    head, body = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
    return orjson.loads(await reader.readexactly(head)), await reader.readexactly(body)
