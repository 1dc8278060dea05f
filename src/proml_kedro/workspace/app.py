"""The page as a web application: its files, and the questions it asks. Nothing can be changed through it."""

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

from proml_kedro.workspace import api
from proml_kedro.workspace.guard import Guard
from proml_kedro.workspace.results import REPORTS, report_file
from proml_kedro.workspace.snapshot import Live

if TYPE_CHECKING:
    from proml_kedro.marketplace.entry import Entry

STATIC = Path(__file__).parent / "static"
PAGES = ("/", "/features", "/models", "/health", "/report")
_MOST = 500
_SHOWN = 50


def make_app(live: Live, hosts: frozenset[str]) -> Guard:
    """The application.

    Args:
        live: What it shows.
        hosts: The values of the header ``Host`` that it answers: names of this machine, with the port.
    """
    asked = _Questions(live)
    routes = [
        *(Route(path, _page) for path in PAGES),
        Route("/api/status", asked.status),
        Route("/api/search", asked.search),
        Route("/api/feature", asked.feature),
        Route("/api/distribution", asked.distribution),
        Route("/api/similar", asked.similar),
        Route("/api/models", asked.models),
        Route("/api/health", asked.health),
        Route("/reports/{problem}/{model}/{result}/{name}", asked.report),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Guard(Starlette(routes=routes), hosts)


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html")


def _answer(content: Any, status: int = 200) -> Response:
    import orjson  # not-a-number, which JSON has no word for, becomes null

    return Response(orjson.dumps(content, option=orjson.OPT_UTC_Z), status, media_type="application/json")


def _refuse(status: int, message: str) -> Response:
    return _answer({"message": message}, status)


class _Questions:
    """The questions that the page asks. What takes longer than a search is answered beside the others."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._sketches = api.Sketches()

    async def status(self, request: Request) -> Response:
        """Whether anything has changed since."""
        await run_in_threadpool(self._live.refresh)
        content = self._live.content
        return _answer(
            {
                "version": self._live.stamp,
                "features": len(content.market),
                "models": len(content.results),
                "data_dir": str(content.places.base / content.places.data_dir),
                "notices": content.notices,
                "mistakes": self._live.mistakes,
            }
        )

    async def search(self, request: Request) -> Response:
        """Features by words and facets."""
        params = request.query_params
        filters = {name: params[name] for name in api.SHOWN_FACETS if name in params}
        limit = params.get("limit", str(_SHOWN))
        if not limit.isdecimal() or not 0 < int(limit) <= _MOST:
            return _refuse(400, f"limit must be a number from 1 to {_MOST}")
        return _answer(api.search(self._live.content, params.get("q", ""), filters, int(limit)))

    async def feature(self, request: Request) -> Response:
        """All that is declared and known of a feature."""
        return await self._of_feature(request, lambda entry: api.describe(self._live.content, entry))

    async def distribution(self, request: Request) -> Response:
        """How its values are distributed."""
        return await self._of_feature(request, lambda entry: self._sketches.distribution(self._live.content, entry))

    async def similar(self, request: Request) -> Response:
        """Which others are like it."""
        return await self._of_feature(request, lambda entry: self._sketches.similar(self._live.content, entry))

    async def models(self, request: Request) -> Response:
        """What was run."""
        return _answer(api.models(self._live.content))

    async def health(self, request: Request) -> Response:
        """What the last checks have found."""
        return _answer(api.health(self._live.content))

    async def report(self, request: Request) -> Response:
        """A file of a result."""
        where: Mapping[str, str] = request.path_params
        file = await run_in_threadpool(
            report_file, self._live.content.places, where["problem"], where["model"], where["result"], where["name"]
        )
        if file is None:
            return _refuse(404, "there is no such report")
        return FileResponse(file, media_type=REPORTS[file.suffix])

    async def _of_feature(self, request: Request, answer: Callable[[Entry], Any]) -> Response:
        name, problem = request.query_params.get("name", ""), request.query_params.get("problem")
        found = self._live.content.market.get(name, problem)
        if not found:
            return _refuse(404, f"no feature '{name}' in the configuration")
        return _answer(await run_in_threadpool(answer, found[0]))
