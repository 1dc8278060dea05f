"""The guard before the service: who may ask, in which format, and how much.

Pure ASGI, since it must see a body that has no declared length before anything reads it. It answers by itself and
never raises: an exception here would keep the client waiting until the service's timeout.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Container, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

TOKEN_VARIABLE = "PROML_API_TOKEN"  # noqa: S105 (the name of a variable)
OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})


class _TooLargeError(Exception):
    pass


class RequestGuard:
    """ASGI middleware that refuses requests by their sender, format or size.

    Args:
        app: The application behind it.
        max_body_bytes: Largest request body that passes.
        body_seconds: How long a body may take to arrive.
        json_paths: The paths that take bodies in JSON; all of them when None.
        token: What a client has to send as ``Authorization: Bearer TOKEN``. None when clients need no token. Probes of
            :data:`OPEN_PATHS` never need it.
    """

    def __init__(
        self,
        app: App,
        max_body_bytes: int = 1 << 20,
        token: str | None = None,
        body_seconds: float = 30,
        json_paths: Container[str] | None = None,
    ) -> None:
        self.app = app
        self._json_paths = json_paths
        self._body_seconds = body_seconds
        self._max_body_bytes = max_body_bytes
        self._token = token.encode() if token else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 400, 401, 408, 413 or 415, or pass the request on."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # nothing here speaks it
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        headers = {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal:
            await _answer(send, *refusal)
        elif scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
        else:
            await self._pass_body(scope, receive, send)

    def _refusal(self, scope: Message, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        if scope["path"] in OPEN_PATHS:
            return None
        if not self._is_allowed(headers.get(b"authorization", b"")):
            return 401, "send the header 'Authorization: Bearer TOKEN' with a valid token"
        if scope["method"] in ("GET", "HEAD"):
            return None
        if self._takes_json(scope) and not _is_json(headers.get(b"content-type", b"")):
            return 415, "send JSON with the header 'Content-Type: application/json'"
        length = headers.get(b"content-length")
        if length is not None and not (length.isdigit() and len(length) < 19):
            return 400, "Content-Length is not a number of bytes"
        if length is not None and int(length) > self._max_body_bytes:
            return 413, self._too_large
        return None

    def _takes_json(self, scope: Message) -> bool:
        """Whether a body would be read: other methods and paths are answered with 405 or 404, whatever they send."""
        return self._json_paths is None or (scope["method"] == "POST" and scope["path"] in self._json_paths)

    def _is_allowed(self, authorization: bytes) -> bool:
        if self._token is None:
            return True
        scheme, _, token = authorization.partition(b" ")
        same = hmac.compare_digest(token.strip(), self._token)  # takes as long for a near miss as for a far one
        return same and scheme.lower() == b"bearer"

    @property
    def _too_large(self) -> str:
        return f"the body is larger than {self._max_body_bytes} bytes; send fewer rows at once"

    async def _pass_body(self, scope: Message, receive: Receive, send: Send) -> None:
        """Read the body up to the limit, whether or not its length was declared, and pass it on as one piece."""
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await self._read(receive)
        except TimeoutError:
            await _answer(send, 408, f"the body did not arrive within {self._body_seconds:g} s")
            return
        except _TooLargeError:
            await _answer(send, 413, self._too_large)
            return
        if body is None:
            return
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self.app(scope, replay, send)

    async def _read(self, receive: Receive) -> bytes | None:
        """Read the body; return None when the client has gone."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise _TooLargeError
            if not message.get("more_body", False):
                return b"".join(parts)


def _is_json(content_type: bytes) -> bool:
    return content_type.split(b";")[0].strip().lower() == b"application/json"


async def _answer(send: Send, status: int, error: str) -> None:
    body = json.dumps({"error": error}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),  # what is left of the body is not read
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
