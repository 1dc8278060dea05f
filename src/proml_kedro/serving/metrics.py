"""What the server counts, for Prometheus: by its own routes and statuses, never by what a client has written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess, values

OTHER: Final = "other"
"""The route of every path that is none of ours."""

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_DIFFERENCES = (0.0001, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_BANDS = 20
"""Of scores that are probabilities."""


class ChallengerMetrics:
    """Counters and histograms of a challenger, of one worker.

    Args:
        registry: Where they are kept.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._rows = Counter(
            "proml_challenger_rows", "Rows passed to the challenger, by outcome", ["outcome"], registry=registry
        )
        self._fallbacks = Counter(
            "proml_challenger_fallbacks", "Rows of a canary that the champion scored", registry=registry
        )
        self._seconds = Histogram(
            "proml_challenger_seconds", "Seconds until the challenger answered", registry=registry, buckets=_SECONDS
        )
        self._differences = Histogram(
            "proml_challenger_difference",
            "Difference of a shadow's score from the champion's",
            registry=registry,
            buckets=_DIFFERENCES,
        )

    def answered(self, outcome: str, rows: int, seconds: float | None = None) -> None:
        """Count rows by what became of them: scored, refused, failed, late or dropped."""
        self._rows.labels(outcome).inc(rows)
        if seconds is not None:
            self._seconds.observe(seconds)

    def fell_back(self, rows: int) -> None:
        """Count rows that the champion scored since the challenger did not."""
        self._fallbacks.inc(rows)

    def differs(self, difference: float) -> None:
        """Count a row by how far both scores are apart."""
        self._differences.observe(difference)


class Metrics:
    """Counters and histograms of one worker; those of all workers are added up where they share a folder.

    Args:
        routes: The paths that are told apart.
        is_probability: Whether scores are probabilities, whose distribution is counted.
        registry: Where they are kept, beside others; one of its own when None.
    """

    def __init__(self, routes: Sequence[str], is_probability: bool, registry: CollectorRegistry | None = None) -> None:
        self._own = registry or CollectorRegistry()
        self._routes = frozenset(routes)
        labels = ["route", "status"]
        self._requests = Counter("proml_requests", "Requests answered", labels, registry=self._own)
        self._seconds = Histogram(
            "proml_request_seconds", "Seconds until the answer", ["route"], registry=self._own, buckets=_SECONDS
        )
        self._rows = Counter("proml_rows", "Rows scored", ["route"], registry=self._own)
        self._missing = Counter("proml_missing_features", "Features that were null or unknown", registry=self._own)
        self._expired = Counter("proml_expired_features", "Features older than their TTL", registry=self._own)
        self._unlogged = Counter("proml_log_losses", "Rows that the request log does not have", registry=self._own)
        scores = Counter("proml_scores", "Scores given, by bands from this one on", ["band"], registry=self._own)
        self._counters: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._bands = [scores.labels(f"{band / _BANDS:.2f}") for band in range(_BANDS)] if is_probability else []

    @contextmanager
    def request(self, path: str) -> Iterator[list[int]]:
        """Count a request; its status is put into the list that is given."""
        route, status, begun = path if path in self._routes else OTHER, [500], time.perf_counter()
        try:
            yield status
        finally:
            key = route, status[-1]
            if key not in self._counters:
                self._counters[key] = self._requests.labels(*key), self._seconds.labels(route)
            count, seconds = self._counters[key]
            count.inc()
            seconds.observe(time.perf_counter() - begun)

    def scored(self, route: str, scores: Sequence[float], missing: int, expired: int) -> None:
        """Count the rows of an answer."""
        self._rows.labels(route).inc(len(scores))
        if missing:
            self._missing.inc(missing)
        if expired:
            self._expired.inc(expired)
        if self._bands and len(scores) == 1:
            self._bands[min(int(scores[0] * _BANDS), _BANDS - 1)].inc()
        elif self._bands:
            places = (np.asarray(scores) * _BANDS).astype(np.int64).clip(0, _BANDS - 1)
            for band, count in enumerate(np.bincount(places, minlength=_BANDS).tolist()):
                if count:
                    self._bands[band].inc(count)

    def lost(self, rows: int) -> None:
        """Count rows that could not be logged."""
        self._unlogged.inc(rows)

    def text(self) -> bytes:
        """Return all figures as Prometheus reads them."""
        return exposition(self._own)


def exposition(own: CollectorRegistry) -> bytes:
    """Return all figures as Prometheus reads them: of all workers, where they share a folder.

    Args:
        own: Where those of this process are kept.
    """
    if values.ValueClass is values.MutexValue:  # no folder was there when the library was imported
        return generate_latest(own)
    every = CollectorRegistry()
    multiprocess.MultiProcessCollector(every)  # type: ignore[no-untyped-call]
    return generate_latest(every)
