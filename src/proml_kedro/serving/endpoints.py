"""Scoring behind the service's endpoints: in which thread, and what is answered when it fails."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse

from proml_kedro.serving.body import Refusal, Scores
from proml_kedro.serving.lookup import STORE_VARIABLE, MomentUnknownError, StoreUnavailableError
from proml_kedro.serving.schema import Row, answer

if TYPE_CHECKING:
    from proml_kedro.serving.scorer import BundleScorer

logger = logging.getLogger(__name__)

_INLINE_ROWS = 32
"""Largest number of rows that are scored at once; more in a thread, so that probes are answered meanwhile."""


class Endpoints:
    """Runner of the scorer for requests. What goes wrong becomes an answer that holds no values."""

    def __init__(self, scorer: BundleScorer, scores: type[Scores]) -> None:
        self._response, self._manifest = scores, scorer.bundle.manifest
        self._tag = self._manifest.tag
        self._thread = ThreadPoolExecutor(1, "scorer")  # one: a worker computes with one thread
        if scorer.online.is_needed and os.environ.get(STORE_VARIABLE):
            self._thread.submit(_open_store, scorer)

    async def answer(
        self, score: Callable[[Sequence[Row]], list[Any]], rows: Sequence[Row] | Refusal, in_thread: bool = False
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
        except MomentUnknownError as error:
            return JSONResponse(error.content(), 422)
        except StoreUnavailableError as error:
            return JSONResponse({"error": str(error)}, 503)
        except Exception as error:  # noqa: BLE001 (its message may hold values of the request)
            logger.error(
                "scoring failed: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
            )
            return JSONResponse({"error": "scoring failed; the server's log says where"}, 500)
        return self._response(**answer(self._manifest, found), model=self._tag)


def _open_store(scorer: BundleScorer) -> None:
    with suppress(StoreUnavailableError):  # it was logged, and every request that needs it is told
        scorer.online.open()
