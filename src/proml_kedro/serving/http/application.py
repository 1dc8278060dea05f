"""The application: fixed routes, answers without values of requests, and readiness that covers what is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import orjson
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from proml_kedro.bundle import Manifest
from proml_kedro.serving.guard import TOKEN_VARIABLE, App, Message, Receive, RequestGuard, Send
from proml_kedro.serving.http import answers
from proml_kedro.serving.http.challenger import Challenger
from proml_kedro.serving.http.changes import Changes
from proml_kedro.serving.http.decoder import RefusedError, bodies
from proml_kedro.serving.http.direct import NOT_FOR_THIS_METHOD, Answer, Answers, Asked, Direct, fault
from proml_kedro.serving.http.duel import Duel
from proml_kedro.serving.http.openapi import RELOAD, page, specification
from proml_kedro.serving.log_records import Record
from proml_kedro.serving.lookup import MomentUnknownError, StoreUnavailableError
from proml_kedro.serving.metrics import Metrics
from proml_kedro.serving.places.elsewhere import Elsewhere, PlaceUnavailableError
from proml_kedro.serving.prediction_log import PredictionLog
from proml_kedro.serving.schema import Row
from proml_kedro.serving.scorer import BundleScorer, Scored
from proml_kedro.spec import ServingSpec

_INLINE_ROWS = 256
"""Largest number of rows that are scored at once; more in a thread, so that probes are answered meanwhile."""

PATHS = (
    "/predict",
    "/predict_online",
    "/rank",
    "/explain",
    "/features",
    RELOAD,
    "/metadata",
    "/schema",
    "/openapi.json",
    "/",
    "/livez",
    "/readyz",
    "/metrics",
)


_WITH_FEATURES = ("/predict", "/explain")
"""Routes whose rows bring all features."""

_AT_ONCE = 32
"""Requests that wait for places at once; one of them computes."""

_RELOAD_SECONDS = 300.0
"""How long a change may take."""

T = TypeVar("T")
Score = Callable[[list[Row]], Scored]
Say = Callable[[Manifest, list[Row], Scored], dict[str, Any]]

_KNOWN = {404: f"there is no such path; there are {', '.join(PATHS)}", 405: NOT_FOR_THIS_METHOD}


@dataclass(frozen=True)
class Options:
    """How the application is served.

    Attributes:
        token: What clients have to send; None when they need none.
        online: Whether features are looked up; the store is then part of readiness, where the model needs one.
        log: Of what is asked and answered; None for none.
        challenger: Another model that scores, too; None for none.
        elsewhere: Asks places for parts of the scoring; None where all of it is done here.
        registry: Where figures are kept; one of its own when None.
    """

    token: str | None = None
    online: bool = True
    log: PredictionLog | None = None
    challenger: Challenger | None = None
    elsewhere: Elsewhere | None = None
    registry: CollectorRegistry | None = None


class Json(Response):
    """A response in JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Write the content; not-a-number cannot be in it."""
        return orjson.dumps(content)


def make_application(scorer: BundleScorer, spec: ServingSpec, options: Options) -> App:
    """Make the ASGI application of a loaded bundle.

    Args:
        scorer: The bundle, proven.
        spec: Limits.
        options: Token and look-ups.
    """
    service = Service(scorer, spec, options)
    routes = [
        Route(RELOAD, service.reload, methods=["POST"]),
        Route("/metadata", service.metadata),
        Route("/schema", service.schema),
        Route("/openapi.json", service.openapi),
        Route("/", service.page),
        Route("/livez", service.livez),
        Route("/readyz", service.readyz),
        Route("/metrics", service.figures),
    ]
    inner = Starlette(routes=routes, exception_handlers={HTTPException: _http_error})
    inner.router.redirect_slashes = False
    by_path = service.answers()
    direct = Direct(by_path, inner)
    guarded = RequestGuard(direct, spec.max_body_bytes, options.token, json_paths=frozenset(by_path))
    return _Counted(guarded, service.metrics)


class Service:
    """The answers of each route."""

    def __init__(self, scorer: BundleScorer, spec: ServingSpec, options: Options) -> None:
        manifest = scorer.bundle.manifest
        self._scorer, self._spec, self._options = scorer, spec, options
        self._manifest, self._tag = manifest, manifest.tag
        self._bodies = bodies(manifest, spec)
        # One: a worker computes with one thread. Of several one computes, and the others wait for places.
        self._thread = ThreadPoolExecutor(_AT_ONCE if options.elsewhere else 1, "scorer")
        self._openapi = specification(manifest, self._bodies, needs_token=options.token is not None)
        self.metrics = Metrics(PATHS, manifest.score_output == "probability", options.registry)
        scorer.online.on_loss = self.metrics.lost
        scorer.keeps_trace = options.log is not None
        if options.log is not None:
            options.log.on_loss = self.metrics.lost

    def answers(self) -> dict[str, Answers]:
        """Return what answers bodies, by path."""
        return {
            "/predict": self.predict,
            "/predict_online": self.predict_online,
            "/rank": self.rank,
            "/explain": self.explain,
            "/features": self.features,
        }

    async def predict(self, asked: Asked) -> Answer:
        """Score rows of feature values."""
        return await self._answer(asked, "/predict", self._scorer.find, answers.scores)

    async def predict_online(self, asked: Asked) -> Answer:
        """Look features up by key, then score."""
        return await self._answer(asked, "/predict_online", self._scorer.find_online, answers.online_scores)

    async def rank(self, asked: Asked) -> Answer:
        """Look candidates up by key, score them, and put them in order."""
        if self._manifest.classes:
            return Answer({"error": "the score of several classes has no order"}, 422)
        return await self._answer(asked, "/rank", self._scorer.find_ranked, answers.ranked)

    async def explain(self, asked: Asked) -> Answer:
        """Divide scores among the features."""
        try:
            rows = self._rows(asked, "/explain")
        except RefusedError as error:
            return Answer(error.content(), error.status)
        elsewhere = self._options.elsewhere
        if elsewhere is not None and elsewhere.has(self._manifest.model.score):
            return Answer({"error": f"{self._tag} cannot be explained here: its last component is at a place"}, 422)
        found, degraded = await self._found(rows, self._scorer.explain, in_thread=True)
        if found is None:
            return Answer(
                {"error": f"{self._tag} cannot be explained: only the margins of trees and linear models can"}, 422
            )
        if isinstance(found, Answer):
            return found
        return Answer(_with(answers.explanations(self._manifest, found), degraded))

    async def features(self, asked: Asked) -> Answer:
        """Look features up by key."""
        try:
            rows = self._rows(asked, "/features")
        except RefusedError as error:
            return Answer(error.content(), error.status)
        found, degraded = await self._found(rows, self._scorer.online.find, in_thread=True)
        if isinstance(found, Answer):
            return found
        return Answer(_with(answers.features(self._manifest, found, len(rows)), degraded))

    def _rows(self, asked: Asked, route: str) -> list[Row]:
        """Read the rows of a body.

        Raises:
            RefusedError: They do not fit, or nothing is looked up here.
        """
        if route not in _WITH_FEATURES and not self._options.online:
            raise RefusedError(503, "features are not looked up here: `serving.online` or --no-online says so")
        return self._bodies[route].rows(asked.body)

    async def _answer(self, asked: Asked, route: str, score: Score, say: Say) -> Answer:
        try:
            rows = self._rows(asked, route)
        except RefusedError as error:
            return Answer(error.content(), error.status)

        async def own(numbers: Sequence[int] | None) -> Answer:
            if numbers is None:
                return await self._scored(asked, rows, route, score, say)
            some = [rows[number] for number in numbers]
            return await self._scored(replace(asked, rows=numbers), some, route, score, say)

        if self._options.challenger is None:
            return await own(None)
        return await Duel(self._options.challenger, asked, route, rows).answer(own)

    async def _scored(self, asked: Asked, rows: list[Row], route: str, score: Score, say: Say) -> Answer:
        found, degraded = await self._found(rows, score, in_thread=route != "/predict")
        self._log(asked, rows, found, degraded)
        if isinstance(found, Answer):
            return found
        self.metrics.scored(route, found.scores, sum(found.missing), sum(found.expired))
        return Answer(_with(say(self._manifest, rows, found), degraded))

    async def _found(
        self, rows: list[Row], find: Callable[[list[Row]], T], in_thread: bool
    ) -> tuple[T | Answer, Sequence[str]]:
        """Score rows or look them up, or say why not; also name the places that this was done without."""
        elsewhere, seconds = self._options.elsewhere, self._spec.timeout.total_seconds()
        try:
            if elsewhere is None and not in_thread and len(rows) <= _INLINE_ROWS:
                return find(rows), ()
            until = time.monotonic() + seconds
            work = asyncio.get_running_loop().run_in_executor(self._thread, _scored_by, elsewhere, until, find, rows)
            return await asyncio.wait_for(asyncio.shield(work), seconds)
        except MomentUnknownError as error:
            return Answer(error.content(), 422), ()
        except (StoreUnavailableError, PlaceUnavailableError) as error:
            return Answer({"error": str(error)}, 503), ()
        except TimeoutError:
            return Answer(
                {"error": f"no answer within {_seconds(self._spec.timeout)}; send fewer rows at once"}, 504
            ), ()
        except Exception as error:  # noqa: BLE001 (raised further, its message, which may hold values, would be logged)
            return fault(error), ()

    def _log(self, asked: Asked, rows: list[Row], found: Scored | Answer, degraded: Sequence[str]) -> None:
        if self._options.log is None:
            return
        record = Record(asked.request_id, asked.received_at, 200, rows, numbers=asked.rows, degraded=degraded)
        took = (datetime.now(UTC) - asked.received_at).total_seconds()
        record = replace(record, seconds=took if took >= 0 else None)  # a clock that was put back measures nothing
        if isinstance(found, Answer):
            record = replace(record, status=found.status)
        elif found.trace is not None:
            made = found.trace
            record = replace(
                record, scores=found.scores, features=made.features, components=made.components, missing=found.missing
            )
        self._options.log.write(record)

    async def reload(self, request: Request) -> Response:
        """Let the supervisor serve what is live now, and say how that went."""
        changes = Changes.of_worker()
        if self._options.token is None or changes is None:
            return Json({"error": f"only who has a token may: start the server with {TOKEN_VARIABLE}"}, 403)
        change = await changes.ask(_RELOAD_SECONDS)
        if change is None:
            return Json({"error": f"nothing was changed within {_RELOAD_SECONDS:g} s; the server's log says more"}, 504)
        if change.error is not None:
            return Json({"error": "nothing is changed: the bundle cannot be served; the server's log says why"}, 409)
        return Json({"status": "changed", "model": Manifest.read(Path(change.bundle)).tag})

    async def metadata(self, request: Request) -> Response:
        """Say what is served."""
        return Json(self._scorer.metadata())

    async def schema(self, request: Request) -> Response:
        """Say what a row consists of, as JSON Schema."""
        return Json({path: one.json_schema("#/$defs/{model}") for path, one in self._bodies.items()})

    async def openapi(self, request: Request) -> Response:
        """Describe all routes."""
        return Json(self._openapi)

    async def page(self, request: Request) -> Response:
        """Show the routes to people."""
        return HTMLResponse(page(self._openapi))

    async def livez(self, request: Request) -> Response:
        """Say that the process answers."""
        return Json({"status": "alive"})

    async def readyz(self, request: Request) -> Response:
        """Say whether everything that the model needs is there: the bundle was proved before anything was served."""
        loop = asyncio.get_running_loop()
        places = await loop.run_in_executor(None, self._options.elsewhere.check) if self._options.elsewhere else {}
        if self._options.elsewhere is not None and (lost := self._options.elsewhere.fails_without(places)):
            error = f"the place '{lost[0]}' does not answer: {places[lost[0]]}"
            return Json(_with({"status": "not ready", "error": error}, [*places]), 503)
        if self._options.online and self._scorer.online.is_needed and not self._scorer.online.is_elsewhere:
            try:
                await asyncio.wait_for(loop.run_in_executor(self._thread, self._scorer.online.check), 5)
            except StoreUnavailableError as error:
                return Json({"status": "not ready", "error": str(error)}, 503)
            except TimeoutError:
                return Json({"status": "not ready", "error": "the online feature store does not answer"}, 503)
        return Json(_with({"status": "ready", "model": self._tag}, [*places]))

    async def figures(self, request: Request) -> Response:
        """Give figures to Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


class _Counted:
    """Counter of all requests, those that the guard refuses too."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._metrics.request(scope["path"]) as status:

            async def counted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status.append(message["status"])
                await send(message)

            await self._app(scope, receive, counted)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = getattr(error, "headers", None)
    return Json({"error": _KNOWN.get(status, "the request cannot be answered")}, status, headers)


def _scored_by(
    elsewhere: Elsewhere | None, until: float, find: Callable[[list[Row]], T], rows: list[Row]
) -> tuple[T, Sequence[str]]:
    if elsewhere is None:
        return find(rows), ()
    with elsewhere.request(until) as ticket:
        return find(rows), [*ticket.degraded]


def _with(content: dict[str, Any], degraded: Sequence[str]) -> dict[str, Any]:
    """Name the places that an answer was made without, where there are any."""
    return {**content, "degraded": list(degraded)} if degraded else content


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"
