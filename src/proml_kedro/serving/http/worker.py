"""A worker: one process that serves one bundle from a listening socket that it was given.

Run by :mod:`proml_kedro.serving.http.supervisor` with one argument, its settings as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proml_kedro.errors import UserError
from proml_kedro.locks import Claims
from proml_kedro.result_folder import claim_around
from proml_kedro.serving.guard import TOKEN_VARIABLE, App, Message, Receive, Send
from proml_kedro.spec import ChallengerSpec, PredictionLogSpec, ServingSpec

_HEADER_SECONDS = 10.0
"""How long the head of a request may take."""

_HEADER_BYTES = 32 << 10
"""Largest head of a request."""

_ACCEPT_SECONDS = 0.3
"""How long connections that wait already are still accepted by a worker that is to end."""


@dataclass(frozen=True)
class Settings:
    """What a worker is told.

    Attributes:
        bundle: The bundle's folder.
        socket: Number of the file of the listening socket.
        ready: Number of the file to which a line is written once the bundle is proved.
        serving: Limits, with the keys of ``conf/serving``; those of the bundle when empty.
        online: Whether features are looked up.
        log: Folder of the prediction log; as ``serving.predictions`` says when None.
        challenger: Another model that scores too, with the keys of ``serving.challenger``; as ``serving`` says when
            empty.
        drain: Seconds that open connections may stay after the worker was told to end.
    """

    bundle: str
    socket: int
    ready: int
    serving: dict[str, Any] = field(default_factory=dict)
    online: bool = True
    log: str | None = None
    challenger: dict[str, Any] = field(default_factory=dict)
    drain: float = 10.0

    def line(self) -> str:
        """Return the settings as the worker's argument."""
        return json.dumps(asdict(self))


class _Protocol(HttpToolsProtocol):
    """HTTP with limits on the head of a request, which uvicorn has none for."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._size = 0
        self._timer = self.loop.call_later(_HEADER_SECONDS, self._late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._size = 0
        self._timer.cancel()
        self._timer = self.loop.call_later(_HEADER_SECONDS, self._late)

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name + value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._timer.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP as everything else is refused: in JSON; uvicorn says it in plain text."""
        content = json.dumps({"error": "this is no request of HTTP/1.1"}).encode()
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(content)
        self.transport.write(head + b"connection: close\r\n\r\n" + content)
        self.transport.close()

    def _count(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > _HEADER_BYTES:
            self._late()

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """A server that, told to end, answers what has come and what comes on open connections, and closes them."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings
        self._told: float | None = None
        self._supervisor = os.getppid()

    @property
    def is_draining(self) -> bool:
        """Whether connections are to end with their next answer."""
        return self._told is not None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._told is not None and sig == signal.SIGINT:
            self.should_exit = self.force_exit = True
        self._told = self._told or time.monotonic()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        os.write(self._settings.ready, b"ready\n")
        os.close(self._settings.ready)

    async def on_tick(self, counter: int) -> bool:
        if os.getppid() != self._supervisor:  # it was killed; nobody else would ever end this worker
            self._told = self._told or time.monotonic()
        if self._told is not None:
            gone = time.monotonic() - self._told
            if gone > _ACCEPT_SECONDS:
                for one in self.servers:
                    one.close()
                await asyncio.sleep(0)
                self.should_exit |= not self.server_state.connections or gone > self._settings.drain
        return await super().on_tick(counter)


class _Closing:
    """The application, whose answers end their connections while the server drains."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.server: _Server | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self.server is None or not self.server.is_draining or scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing)


def main(arguments: Sequence[str]) -> None:
    """Serve until told to end; what is wrong with the bundle is said in one line, with exit code 2."""
    settings = Settings(**json.loads(arguments[0]))
    try:
        _serve(settings)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _serve(settings: Settings) -> None:
    from prometheus_client import CollectorRegistry

    from proml_kedro.serving.http.application import Options, make_application
    from proml_kedro.serving.http.challenger import Beside, begin
    from proml_kedro.serving.prediction_log import open_log
    from proml_kedro.serving.scorer import BundleScorer

    claims = Claims()  # nobody frees the bundle while this process serves it
    bundle = claim_around(Path(settings.bundle), claims)
    spec = ServingSpec.model_validate(settings.serving) if settings.serving else None
    scorer = BundleScorer(bundle, spec.log if spec else None)
    spec = spec or scorer.bundle.manifest.serving
    predictions = PredictionLogSpec(folder=settings.log) if settings.log else spec.predictions
    log = open_log(predictions, scorer.bundle) if predictions else None
    is_online, registry = settings.online and spec.online, CollectorRegistry()
    wanted = ChallengerSpec.model_validate(settings.challenger) if settings.challenger else spec.challenger
    beside = Beside(spec, is_online, settings.log)
    challenger = begin(wanted, scorer.bundle.manifest, beside, registry) if wanted else None
    options = Options(os.environ.get(TOKEN_VARIABLE) or None, is_online, log, challenger, registry)
    application = _Closing(make_application(scorer, spec, options))
    config = uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, int(spec.timeout.total_seconds())),
    )
    application.server = _Server(config, settings)
    try:
        application.server.run([socket.socket(fileno=settings.socket)])
    finally:
        if challenger is not None:
            challenger.close()
        if log is not None:
            log.close()


if __name__ == "__main__":
    main(sys.argv[1:])
