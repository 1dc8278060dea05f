"""What every answer of the page carries, and whom it answers at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OWN = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The page runs its own files only, and cannot make text into markup or code."""

_REPORT = (
    "sandbox allow-scripts allow-popups; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Evidently's page holds its scripts in itself. They run, as an origin of their own that can reach nothing."""

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class HostGuard:
    """Middleware that answers only requests that mean this machine by its name.

    A page elsewhere may let its own name lead to this machine (DNS rebinding) and would then be allowed to read what
    it is answered. The header ``Host`` still holds the page's name.

    Args:
        app: The application.
        hosts: Values of the header ``Host`` that are let through.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        policy = _REPORT if scope["path"].startswith("/reports/") else _OWN

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**_HEADERS, "content-security-policy": policy})
            await send(message)

        app = self._app
        if Headers(scope=scope).get("host", "").lower() not in self._hosts:
            app = PlainTextResponse("This page is only for the machine that it runs on.\n", 421)
        await app(scope, receive, send_guarded)
