"""The HTTP service: a bundle behind BentoML's server, supervisor, probes and metrics.

``POST /predict`` scores rows of feature values, ``POST /predict_online`` looks features up by key, ``GET /metadata``
says what is served. A body that does not fit is answered here and not by BentoML, which would log its values.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import bentoml
import yaml
from pydantic import ConfigDict, ValidationError, create_model
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from proml_kedro.bundle import Manifest
from proml_kedro.serving.guard import TOKEN_VARIABLE, Guard
from proml_kedro.serving.lookup import STORE_VARIABLE, StoreUnavailableError
from proml_kedro.serving.schema import (
    Problem,
    Row,
    describe_problems,
    is_not_json,
    online_row_type,
    row_type,
    rows_field,
    scores_field,
)
from proml_kedro.spec import ServingSpec

if TYPE_CHECKING:
    from proml_kedro.serving.scorer import Scorer

logger = logging.getLogger(__name__)

_INLINE_ROWS = 32
"""Up to so many rows are scored at once; more in a thread, so that probes are answered meanwhile."""


class Refusal:
    """Why a body was not taken: stands where its rows would have been."""

    def __init__(self, status: int, error: str, problems: list[Problem]) -> None:
        self.status = status
        self.error = error
        self.problems = problems

    def response(self) -> HttpResponse:
        """The answer to the sender."""
        return JSONResponse({"error": self.error, "problems": self.problems}, self.status)


class Body(bentoml.IODescriptor):  # type: ignore[misc]
    """A request's body. Each service makes a subclass with the type of its rows."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    known_keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        """Read a body; one that does not fit becomes a :class:`Refusal`, since an exception would be logged."""
        body: Self
        try:
            body = cls.model_validate_json(await request.body())
        except ValidationError as error:
            body = cls.model_construct(instances=cls._refusal(error))
        return body

    @classmethod
    def _refusal(cls, error: ValidationError) -> Refusal:
        count = error.error_count()
        problems = describe_problems(error, cls.known_keys)
        status = 400 if is_not_json(error) else 422
        return Refusal(status, f"{count} problem{'s' * (count > 1)}; nothing was scored", problems)


class Scores(bentoml.IODescriptor):  # type: ignore[misc]
    """A response: which model it was. Each service makes a subclass with one score for each row, in order."""

    model_config = ConfigDict(protected_namespaces=())

    model: str


def read_spec(file: Path) -> ServingSpec:
    """How to serve, from a YAML file with the keys of ``conf/serving``.

    Raises:
        pydantic.ValidationError: It is not what ``ServingSpec`` describes.
    """
    return ServingSpec.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def make_service(bundle: Path, spec: ServingSpec | None = None, metrics: bool = True) -> Any:
    """A BentoML service for a bundle.

    Only the manifest is read here: the server's supervisor imports the service too. The bundle is verified, loaded
    and proved by its golden rows when a worker starts; a worker that fails at that never becomes ready.

    Args:
        bundle: The bundle's folder.
        spec: How to serve it; as the run that made the bundle was configured when None.
        metrics: Whether to offer Prometheus metrics; a process can hold only one service that does.

    Returns:
        A ``bentoml.Service``; its ``to_asgi()`` is the application.

    Raises:
        IntegrityError: The bundle has no manifest that this version reads.
    """
    manifest = Manifest.read(bundle)
    spec = spec or manifest.serving
    log = spec.log
    predict_body = _body("PredictRequest", row_type("FeatureRow", manifest.rows), spec.max_rows)
    scores = _scores(manifest)
    online_body = _body("PredictOnlineRequest", online_row_type("KeyRow", manifest.rows), spec.max_rows)

    class Service:
        def __init__(self) -> None:
            from proml_kedro.serving.scorer import Scorer

            self.scorer = Scorer(bundle, log)
            self.endpoints = Endpoints(self.scorer, scores)
            application.state.scorer = self.scorer

        def __is_ready__(self) -> bool:
            return True  # it exists: the bundle was proved

        @bentoml.api(input_spec=predict_body, output_spec=scores)  # type: ignore[untyped-decorator]
        async def predict(self, instances: Any) -> Any:
            """Score rows of feature values."""
            return await self.endpoints.answer(self.scorer.score, instances)

        @bentoml.api(input_spec=online_body, output_spec=scores)  # type: ignore[untyped-decorator]
        async def predict_online(self, instances: Any) -> Any:
            """Look up features by key, then score."""
            return await self.endpoints.answer(self.scorer.score_online, instances, in_thread=True)

    Service.__doc__ = f"{manifest.description or manifest.name}: the model {manifest.tag}"
    application = Starlette(routes=[Route("/metadata", _metadata, methods=["GET"])])
    service = bentoml.service(
        name=manifest.name.lower(),
        workers=spec.workers,
        traffic={"timeout": spec.timeout.total_seconds()},
        metrics={"enabled": metrics},
        **_tracing(),
    )(Service)
    service.mount_asgi_app(application, path="/")
    service.add_asgi_middleware(Guard, max_body_bytes=spec.max_body_bytes, token=os.environ.get(TOKEN_VARIABLE) or None)
    return service


def _tracing() -> dict[str, Any]:
    """Spans that nobody collects took a quarter of a request's time: none, unless BentoML is configured otherwise."""
    configured = os.environ.get("BENTOML_CONFIG") or os.environ.get("BENTOML_CONFIG_OPTIONS")
    return {} if configured else {"tracing": {"excluded_urls": [".*"]}}


def _body(name: str, row: Any, max_rows: int) -> type[Body]:
    model: type[Body] = create_model(name, __base__=Body, instances=(rows_field(row, max_rows), ...))
    model.known_keys = tuple(row.__annotations__)
    return model


def _scores(manifest: Manifest) -> type[Scores]:
    fields: dict[str, Any] = {scores_field(manifest): (list[float], ...)}
    return create_model("Scores", __base__=Scores, **fields)


async def _metadata(request: Request) -> HttpResponse:
    scorer: Scorer = request.app.state.scorer
    return JSONResponse(scorer.metadata())


class Endpoints:
    """Runs the scorer for requests, and turns what may go wrong into answers that hold no values."""

    def __init__(self, scorer: Scorer, scores: type[Scores]) -> None:
        self._response, self._field = scores, scores_field(scorer.bundle.manifest)
        self._tag = scorer.bundle.manifest.tag
        self._thread = ThreadPoolExecutor(1, "scorer")  # one: a worker computes with one thread
        if scorer.online.is_needed and os.environ.get(STORE_VARIABLE):
            self._thread.submit(_open_store, scorer)

    async def answer(
        self, score: Callable[[Sequence[Row]], list[float]], rows: Sequence[Row] | Refusal, in_thread: bool = False
    ) -> Scores | HttpResponse:
        """Score the rows of a body, or say why not."""
        if isinstance(rows, Refusal):
            return rows.response()
        try:
            if in_thread or len(rows) > _INLINE_ROWS:
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._thread, score, rows)
            else:
                found = score(rows)
        except StoreUnavailableError as error:
            return JSONResponse({"error": str(error)}, 503)
        except Exception as error:  # noqa: BLE001 (its message may hold values of the request)
            logger.error(
                "scoring failed: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
            )
            return JSONResponse({"error": "scoring failed; the server's log says where"}, 500)
        return self._response(**{self._field: found, "model": self._tag})


def _open_store(scorer: Scorer) -> None:
    with suppress(StoreUnavailableError):  # it was logged, and every request that needs it is told
        scorer.online.open()
