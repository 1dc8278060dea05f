"""A worker: one process that serves one bundle from a listening socket that it was given.

Run by :mod:`proml_kedro.serving.http.supervisor`, which writes its settings, as JSON, into a pipe whose number is the
first argument. With a bundle as the second one it loads that first, as practice, and stands by until it is told.
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
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from proml_kedro.errors import Mistake, UserError
from proml_kedro.hardware import name_process
from proml_kedro.locks import Claims
from proml_kedro.result_folder import claim_around
from proml_kedro.serving.guard import TOKEN_VARIABLE, App, Message, Receive, Send
from proml_kedro.serving.protocol import LimitedProtocol
from proml_kedro.spec import ChallengerSpec, PlaceSpec, PredictionLogSpec, ServingSpec

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from proml_kedro.serving.places.elsewhere import Elsewhere
    from proml_kedro.serving.scorer import BundleScorer

STANDBY, WORKER = "proml-standby", "proml-worker"
"""What a process is called once it stands by, and from when on it serves."""

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
        places: Where parts of the scoring are done, with the keys of ``serving.places``.
        place: The one of them that this is; None for the server that asks them.
        places_seconds: How long to wait for places; 0 to serve without those that do not answer.
        verify_key: File of the key that the bundle has to be signed by; None where it need not be.
        drain: Seconds that open connections may stay after the worker was told to end.
    """

    bundle: str
    socket: int
    ready: int
    serving: dict[str, Any] = field(default_factory=dict)
    online: bool = True
    log: str | None = None
    challenger: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Any] = field(default_factory=dict)
    place: str | None = None
    places_seconds: float = 10.0
    verify_key: str | None = None
    drain: float = 10.0

    def line(self) -> str:
        """Return the settings as the worker reads them."""
        return json.dumps(asdict(self)) + "\n"


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
    told, *practice = arguments
    if practice:
        _stand_by(Path(practice[0]))
    with os.fdopen(int(told), encoding="utf-8") as pipe:
        line = pipe.readline()
    if not line:  # nobody needs it any more
        return
    settings = Settings(**json.loads(line))
    name_process(WORKER)
    try:
        _serve(settings)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def _stand_by(bundle: Path) -> None:
    """Load libraries, and all that they do but once, by loading a bundle that is let go again."""
    import gc

    from proml_kedro.serving.http.application import Service
    from proml_kedro.serving.scorer import BundleScorer

    assert Service.__module__ in sys.modules  # noqa: S101 (it is imported for its own sake)
    with suppress(Exception):  # what is wrong with a bundle is said by who serves it
        BundleScorer(bundle)
    gc.collect()
    name_process(STANDBY)


def _serve(settings: Settings) -> None:
    from proml_kedro.bundle.signature import verify_signature
    from proml_kedro.serving.scorer import BundleScorer

    claims = Claims()  # nobody frees the bundle while this process serves it
    bundle = claim_around(Path(settings.bundle), claims)
    spec = ServingSpec.model_validate(settings.serving) if settings.serving else None
    if settings.verify_key is not None:
        verify_signature(bundle, Path(settings.verify_key), "serving.verify_key")
    scorer = BundleScorer(bundle, spec.log if spec else None)
    spec = spec or scorer.bundle.manifest.serving
    if settings.place is not None:
        _serve_place(settings.place, settings, scorer, spec)
    else:
        _serve_requests(settings, scorer, spec)


def _serve_requests(settings: Settings, scorer: BundleScorer, spec: ServingSpec) -> None:
    from prometheus_client import CollectorRegistry

    from proml_kedro.serving.http.application import Options, make_application
    from proml_kedro.serving.http.challenger import Beside, begin
    from proml_kedro.serving.prediction_log import open_log

    predictions = PredictionLogSpec(folder=settings.log) if settings.log else spec.predictions
    log = open_log(predictions, scorer.bundle) if predictions else None
    is_online, registry = settings.online and spec.online, CollectorRegistry()
    wanted = ChallengerSpec.model_validate(settings.challenger) if settings.challenger else spec.challenger
    beside = Beside(spec, is_online, settings.log)
    challenger = begin(wanted, scorer.bundle.manifest, beside, registry) if wanted else None
    elsewhere = _elsewhere(settings, scorer, registry) if settings.places else None
    options = Options(_token(), is_online, log, challenger, elsewhere, registry)
    try:
        _run(make_application(scorer, spec, options), LimitedProtocol, settings, spec)
    finally:
        if challenger is not None:
            challenger.close()
        if log is not None:
            log.close()
        if elsewhere is not None:
            elsewhere.close()


def _elsewhere(settings: Settings, scorer: BundleScorer, registry: CollectorRegistry) -> Elsewhere:
    """Prepare to ask places.

    Raises:
        UserError: One is for what the model has not, or requests cannot do without one and it does not answer.
    """
    from proml_kedro.serving.places.elsewhere import Elsewhere
    from proml_kedro.serving.places.place import PlaceMetrics

    specs = {name: PlaceSpec.model_validate(one) for name, one in settings.places.items()}
    elsewhere = Elsewhere(scorer, specs, PlaceMetrics(registry))
    missing = elsewhere.wait(settings.places_seconds)
    lost = elsewhere.fails_without(missing) if settings.places_seconds else []
    if lost:
        hint = "start it with `kedro serve TARGET --place "
        raise UserError(
            *(Mistake(f"serving.places.{one}", f"{specs[one].url}: {missing[one]}; {hint}{one}`") for one in lost)
        )
    return elsewhere


def _serve_place(name: str, settings: Settings, scorer: BundleScorer, spec: ServingSpec) -> None:
    from prometheus_client import CollectorRegistry

    from proml_kedro.serving.places.listener import make_protocol
    from proml_kedro.serving.places.place_app import PlaceApp, guarded
    from proml_kedro.serving.places.work import Work

    registry, place = CollectorRegistry(), PlaceSpec.model_validate(settings.places[name])
    work = Work(scorer, place, spec.max_rows, registry)
    app = guarded(PlaceApp(name, place, scorer, work, registry), _token())
    _run(app, make_protocol(work, scorer.bundle.digest, _token()), settings, spec)


def _run(app: App, protocol: type[LimitedProtocol], settings: Settings, spec: ServingSpec) -> None:
    application = _Closing(app)
    config = uvicorn.Config(
        application,
        http=protocol,
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
    application.server.run([socket.socket(fileno=settings.socket)])


def _token() -> str | None:
    return os.environ.get(TOKEN_VARIABLE) or None


if __name__ == "__main__":
    main(sys.argv[1:])
