"""The page as a web application: its files and its endpoints. Answers about anomalies are all that it can change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from proml_kedro.workspace import anomalies, api, model_api
from proml_kedro.workspace.guard import HostGuard
from proml_kedro.workspace.results import REPORTS, report_file
from proml_kedro.workspace.sketches import Sketches
from proml_kedro.workspace.snapshot import LiveSnapshot

if TYPE_CHECKING:
    from proml_kedro.marketplace.entry import Entry

STATIC = Path(__file__).parent / "static"
PAGES = ("/", "/features", "/models", "/health", "/report")
_MOST = 500
_SHOWN = 50


def make_app(live: LiveSnapshot, hosts: frozenset[str]) -> HostGuard:
    """Make the application.

    Args:
        live: What the page shows.
        hosts: The values of the header ``Host`` that it answers: names of this machine, with the port.
    """
    endpoints = _Endpoints(live)
    routes = [
        *(Route(path, _page) for path in PAGES),
        Route("/api/status", endpoints.status),
        Route("/api/search", endpoints.search),
        Route("/api/feature", endpoints.feature),
        Route("/api/distribution", endpoints.distribution),
        Route("/api/similar", endpoints.similar),
        Route("/api/models", endpoints.models),
        Route("/api/health", endpoints.health),
        Route("/api/anomalies", endpoints.anomalies),
        Route("/api/answer", endpoints.answer, methods=["POST"]),
        Route("/reports/{problem}/{model}/{result}/{name}", endpoints.report),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return HostGuard(Starlette(routes=routes), hosts)


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html")


def _answer(content: Any, status: int = 200) -> Response:
    import orjson  # not-a-number, which JSON has no word for, becomes null

    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), status, media_type="application/json")


def _refuse(status: int, message: str) -> Response:
    return _answer({"message": message}, status)


def _is_own(request: Request) -> bool:
    """Tell whether a request comes from a page of this server; browsers name the page's origin, and nobody can else."""
    return request.headers.get("origin", "").lower() == f"http://{request.headers.get('host', '').lower()}"


class _Endpoints:
    """Endpoints of the page. What takes longer than a search runs in a thread beside the others."""

    def __init__(self, live: LiveSnapshot) -> None:
        self._live = live
        self._sketches = Sketches()

    async def status(self, request: Request) -> Response:
        """Answer whether anything has changed."""
        await run_in_threadpool(self._live.refresh)
        snapshot = self._live.snapshot
        return _answer(
            {
                "version": self._live.stamp,
                "features": len(snapshot.market),
                "models": len(snapshot.results),
                "data_dir": str(snapshot.places.base / snapshot.places.data_dir),
                "notices": snapshot.notices,
                "mistakes": self._live.mistakes,
            }
        )

    async def search(self, request: Request) -> Response:
        """Answer a search by words and facets."""
        params = request.query_params
        filters = {name: params[name] for name in api.SHOWN_FACETS if name in params}
        limit = params.get("limit", str(_SHOWN))
        if not limit.isdecimal() or not 0 < int(limit) <= _MOST:
            return _refuse(400, f"limit must be a number from 1 to {_MOST}")
        return _answer(api.search(self._live.snapshot, params.get("q", ""), filters, int(limit)))

    async def feature(self, request: Request) -> Response:
        """Answer what is declared and known of a feature."""
        return await self._of_feature(request, lambda entry: api.describe(self._live.snapshot, entry))

    async def distribution(self, request: Request) -> Response:
        """Answer how a feature's values are distributed."""
        return await self._of_feature(request, lambda entry: self._sketches.distribution(self._live.snapshot, entry))

    async def similar(self, request: Request) -> Response:
        """Answer which features are similar to one."""
        return await self._of_feature(request, lambda entry: self._sketches.similar(self._live.snapshot, entry))

    async def models(self, request: Request) -> Response:
        """Answer what was run."""
        return _answer(model_api.models(self._live.snapshot))

    async def health(self, request: Request) -> Response:
        """Answer what the last checks have found."""
        return _answer(model_api.health(self._live.snapshot))

    async def anomalies(self, request: Request) -> Response:
        """Answer what was unusual of figures over time."""
        return _answer(await run_in_threadpool(anomalies.anomalies, self._live.snapshot))

    async def answer(self, request: Request) -> Response:
        """Keep what somebody said of an anomaly.

        Only this page may: a form elsewhere cannot send JSON, and a script elsewhere would have to ask first, which is
        never allowed.
        """
        if request.headers.get("content-type") != "application/json" or not _is_own(request):
            return _refuse(403, "only the page itself may answer")
        body = await request.body()
        try:
            return _answer(await run_in_threadpool(anomalies.keep_answer, self._live.snapshot, body))
        except anomalies.RefusedError as error:
            return _refuse(400, str(error))

    async def report(self, request: Request) -> Response:
        """Answer a file of a result."""
        where: Mapping[str, str] = request.path_params
        file = await run_in_threadpool(
            report_file, self._live.snapshot.places, where["problem"], where["model"], where["result"], where["name"]
        )
        if file is None:
            return _refuse(404, "there is no such report")
        return FileResponse(file, media_type=REPORTS[file.suffix])

    async def _of_feature(self, request: Request, answer: Callable[[Entry], Any]) -> Response:
        name, problem = request.query_params.get("name", ""), request.query_params.get("problem")
        found = self._live.snapshot.market.get(name, problem)
        if not found:
            return _refuse(404, f"no feature '{name}' in the configuration")
        return _answer(await run_in_threadpool(answer, found[0]))
