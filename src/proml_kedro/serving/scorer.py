"""The service without HTTP: rows in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from proml_kedro import __version__
from proml_kedro.bundle import Bundle
from proml_kedro.bundle.places import places_of
from proml_kedro.bundle.row_scorer import Trace, with_neutral
from proml_kedro.features.online.lookup import Found
from proml_kedro.hardware import limit_environment
from proml_kedro.models.component import Array, Columns, Explanation
from proml_kedro.serving.lookup import OnlineLookup
from proml_kedro.serving.schema import Row, RowReader
from proml_kedro.spec import HardwareSpec
from proml_kedro.spec.rank import RankSpec
from proml_kedro.spec.training_set import GROUP

_BEST_FIRST = RankSpec(within=GROUP)


@dataclass(frozen=True)
class Scored:
    """Scores of n rows.

    Attributes:
        scores: A probability or mean each, or a list with the probability of each class.
        missing: How many features of each row are null, or are of a key that the store has nothing for.
        expired: How many of those are so since they are older than their view's TTL.
        trace: What they were made from, where that is kept.
        places: Of rows that were put in order: from 1, or 0 for one that is not shown.
    """

    scores: list[Any]
    missing: list[int]
    expired: list[int]
    trace: Trace | None = None
    places: list[int] | None = None


class BundleScorer:
    """Scorer of rows by a proven bundle, with one thread.

    Args:
        path: The bundle's folder.
        log: File to log what is looked up; None for no log.

    Attributes:
        keeps_trace: Whether :meth:`find` and :meth:`find_online` keep what scores were made from.

    Raises:
        IntegrityError: The bundle is not what was written, or does not score as it did.
    """

    def __init__(self, path: Path, log: str | None = None) -> None:
        # Two threads a worker on a busy machine made a request of 0.2 ms take 30: workers are what is scaled.
        limit_environment(HardwareSpec(threads=1))
        self.bundle = Bundle.load(path)
        self.keeps_trace = False
        rows = self.bundle.manifest.rows
        brought = [one for one in rows.inputs if one.request]
        self._all, self._brought = RowReader(rows.inputs, "float64"), RowReader(brought, "float64")
        self._ranked = RowReader([one for one in brought if one.name not in rows.neutral], "float64")
        self.online = OnlineLookup(self.bundle.manifest, self.bundle.path, log)
        _limit_loaded_libraries()

    def columns(self, rows: Sequence[Row]) -> Columns:
        """Read the columns of rows of feature values."""
        return self._all(rows)

    def score(self, rows: Sequence[Row]) -> list[Any]:
        """Score rows of feature values: a probability or mean each, or a list with a probability of each class."""
        return self._score(self._all(rows))

    def find(self, rows: Sequence[Row]) -> Scored:
        """Score rows of feature values, and count what they lack."""
        columns = self._all(rows)
        return self._scored(columns, [_nulls(row) for row in rows], [0] * len(rows))

    def find_online(self, rows: Sequence[Row]) -> Scored:
        """Score rows of keys and request features, and count what they and the store lack.

        Raises:
            StoreUnavailableError: There is no online store, and the model needs one.
            MomentUnknownError: The store does not know what held at a moment that a row names.
        """
        columns, found = self._looked_up(rows, self._brought)
        return self._scored(columns, _count_missing(columns, found), found.expired.tolist())

    def find_ranked(self, rows: Sequence[Row]) -> Scored:
        """Score rows of keys and request features that are alternatives to each other, and place them.

        They are scored as if features with a neutral value, such as a position, had it; rows need not have those. The
        order is the one that the model's ``rank`` says, within all rows; the largest score first where it says none.

        Raises:
            StoreUnavailableError: There is no online store, and the model needs one.
            MomentUnknownError: The store does not know what held at a moment that a row names.
        """
        schema = self.bundle.manifest.rows
        columns, found = self._looked_up(rows, self._ranked)
        missing = _count_missing(columns, found)
        columns = with_neutral(columns, schema.neutral)
        scored = self._scored(columns, missing, found.expired.tolist())
        rank = self.bundle.graph.spec.rank
        counted = self.bundle.attributes(columns) if rank else {}
        places = places_of(rank or _BEST_FIRST, np.zeros(len(rows)), np.array(scored.scores), counted)
        return replace(scored, places=places.tolist())

    def explain(self, rows: Sequence[Row]) -> Explanation | None:
        """Divide the margins of rows of feature values among the inputs; None where the model has no way to."""
        return self.bundle.explain(self._all(rows))

    def _looked_up(self, rows: Sequence[Row], brought: RowReader) -> tuple[Columns, Found]:
        found = self.online.find(rows)
        return {**brought(rows), **found.columns}, found

    def score_online(self, rows: Sequence[Row]) -> list[Any]:
        """Score rows of keys and request features, as :meth:`score` does.

        Raises:
            StoreUnavailableError: There is no online store, and the model needs one.
        """
        return self._score({**self._brought(rows), **self.online.read(rows)})

    def _scored(self, columns: Columns, missing: list[int], expired: list[int]) -> Scored:
        if not self.keeps_trace:
            return Scored(self._score(columns), missing, expired)
        trace = self.bundle.trace(columns)
        return Scored(trace.scores.tolist(), missing, expired, trace)

    def _score(self, columns: Columns) -> list[Any]:
        scores: list[Any] = self.bundle.score(columns).tolist()
        return scores

    def metadata(self) -> dict[str, Any]:
        """Describe what is served by plain values, without any row."""
        manifest = self.bundle.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "description": manifest.description,
            "sha256": self.bundle.digest,
            "proml_kedro": __version__,
            **({"classes": manifest.classes} if manifest.classes else {}),
            "schema": manifest.rows.model_dump(mode="json"),
            "lineage": manifest.lineage,
            "metrics": self.bundle.metrics,
        }


def _count_missing(columns: Columns, found: Found) -> list[int]:
    missing = found.unknown.copy()
    for column in columns.values():
        missing += _missing(column)
    counts: list[int] = missing.tolist()
    return counts


def _nulls(row: Row) -> int:
    return list(row.values()).count(None)


def _missing(column: Array) -> Array:
    """Which rows of a column have no value: shape (n,)."""
    if column.dtype == object:
        return np.array([one is None for one in column.tolist()])
    gaps: Array = np.isnan(column.reshape(len(column), -1))
    empty: Array = np.logical_and.reduce(gaps, axis=1)
    return empty


def _limit_loaded_libraries() -> None:
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
