"""HTTP with limits on the head of a request, and the change to another protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_HEADER_SECONDS = 10.0
"""How long the head of a request may take."""

_HEADER_BYTES = 32 << 10
"""Largest head of a request."""

Headers = Sequence[tuple[bytes, bytes]]


Upgraded = Callable[[bytes, Headers], "tuple[int, str] | Callable[[set[Any]], Any]"]


class LimitedProtocol(HttpToolsProtocol):
    """HTTP with limits on the head of a request, which uvicorn has none for.

    Attributes:
        upgrade: Name of the protocol that a connection may change to, and who says whether it does: given path and
            headers, either a status and the reason why not, or what makes the protocol that goes on. None for none.
    """

    upgrade: ClassVar[tuple[bytes, Upgraded] | None] = None

    def connection_made(self, transport: Any) -> None:
        """Begin, and wait for a head."""
        super().connection_made(transport)
        self._size = 0
        self._timer = self.loop.call_later(_HEADER_SECONDS, self._late)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._size = 0
        self._timer.cancel()
        self._timer = self.loop.call_later(_HEADER_SECONDS, self._late)

    def on_url(self, url: bytes) -> None:
        """Take a part of the path."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Wait for no head any more."""
        self._timer.cancel()
        super().on_headers_complete()

    def _should_upgrade(self) -> bool:
        return self.upgrade is not None and self._get_upgrade() == self.upgrade[0]

    def handle_websocket_upgrade(self) -> None:
        """Change to another protocol, as uvicorn does it for WebSocket alone."""
        assert self.upgrade is not None  # noqa: S101 (it should upgrade)
        name, upgraded = self.upgrade
        found = upgraded(self.url, self.headers)
        if isinstance(found, tuple):
            status, reason = found
            self._refuse(b"%d Refused" % status, reason)
            return
        self.connections.discard(self)
        self._timer.cancel()
        line = b"HTTP/1.1 101 Switching Protocols\r\n"
        self.transport.write(line + b"connection: upgrade\r\nupgrade: %b\r\n\r\n" % name)
        protocol = found(self.connections)
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP as everything else is refused: in JSON; uvicorn says it in plain text."""
        self._refuse(b"400 Bad Request", "this is no request of HTTP/1.1")

    def _refuse(self, status: bytes, reason: str) -> None:
        content = json.dumps({"error": reason}).encode()
        head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % (status, len(content))
        self.transport.write(head + b"connection: close\r\n\r\n" + content)
        self.transport.close()

    def _count(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > _HEADER_BYTES:
            self._late()

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
