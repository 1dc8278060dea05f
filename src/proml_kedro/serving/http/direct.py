"""The routes that take bodies, without a framework between: it would cost as much as the model of a row."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

from proml_kedro.serving.guard import App, Message, Receive, Send

logger = logging.getLogger(__name__)

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
NOT_FOR_THIS_METHOD = "this path is not for this method"


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes:
        body: Its body.
        request_id: Its name: as the client says by ``X-Request-Id``, or by the trace of a ``traceparent``; else a new
            one.
        received_at: When its body was whole; aware.
        rows: Numbers of its rows in the request that it is a part of; None where it is all of it.
    """

    body: bytes
    request_id: str
    received_at: datetime
    rows: Sequence[int] | None = None


@dataclass(frozen=True)
class Answer:
    """An answer to a body.

    Attributes:
        content: What JSON can hold.
        status: HTTP status.
    """

    content: Mapping[str, Any]
    status: int = 200


Answers = Callable[[Asked], Awaitable[Answer]]


class Direct:
    """ASGI application of the routes that take bodies; others are passed on.

    Args:
        answers: What answers, by path.
        others: The application of all other paths.
    """

    def __init__(self, answers: Mapping[str, Answers], others: App) -> None:
        self._answers, self._others = answers, others

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        found = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._others(scope, receive, send)
            return
        name = request_id(scope["headers"])
        headers = [(b"content-type", b"application/json"), (b"x-request-id", name.encode())]
        if scope["method"] == "POST":
            body = (await receive())["body"]  # the guard has read all of it
            said = await _said(found, Asked(body, name, datetime.now(UTC)))
        else:
            said = Answer({"error": NOT_FOR_THIS_METHOD}, 405)
            headers.append((b"allow", b"POST"))
        status, content = _written(said)
        headers.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


async def _said(answers: Answers, asked: Asked) -> Answer:
    try:
        return await answers(asked)
    except Exception as error:  # noqa: BLE001 (the framework that is not here would say it with its message)
        return fault(error)


def _written(said: Answer) -> tuple[int, bytes]:
    try:
        return said.status, orjson.dumps(said.content)
    except TypeError as error:
        return 500, orjson.dumps(fault(error).content)


def fault(error: Exception) -> Answer:
    """Log a fault of ours, its place alone since its message may hold values of the request; return the answer."""
    logger.error("scoring failed: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
    return Answer({"error": "scoring failed; the server's log says where"}, 500)


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the name of a request, as its headers say; a new one where they say none that is good."""
    trace = None
    for name, value in headers:
        if name == b"x-request-id" and _ID.fullmatch(value):
            return value.decode()
        if name == b"traceparent" and (found := _TRACE.fullmatch(value)):
            trace = found[1].decode()
    return trace or uuid4().hex
