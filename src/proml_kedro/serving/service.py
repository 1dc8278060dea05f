"""The HTTP service: a bundle behind BentoML's server, supervisor, probes and metrics.

``POST /predict`` scores rows of feature values, ``POST /predict_online`` looks features up by key, ``GET /metadata``
says what is served. A body that does not fit is answered here and not by BentoML, which would log its values.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from proml_kedro.bundle import Manifest
from proml_kedro.locks import Claims
from proml_kedro.result_folder import claim_around
from proml_kedro.serving.body import make_body, make_scores
from proml_kedro.serving.endpoints import Endpoints
from proml_kedro.serving.guard import TOKEN_VARIABLE, RequestGuard
from proml_kedro.serving.schema import online_row_type, row_type
from proml_kedro.spec import ServingSpec

if TYPE_CHECKING:
    from proml_kedro.serving.scorer import BundleScorer


def read_spec(file: Path) -> ServingSpec:
    """Read how to serve from a YAML file with the keys of ``conf/serving``.

    Raises:
        pydantic.ValidationError: The file is not what ``ServingSpec`` describes.
    """
    return ServingSpec.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def make_service(bundle: Path, spec: ServingSpec | None = None, metrics: bool = True) -> Any:
    """Make a BentoML service for a bundle.

    Only the manifest is read here: the server's supervisor imports the service too. The bundle is verified, loaded
    and proved by its golden rows when a worker starts; a worker that fails at that never becomes ready. The process
    serves the bundle that a link leads to now, wherever the link moves, and nobody frees that one meanwhile.

    Args:
        bundle: The bundle's folder.
        spec: How to serve it; as the run that made the bundle was configured when None.
        metrics: Whether to offer Prometheus metrics; a process can hold only one service that does.

    Returns:
        A ``bentoml.Service``; its ``to_asgi()`` is the application.

    Raises:
        IntegrityError: The bundle has no manifest that this version reads.
    """
    claims = Claims()
    bundle = claim_around(bundle, claims)
    manifest = Manifest.read(bundle)
    spec = spec or manifest.serving
    log = spec.log
    predict_body = make_body("PredictRequest", row_type("FeatureRow", manifest.rows), spec.max_rows)
    scores = make_scores(manifest)
    online_body = make_body("PredictOnlineRequest", online_row_type("KeyRow", manifest.rows), spec.max_rows)

    class Service:
        def __init__(self) -> None:
            from proml_kedro.serving.scorer import BundleScorer

            self.claims = claims  # workers that start later need the bundle too: it is in use as long as this class is
            self.scorer = BundleScorer(bundle, log)
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
    service = bentoml.service(name=manifest.name.lower(), **_settings(spec, metrics))(Service)
    service.mount_asgi_app(application, path="/")
    service.add_asgi_middleware(
        RequestGuard, max_body_bytes=spec.max_body_bytes, token=os.environ.get(TOKEN_VARIABLE) or None
    )
    return service


def _settings(spec: ServingSpec, metrics: bool) -> dict[str, Any]:
    timeout = {"timeout": spec.timeout.total_seconds()}
    return {"workers": spec.workers, "traffic": timeout, "metrics": {"enabled": metrics}, **_tracing()}


def _tracing() -> dict[str, Any]:
    """Turn tracing off unless BentoML is configured: spans that nobody collects took a quarter of a request's time."""
    configured = os.environ.get("BENTOML_CONFIG") or os.environ.get("BENTOML_CONFIG_OPTIONS")
    return {} if configured else {"tracing": {"excluded_urls": [".*"]}}


async def _metadata(request: Request) -> HttpResponse:
    scorer: BundleScorer = request.app.state.scorer
    return JSONResponse(scorer.metadata())
