"""Connections of those who ask a place: HTTP until they change to frames."""

from __future__ import annotations

import asyncio
import hmac
import struct
import time
from collections.abc import Callable
from typing import Any, cast

import orjson

from proml_kedro.serving.places.wire import DIGEST, PATH, UPGRADE
from proml_kedro.serving.places.work import Question, Work
from proml_kedro.serving.protocol import Headers, LimitedProtocol

_LENGTHS = struct.Struct(">II")
_MOST = 64 << 20
"""Bytes of the largest frame that is read."""

_MOST_SECONDS = 60.0


class FrameProtocol(asyncio.Protocol):
    """A connection that frames come over, and answers to them in their order.

    Args:
        work: Answers.
        connections: Of the server, which waits for them when it is told to end.
    """

    def __init__(self, work: Work, connections: set[Any]) -> None:
        self._work, self._connections = work, connections
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._connections.discard(self)

    def shutdown(self) -> None:
        """End, once what is answered is sent; the server calls it."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what has come, and pass whole frames on."""
        self._buffer += data
        while len(self._buffer) >= _LENGTHS.size:
            head, body = _LENGTHS.unpack_from(self._buffer)
            end = _LENGTHS.size + head + body
            if end > _MOST:
                self.shutdown()
                return
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[_LENGTHS.size : end])
            del self._buffer[:end]
            if not self._take(frame[:head], frame[head:]):
                self.shutdown()
                return

    def _take(self, text: bytes, body: bytes) -> bool:
        """Pass a frame on; return whether it is one."""
        try:
            head = orjson.loads(text)
            seconds = min(float(head["ms"]) / 1000, _MOST_SECONDS)
        except (ValueError, TypeError, KeyError):
            return False
        self._work.put(Question(head, body, time.monotonic() + seconds, self._answer))
        return True

    def _answer(self, content: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(content)


def make_protocol(work: Work, digest: str, token: str | None) -> type[LimitedProtocol]:
    """Make the protocol of a place's connections.

    Args:
        work: Answers frames.
        digest: Of the bundle: who asks for another one is refused.
        token: What those who ask have to send; None when they need none.
    """

    def upgraded(url: bytes, headers: Headers) -> tuple[int, str] | Callable[[set[Any]], FrameProtocol]:
        known = {bytes(name).lower(): bytes(value) for name, value in headers}
        sent = known.get(b"authorization", b"").removeprefix(b"Bearer ")
        if token is not None and not hmac.compare_digest(sent, token.encode()):
            return 401, "send the header 'Authorization: Bearer TOKEN' with a valid token"
        if url != PATH.encode():
            return 404, "there is no such path"
        if known.get(DIGEST.encode()) != digest.encode():
            return 409, "another bundle is served here"
        return lambda connections: FrameProtocol(work, connections)

    return type("PlaceProtocol", (LimitedProtocol,), {"upgrade": (UPGRADE.encode(), upgraded)})
