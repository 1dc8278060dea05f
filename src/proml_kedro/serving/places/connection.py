"""A connection to a place: kept open, one question at a time."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from proml_kedro.serving.frames import frame
from proml_kedro.serving.places.wire import DIGEST, PATH, UPGRADE, WireError

_LENGTHS = struct.Struct(">II")
_MOST = 256 << 20
"""Bytes of the largest answer that is read."""

_HEAD_BYTES = 16 << 10
_AT_ONCE = 1 << 18


class RefusedError(Exception):
    """The place answers, and does not want this asker; ``str()`` of the error says why."""


class Connection:
    """A connection to a place.

    Args:
        url: ``http://HOST:PORT``.
        digest: Of the bundle that is asked for.
        token: What the place wants to be sent; None where it wants none.
        until: When it has to be there, by ``time.monotonic``.

    Raises:
        RefusedError: The place serves another bundle or place, or wants another token.
        OSError: Nobody answers there in time.
    """

    def __init__(self, url: str, digest: str, token: str | None, until: float) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        self._socket = socket.create_connection(address, _left(until))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lines = [f"GET {PATH} HTTP/1.1", f"Host: {parts.netloc}", "Connection: Upgrade", f"Upgrade: {UPGRADE}"]
            lines += [f"{DIGEST}: {digest}", *([f"Authorization: Bearer {token}"] if token else [])]
            self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
            _refuse(self._head(until))
        except BaseException:
            self._socket.close()
            raise

    def _head(self, until: float) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            self._socket.settimeout(_left(until))
            part = self._socket.recv(4096)
            if not part or len(head) > _HEAD_BYTES:
                raise ConnectionError("it is no place: it speaks another protocol")
            head += part
        return head

    def ask(self, head: Mapping[str, Any], body: bytes, until: float) -> tuple[dict[str, Any], bytes]:
        """Ask, and wait for the answer. The connection is of no use any more once this has raised.

        Raises:
            TimeoutError: There is none in time.
            OSError: The place has gone; a ``ConnectionError`` if it has said nothing.
            WireError: The answer is none.
        """
        self._socket.settimeout(_left(until))
        self._socket.sendall(frame(head, body))
        said = self._socket.recv(_AT_ONCE)  # most answers come as one piece
        if not said:
            raise ConnectionResetError
        said = self._until(said, _LENGTHS.size, until)
        head_size, body_size = _LENGTHS.unpack_from(said)
        start, end = _LENGTHS.size + head_size, _LENGTHS.size + head_size + body_size
        if end > _MOST:
            raise WireError("its answer is too large")
        said = self._until(said, end, until)
        if len(said) > end:
            raise WireError("it says more than an answer")
        try:
            answer = orjson.loads(said[_LENGTHS.size : start])
        except ValueError as error:
            raise WireError("its answer has no head") from error
        if not isinstance(answer, dict):
            raise WireError("its answer has no head")
        return answer, said[start:]

    def _until(self, said: bytes, size: int, until: float) -> bytes:
        """Read on until so many bytes are there."""
        parts, there = [said], len(said)
        while there < size:
            self._socket.settimeout(_left(until))
            part = self._socket.recv(_AT_ONCE)
            if not part:
                raise WireError("its answer is cut off")
            parts.append(part)
            there += len(part)
        return said if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _refuse(head: bytes) -> None:
    """Refuse any answer but the change of protocols.

    Raises:
        RefusedError: The place says no.
        ConnectionError: It is no place.
    """
    line = head.partition(b"\r\n")[0]
    status = line.split(b" ")[1:2]
    if status == [b"101"]:
        if head.endswith(b"\r\n\r\n"):
            return
        raise ConnectionError("it is no place: it speaks unasked")
    reasons = {b"401": "it wants another token", b"409": "it serves another bundle", b"404": "it is no place"}
    if status and status[0] in reasons:
        raise RefusedError(reasons[status[0]])
    raise ConnectionError("it is no place: it speaks another protocol")
