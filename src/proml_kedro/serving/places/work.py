"""What a place does for those who ask it: questions that wait are answered together."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram

from proml_kedro.features.online.store import to_moment
from proml_kedro.models.component import Array, Columns, Component
from proml_kedro.serving.frames import frame
from proml_kedro.serving.lookup import StoreUnavailableError
from proml_kedro.serving.places.wire import WireError, pack, unpack
from proml_kedro.serving.scorer import BundleScorer
from proml_kedro.spec import PlaceSpec

logger = logging.getLogger(__name__)

_INLINE_ROWS = 256
"""Rows that are scored at once; more in a thread, so that probes are answered meanwhile."""

_TOGETHER_ROWS = 4096
_WAITING = 1024
"""Questions that may wait; further ones are refused at once."""

_TOGETHER = (1, 2, 4, 8, 16, 32, 64, 128)
_FAULT = "scoring failed there; its log says where"


@dataclass(frozen=True)
class Question:
    """A frame that has come.

    Attributes:
        head: What is to be done.
        body: The columns of that.
        until: When nobody waits any more, by ``time.monotonic``.
        answer: Takes the frame of the answer; called in the loop's thread.
    """

    head: Mapping[str, Any]
    body: bytes
    until: float
    answer: Callable[[bytes], None]

    @property
    def rows(self) -> int:
        """Return the number of rows.

        Raises:
            WireError: It is none.
        """
        rows = self.head.get("rows")
        if type(rows) is not int or rows < 0:
            raise WireError("it has no number of rows")
        return rows


class Work:
    """Answers to questions. One thread computes at a time.

    Questions about one component that wait at once are scored together where a row's score is the same to the last bit
    whichever rows are beside it; otherwise one after the other.

    Args:
        scorer: The bundle, proven.
        spec: The place.
        max_rows: Most rows of a question.
        registry: Where figures are kept.
    """

    def __init__(self, scorer: BundleScorer, spec: PlaceSpec, max_rows: int, registry: CollectorRegistry) -> None:
        graph = scorer.bundle.graph
        self._online, self._has_features, self._max_rows = scorer.online, spec.features, max_rows
        self._components = {one: graph.components[one] for one in spec.components}
        self._reads = {one: [each.name for each in graph.plan.step(one).reads] for one in spec.components}
        self._gives = {one: [each.name for each in graph.plan.step(one).gives] for one in spec.components}
        for name in graph.components.keys() - self._components.keys():
            del graph.components[name]  # the bundle was proved as a whole; what is not asked for need not stay
        self._waiting: list[Question] = []
        self._thread = ThreadPoolExecutor(1, "place")
        self._is_busy = False
        outcomes = "Questions, by what was asked for and status"
        self._counted: dict[str, Counter] = {}
        self._answered = Counter("proml_place_questions", outcomes, ["asked", "status"], registry=registry)
        self._together = Histogram(
            "proml_place_together", "Questions answered in one turn", registry=registry, buckets=_TOGETHER
        )

    def put(self, question: Question) -> None:
        """Take a question; it is answered in a later turn of the loop."""
        if len(self._waiting) >= _WAITING:
            question.answer(self._said(question, 503, "it has too much to do"))
            return
        self._waiting.append(question)
        if len(self._waiting) == 1 and not self._is_busy:
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if self._is_busy or not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        self._together.observe(len(batch))
        if sum(_size(one) for one in batch) <= _INLINE_ROWS:
            _send(self._answers(batch))
            return
        self._is_busy = True
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._answers, batch)
        work.add_done_callback(self._done)

    def _done(self, work: asyncio.Future[list[tuple[Question, bytes]]]) -> None:
        self._is_busy = False
        if not work.cancelled():
            _send(work.result())
        self._turn()

    def check(self) -> None:
        """Look whether what the place needs is there.

        Raises:
            StoreUnavailableError: The online store cannot be read.
        """
        if self._has_features and self._online.is_needed:
            self._online.check()

    def _answers(self, batch: Sequence[Question]) -> list[tuple[Question, bytes]]:
        made: list[tuple[Question, bytes]] = []
        by_component: dict[str, list[tuple[Question, dict[str, Array]]]] = {}
        for one in batch:
            try:
                component, columns = self._read(one)
                if component is None:
                    made.append((one, self._looked_up(one)))
                else:
                    by_component.setdefault(component, []).append((one, columns))
            except Exception as error:  # noqa: BLE001 (each is answered; a message may hold values)
                made.append((one, self._failed(one, error)))
        for name, asked in by_component.items():
            made += self._scored(name, asked)
        return made

    def _read(self, one: Question) -> tuple[str | None, dict[str, Array]]:
        """Read which component is asked for, None for something else, and the columns.

        Raises:
            WireError: That is not done here, or the columns are others.
        """
        if time.monotonic() > one.until:
            raise TimeoutError
        rows, wanted = one.rows, one.head.get("do")
        if rows > self._max_rows:
            raise WireError(f"more than {self._max_rows} rows are not scored at once")
        if wanted == "check" or (wanted == "features" and self._has_features):
            return None, {}
        component = one.head.get("component")
        if wanted != "score" or component not in self._components:
            raise WireError("that is not done here")
        columns = unpack(one.head.get("columns", ()), one.body, rows)
        if list(columns) != self._reads[component]:
            raise WireError("it has other columns")
        return component, columns

    def _looked_up(self, one: Question) -> bytes:
        if one.head["do"] == "check":
            self.check()
            return self._answer(one, {})
        try:
            keys, moments = orjson.loads(one.body)
            times = [to_moment(moment) for moment in moments]
        except (ValueError, TypeError) as error:
            raise WireError("it has no keys and moments") from error
        if len(keys) != one.rows or len(times) != one.rows:
            raise WireError("it has another number of rows")
        found = self._online.look_up(keys, times)
        counts = {"expired": found.expired, "unknown": found.unknown, "later": found.later}
        return self._answer(one, {**found.columns, **counts})

    def _scored(self, name: str, asked: list[tuple[Question, dict[str, Array]]]) -> list[tuple[Question, bytes]]:
        component = self._components[name]
        if len(asked) > 1 and component.scores_rows_exactly:
            try:
                return self._scored_together(name, component, asked)
            except Exception as error:  # noqa: BLE001 (one of them may be at fault: each is tried alone)
                _log(error)
        made: list[tuple[Question, bytes]] = []
        for one, columns in asked:
            try:
                made.append((one, self._answer(one, self._score(name, component, columns))))
            except Exception as error:  # noqa: BLE001 (each is answered)
                made.append((one, self._failed(one, error)))
        return made

    def _scored_together(
        self, name: str, component: Component, asked: list[tuple[Question, dict[str, Array]]]
    ) -> list[tuple[Question, bytes]]:
        made: list[tuple[Question, bytes]] = []
        for part in _parts(asked):
            joined = {each: np.concatenate([columns[each] for _, columns in part]) for each in part[0][1]}
            scores = self._score(name, component, joined)
            first = 0
            for one, _ in part:
                last = first + one.rows
                made.append((one, self._answer(one, {each: values[first:last] for each, values in scores.items()})))
                first = last
        return made

    def _score(self, name: str, component: Component, columns: Columns) -> Columns:
        scores = {f"{name}.{output}": values for output, values in component.score(columns).items()}
        return {output: scores[output] for output in self._gives[name]}

    def _answer(self, one: Question, columns: Columns) -> bytes:
        described, body = pack(columns)
        asked = _asked_for(one)
        if asked not in self._counted:
            self._counted[asked] = self._answered.labels(asked, 200)
        self._counted[asked].inc()
        return frame({"status": 200, "rows": one.rows, "columns": described}, body)

    def _failed(self, one: Question, error: Exception) -> bytes:
        if isinstance(error, WireError):
            return self._said(one, 400, str(error))
        if isinstance(error, TimeoutError):
            return self._said(one, 504, "it came too late")
        if isinstance(error, StoreUnavailableError):
            return self._said(one, 503, str(error))
        _log(error)
        return self._said(one, 500, _FAULT)

    def _said(self, one: Question, status: int, error: str) -> bytes:
        self._answered.labels(_asked_for(one), status).inc()
        return frame({"status": status, "error": error})


def _size(one: Question) -> int:
    rows = one.head.get("rows")
    return rows if type(rows) is int else 0


def _asked_for(one: Question) -> str:
    asked = one.head.get("do")
    return asked if asked in ("score", "features", "check") else "other"


def _parts(asked: list[tuple[Question, dict[str, Array]]]) -> list[list[tuple[Question, dict[str, Array]]]]:
    """Divide questions into parts of so many rows together, all of the same types."""
    found: dict[tuple[Any, ...], list[list[tuple[Question, dict[str, Array]]]]] = {}
    for one, columns in asked:
        kind = tuple((values.dtype.str, values.shape[1:]) for values in columns.values())
        parts = found.setdefault(kind, [[]])
        if parts[-1] and sum(each.rows for each, _ in parts[-1]) + one.rows > _TOGETHER_ROWS:
            parts.append([])
        parts[-1].append((one, columns))
    return [part for parts in found.values() for part in parts]


def _send(answers: Sequence[tuple[Question, bytes]]) -> None:
    for question, answer in answers:
        question.answer(answer)


def _log(error: Exception) -> None:
    """Log a fault of ours, its place alone since its message may hold values of the request."""
    logger.error("scoring failed: %s\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
