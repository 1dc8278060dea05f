"""A place, as a server sees it: connections that are kept, answers that are checked, and rest after failures."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram

from proml_kedro.models.component import Array
from proml_kedro.serving.guard import TOKEN_VARIABLE
from proml_kedro.serving.places.connection import Connection, RefusedError
from proml_kedro.serving.places.wire import WireError, unpack
from proml_kedro.spec import PlaceSpec

logger = logging.getLogger(__name__)

_FAILURES, _REST = 5, 2.0
"""After so many failures on end it is asked by one request at most every so many seconds."""

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

T = TypeVar("T")


class PlaceError(Exception):
    """A place has given no answer that is one; ``str()`` of the error says why.

    Attributes:
        outcome: Word for it in figures.
    """

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


class PlaceMetrics:
    """Counters and histograms of places, of one worker.

    Args:
        registry: Where they are kept.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        outcomes = "Questions to a place, by outcome: answered, late, failed, refused, wrong or resting"
        self._asked = Counter("proml_place_requests", outcomes, ["place", "outcome"], registry=registry)
        self._seconds = Histogram(
            "proml_place_seconds", "Seconds until a place answered", ["place"], registry=registry, buckets=_SECONDS
        )
        self._degraded = Counter(
            "proml_degraded_rows", "Rows scored without what a place would have said", ["place"], registry=registry
        )

    def asked(self, place: str, outcome: str, seconds: float | None = None) -> None:
        """Count a question."""
        key = place, outcome
        if key not in self._known:
            self._known[key] = self._asked.labels(*key), self._seconds.labels(place)
        count, taken = self._known[key]
        count.inc()
        if seconds is not None:
            taken.observe(seconds)

    def degraded(self, place: str, rows: int) -> None:
        """Count rows that were scored without a place."""
        self._degraded.labels(place).inc(rows)


class Place:
    """A place that is asked by several threads at once, each over a connection of its own.

    Args:
        name: Its name.
        spec: As it is configured.
        digest: Of the bundle that is served; a place that has another one is not asked.
        metrics: Where questions are counted.
    """

    def __init__(self, name: str, spec: PlaceSpec, digest: str, metrics: PlaceMetrics) -> None:
        self.name, self.spec = name, spec
        self._digest, self._metrics = digest, metrics
        self._token = os.environ.get(TOKEN_VARIABLE) or None
        self._free: deque[Connection] = deque()
        self._lock = threading.Lock()
        self._failures, self._rests_until = 0, 0.0
        self._said = ""

    def ask(self, head: Mapping[str, Any], body: bytes, until: float, read: Callable[[dict[str, Array], int], T]) -> T:
        """Ask, and read the answer.

        Args:
            head: What is to be done; its ``rows`` are those that the answer has to have.
            body: The columns of that.
            until: When the request has to be answered, by ``time.monotonic``.
            read: Takes the columns of the answer, and their number of rows.

        Raises:
            PlaceError: There is no answer in time, or it is none.
        """
        begun = time.monotonic()
        if not self._may_ask(begun):
            self._metrics.asked(self.name, "resting")
            raise PlaceError("resting", self._said)
        until = min(until, begun + self.spec.timeout_ms / 1000)
        try:
            found = self._asked({**head, "ms": (until - begun) * 1000}, body, until, read)
        except PlaceError as error:
            self._metrics.asked(self.name, error.outcome)
            self._note(error)
            raise
        self._metrics.asked(self.name, "answered", time.monotonic() - begun)
        self._note(None)
        return found

    def check(self, seconds: float) -> None:
        """Ask whether the place can do what it is for.

        Raises:
            PlaceError: It cannot, or does not answer within so many seconds.
        """
        if self._rests_until > time.monotonic():
            raise PlaceError("resting", self._said)
        try:
            self._asked({"do": "check", "rows": 0, "ms": seconds * 1000}, b"", time.monotonic() + seconds, _nothing)
        except PlaceError as error:
            self._note(error)
            raise
        self._note(None)

    def _asked(
        self, head: Mapping[str, Any], body: bytes, until: float, read: Callable[[dict[str, Array], int], T]
    ) -> T:
        try:
            connection, said, content = self._answered(head, body, until)
        except RefusedError as error:
            raise PlaceError("refused", str(error)) from error
        except TimeoutError as error:
            raise PlaceError("late", "it does not answer in time") from error
        except WireError as error:
            raise PlaceError("wrong", str(error)) from error
        except OSError as error:
            raise PlaceError("failed", error.strerror or type(error).__name__) from error
        if said.get("status") != 200:
            self._free.append(connection)
            raise PlaceError(_outcome(said.get("status")), str(said.get("error", "it has failed"))[:300])
        try:
            rows = head["rows"]
            if said.get("rows") != rows:
                raise WireError(f"its answer has not {rows} rows")
            found = read(unpack(said.get("columns", ()), content, rows), rows)
        except WireError as error:
            connection.close()
            raise PlaceError("wrong", str(error)) from error
        self._free.append(connection)
        return found

    def _answered(self, head: Mapping[str, Any], body: bytes, until: float) -> tuple[Connection, dict[str, Any], bytes]:
        """Ask over a connection that is there; over a new one where that turns out to be closed."""
        while True:
            try:
                connection, is_new = self._free.pop(), False
            except IndexError:
                connection, is_new = Connection(self.spec.url, self._digest, self._token, until), True
            try:
                return connection, *connection.ask(head, body, until)
            except ConnectionError:  # it has not answered; what is asked changes nothing, so it can be asked again
                connection.close()
                if is_new:
                    raise
            except BaseException:
                connection.close()
                raise

    def _may_ask(self, now: float) -> bool:
        with self._lock:
            if self._failures < _FAILURES:
                return True
            if now < self._rests_until:
                return False
            self._rests_until = now + _REST  # one request tries, the others do not wait for it
            return True

    def _note(self, error: PlaceError | None) -> None:
        with self._lock:
            if error is None:
                was, self._failures, self._rests_until = self._failures, 0, 0.0
                if was >= _FAILURES:
                    logger.warning("the place '%s' answers again", self.name)
                return
            self._failures, self._said = self._failures + 1, str(error)
            if self._failures == 1:
                logger.warning("the place '%s' at %s: %s", self.name, self.spec.url, error)
            if self._failures >= _FAILURES:
                self._rests_until = time.monotonic() + _REST

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._free:
            self._free.pop().close()


def _outcome(status: object) -> str:
    return "late" if status == 504 else "failed"


def _nothing(columns: dict[str, Array], rows: int) -> None:
    return None
