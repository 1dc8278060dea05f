"""The application of a place beside its frames: probes, figures, and what it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from proml_kedro.serving.guard import App, Message, Receive, RequestGuard, Send
from proml_kedro.serving.lookup import StoreUnavailableError
from proml_kedro.serving.metrics import exposition
from proml_kedro.serving.places.work import Work
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PlaceSpec

_STORE_SECONDS = 5.0


class PlaceApp:
    """ASGI application of a place.

    Args:
        name: The place's name.
        spec: The place.
        scorer: The bundle, proven.
        work: What is done here.
        registry: Where figures are kept.
    """

    def __init__(
        self, name: str, spec: PlaceSpec, scorer: BundleScorer, work: Work, registry: CollectorRegistry
    ) -> None:
        self._metadata = {**scorer.metadata(), "place": name, "components": spec.components, "features": spec.features}
        self._work, self._registry = work, registry
        self._routes: dict[str, Callable[[], Awaitable[tuple[int, Any]]]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metadata": self._said,
            "/metrics": self._figures,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer."""
        route = self._routes.get(scope["path"])
        if route is None:
            status, content = 404, {"error": f"there is no such path; there are {', '.join(self._routes)}"}
        elif scope["method"] not in ("GET", "HEAD"):
            status, content = 405, {"error": "this path is not for this method"}
        else:
            status, content = await route()
        is_text = isinstance(content, bytes)
        body = content if is_text else orjson.dumps(content)
        kind = b"text/plain; version=0.0.4; charset=utf-8" if is_text else b"application/json"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        headers += [(b"allow", b"GET")] if status == 405 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _livez(self) -> tuple[int, Any]:
        return 200, {"status": "alive"}

    async def _readyz(self) -> tuple[int, Any]:
        try:
            await asyncio.wait_for(asyncio.to_thread(self._work.check), _STORE_SECONDS)
        except StoreUnavailableError as error:
            return 503, {"status": "not ready", "error": str(error)}
        except TimeoutError:
            return 503, {"status": "not ready", "error": "the online feature store does not answer"}
        return 200, {"status": "ready", "model": f"{self._metadata['name']}:{self._metadata['version']}"}

    async def _said(self) -> tuple[int, Any]:
        return 200, self._metadata

    async def _figures(self) -> tuple[int, Any]:
        return 200, exposition(self._registry)


def guarded(app: PlaceApp, token: str | None) -> App:
    """Let only those ask who have the token, probes excepted."""
    return RequestGuard(app, token=token)
